"""Generated signals."""
