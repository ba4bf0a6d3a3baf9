"""Measures that torchmetrics does not have, or has for one network only: pure functions of feature tensors."""
