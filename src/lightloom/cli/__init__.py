"""The command line: help and launch."""
