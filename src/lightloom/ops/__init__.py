"""Tensor functions: keyed randomness, collectives, interpolation, image grids."""
