"""Show what was read."""
