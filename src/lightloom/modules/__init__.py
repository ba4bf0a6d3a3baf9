"""Algorithms, one LightningModule each: they normalise, measure with losses, and optimise."""
