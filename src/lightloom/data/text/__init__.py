"""Texts with a class each: readers of files, and batches of ids."""
