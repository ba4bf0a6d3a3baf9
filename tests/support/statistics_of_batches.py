"""How soon the running statistics of batch norms are those of the data."""

from torch import nn


def initial_share(network: nn.Module, steps: int) -> float:
    """The part of the statistics that a network is evaluated with which is still the initial one after these steps."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    return max(((1 - (layer.momentum or 0)) ** steps for layer in norms), default=0.0)
