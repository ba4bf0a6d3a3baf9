"""Show what was made of texts."""
