"""Reconstructions of images."""
