"""Initialise weights.

xavier: Glorot & Bengio 2010, Understanding the Difficulty of Training Deep Feedforward Neural Networks, equation 16.
he: He, Zhang, Ren & Sun 2015, Delving Deep into Rectifiers, equation 10.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

from torch import Tensor, nn

from lightloom.networks.choices import one_of

Init = Literal["default", "xavier", "he"]
SCHEMES: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier": nn.init.xavier_uniform_,
    "he": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
}


def initialize(network: nn.Module, scheme: str) -> nn.Module:
    """Redraw every linear and convolution weight in place, with zero biases; `default` leaves PyTorch's own."""
    one_of("init", scheme, get_args(Init), "model.init")
    if scheme == "default":
        return network
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            SCHEMES[scheme](layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
