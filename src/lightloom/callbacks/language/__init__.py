"""What a language model writes while it learns."""
