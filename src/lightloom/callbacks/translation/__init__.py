"""Show what was translated."""
