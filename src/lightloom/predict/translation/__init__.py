"""Translations of texts."""
