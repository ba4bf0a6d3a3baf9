"""Texts of pictures."""
