"""What may stand where a word is hidden."""
