"""Environments with dynamics of their own, in which an agent acts."""
