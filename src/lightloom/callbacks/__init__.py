"""Callbacks: checkpoints and guards of a run, pictures, curves and metrics beside it."""
