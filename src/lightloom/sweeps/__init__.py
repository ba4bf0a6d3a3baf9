"""Searches over options: each trial a process of its own, none lost when the search is interrupted."""
