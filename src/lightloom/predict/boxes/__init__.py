"""Boxes in images and videos."""
