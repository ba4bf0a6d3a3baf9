"""The variances are those of the papers."""

import pytest
import torch
from torch import nn

from lightloom.networks.initialization import initialize

FANS = {0: (64 * 9, 128 * 9), 3: (512, 256)}


@pytest.fixture
def layers():
    return nn.Sequential(nn.Conv2d(64, 128, 3), nn.BatchNorm2d(128), nn.Flatten(), nn.Linear(512, 256))


@pytest.mark.parametrize(
    ("scheme", "variance"), [("xavier", lambda n_in, n_out: 2 / (n_in + n_out)), ("he", lambda n_in, _: 2 / n_in)]
)
def test_variances(layers, scheme, variance):
    torch.manual_seed(0)
    network = initialize(layers, scheme)
    for index, fans in FANS.items():
        assert network[index].weight.var().item() == pytest.approx(variance(*fans), rel=0.03)
        assert not network[index].bias.any()


def test_he_keeps_the_signal_through_30_layers_and_the_default_does_not():
    torch.manual_seed(0)
    deep = nn.Sequential(*[layer for _ in range(30) for layer in (nn.Linear(256, 256), nn.ReLU())])
    x = torch.randn(64, 256)
    assert deep(x).std() < 0.1
    assert 0.2 < initialize(deep, "he")(x).std() < 5


def test_normalisation_and_default_stay_as_they_were(layers):
    before = {key: value.clone() for key, value in layers.state_dict().items()}
    after = initialize(layers, "default").state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert initialize(layers, "he")[1].weight.eq(1).all()


def test_unknown_scheme_is_named(layers):
    with pytest.raises(ValueError, match=r"init orthogonal is not one of default, xavier, he; set model\.init"):
        initialize(layers, "orthogonal")
