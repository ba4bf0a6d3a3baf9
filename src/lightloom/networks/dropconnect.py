"""DropConnect (Wan, Zeiler, Zhang, LeCun & Fergus 2013, Regularization of Neural Networks using DropConnect).

Inverted scaling stands in for the paper's sampling at test time, and a batch shares one mask.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class DropConnectLinear(nn.Linear):
    """A linear layer whose weights are dropped one by one in training: (B, in_features) -> (B, out_features).

    It shares the parameters of `linear`.
    """

    def __init__(self, linear: nn.Linear, probability: float) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.dropout(self.weight, self.probability, self.training), self.bias)


def add_drop_connect(network: nn.Module, probability: float) -> nn.Module:
    """Put DropConnect on every linear layer inside `network`, in place; the state_dict keeps its keys."""
    if not 0 <= probability < 1:
        raise ValueError(f"drop_connect {probability} is not in [0, 1); set model.drop_connect")
    linears = [(name, layer) for name, layer in network.named_modules() if name and isinstance(layer, nn.Linear)]
    if probability and not linears:
        raise ValueError(
            f"drop_connect {probability} needs a linear layer and {type(network).__name__} has none; "
            "set model.drop_connect=0"
        )
    for name, linear in linears if probability else ():
        network.set_submodule(name, DropConnectLinear(linear, probability))
    return network
