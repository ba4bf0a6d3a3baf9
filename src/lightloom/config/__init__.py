"""Compose and check configurations. Needs no torch."""
