"""DropConnect is unbiased, silent in evaluation, and invisible in the state_dict."""

import pytest
import torch
from torch import nn

from lightloom.networks.dropconnect import DropConnectLinear, add_drop_connect
from lightloom.networks.lenet import LeNet
from lightloom.networks.nin import NiN


def test_mean_over_masks_is_the_linear_layer():
    """Var of an output is p / (1 - p) * sum (w x)^2: the mean over n masks lies within 5 standard errors."""
    torch.manual_seed(0)
    linear, x, p, n = nn.Linear(32, 16), torch.randn(1, 32), 0.3, 4000
    layer = DropConnectLinear(linear, p).train()
    draws = torch.cat([layer(x) for _ in range(n)])
    variance = p / (1 - p) * (linear.weight * x).square().sum(1)
    assert ((draws.mean(0) - linear(x)[0]).abs() < 5 * (variance / n).sqrt()).all()
    torch.testing.assert_close(draws.var(0), variance, rtol=0.15, atol=0)


def test_identity_in_evaluation_and_same_keys():
    network, x = LeNet(1, 10, 28).eval(), torch.randn(2, 1, 28, 28)
    expected, state = network(x), network.state_dict()
    add_drop_connect(network, 0.5)
    assert torch.equal(network.eval()(x), expected)
    assert list(network.state_dict()) == list(state)
    assert not torch.equal(network.train()(x), network(x))


def test_gradients_reach_the_shared_weight():
    linear = nn.Linear(4, 4)
    DropConnectLinear(linear, 0.5).train()(torch.ones(1, 4)).sum().backward()
    assert set(linear.weight.grad.unique().tolist()) <= {0.0, 2.0}


@pytest.mark.parametrize(
    ("network", "probability", "message"),
    [
        (LeNet(1, 10, 28), 1.0, r"drop_connect 1.0 is not in \[0, 1\); set model\.drop_connect"),
        (NiN(1, 10, 28), 0.5, r"needs a linear layer and NiN has none; set model\.drop_connect=0"),
    ],
    ids=["probability", "no linear layer"],
)
def test_errors_name_the_remedy(network, probability, message):
    with pytest.raises(ValueError, match=message):
        add_drop_connect(network, probability)
