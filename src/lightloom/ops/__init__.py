"""Tensor functions: keyed randomness, collectives, interpolation, grids."""
