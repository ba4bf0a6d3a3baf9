"""Prompts with an answer to each, or with two of which one was preferred."""
