"""Weights before the first step.

xavier: Glorot & Bengio 2010, Understanding the Difficulty of Training Deep Feedforward Neural Networks, equation 16.
he: He, Zhang, Ren & Sun 2015, Delving Deep into Rectifiers, equation 10.
"""

from torch import nn

from lightlab.networks.choices import one_of

SCHEMES = {"xavier": nn.init.xavier_uniform_, "he": nn.init.kaiming_normal_}


def initialize(network: nn.Module, scheme: str) -> nn.Module:
    """Redraw every linear and convolution weight in place, with zero biases; `default` leaves PyTorch's own."""
    one_of("init", scheme, ("default", *SCHEMES), "model.init")
    if scheme == "default":
        return network
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            SCHEMES[scheme](layer.weight, **({"nonlinearity": "relu"} if scheme == "he" else {}))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
