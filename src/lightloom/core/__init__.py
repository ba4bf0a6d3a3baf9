"""Errors, run directories, locks, atomic files, downloads. Needs neither torch nor Hydra."""
