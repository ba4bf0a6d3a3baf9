"""Texts in two languages, line by line, of which a model learns to translate one into the other."""
