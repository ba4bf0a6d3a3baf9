"""Masks of images and films."""
