"""Show what was found of each pixel."""
