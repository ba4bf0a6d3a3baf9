"""Functions of tensors that every room uses: keyed randomness, collectives, interpolation."""
