"""Texts of language models, and how well they predict those of others."""
