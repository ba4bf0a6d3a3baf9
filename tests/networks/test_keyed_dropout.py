"""Dropout by keys: as random as dropout is, and of each text its own, whatever else is in the batch."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from conftest import compose, models_for
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn.functional import pad

from lightloom.config.compose import without_hydra
from lightloom.config.foreign import plain
from lightloom.config.instantiate import build
from lightloom.modules.classifier import Classifier
from lightloom.networks.keyed_dropout import KeyedDropout, drawn_by_chance, key_dropout, keyed_dropout
from lightloom.ops.rng import mix_tensor

KEYS = mix_tensor(7, torch.arange(64))


def mask(p: float = 0.5, keys: Tensor = KEYS, shape: tuple[int, ...] = (40, 24), stream: int = 0) -> Tensor:
    """What a layer keeps of ones, 1 or 0 each."""
    layer = KeyedDropout(p, stream=stream)
    layer.begin(keys)
    kept: Tensor = layer(torch.ones(len(keys), *shape, dtype=torch.float64)) * (1 - p)
    return kept.round()


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_the_rate_is_that_of_dropout_in_all_and_spread_over_samples_as_by_chance(p):
    """Each of 64 samples' shares is a mean of 960 draws."""
    dropped = (1 - mask(p)).flatten(1).mean(1)
    sd = math.sqrt(p * (1 - p) / 960)
    assert abs(float(dropped.mean()) - p) < 4 * sd / 8
    assert 0.65 < float(dropped.std()) / sd < 1.35  # 4 standard errors of a standard deviation of 64


def test_what_is_kept_is_scaled_as_dropout_scales():
    layer, x = KeyedDropout(0.2), torch.randn(64, 5, 7, dtype=torch.float64)
    layer.begin(KEYS)
    found = layer(x)
    torch.testing.assert_close(found[found != 0], (x / 0.8)[found != 0], rtol=1e-12, atol=0)
    assert not layer.eval()(x).ne(x).any()


def test_masks_of_samples_places_layers_and_steps_are_uncorrelated():
    """Of 61,440 draws each: the largest of the correlations is not beyond what chance has."""
    own = mask() - 0.5
    others = {
        "another sample": own.roll(1, 0),
        "another row": own.roll(1, 1),
        "a neighbour": own.roll(1, 2),
        "the next word of bits": own.roll(4, 2),
        "another layer": mask(stream=1) - 0.5,
        "another step": mask(keys=mix_tensor(8, torch.arange(64))) - 0.5,
    }
    layer = KeyedDropout(0.5)
    layer.begin(KEYS)
    first, second = (layer(torch.ones(64, 40, 24)) for _ in range(2))
    others["another call"] = second.double() / 2 - 0.5
    assert torch.equal(first.double() / 2 - 0.5, own)
    for name, other in others.items():
        assert abs(float((own * other).mean()) * 4) < 4.5 / math.sqrt(own.numel()), name


@pytest.mark.parametrize("shape", [(5,), (12, 5), (3, 9, 9)])
def test_a_place_has_its_mask_whatever_the_padding_and_the_mates(shape):
    longer = tuple(size + 3 for size in shape)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))[:11]
    inside = (slice(None), *map(slice, shape))
    assert torch.equal(mask(keys=KEYS[order], shape=longer)[inside], mask(shape=shape)[order])


def test_without_keys_it_is_dropout():
    x = torch.randn(6, 4)
    ours, theirs = KeyedDropout(0.3), nn.Dropout(0.3)
    torch.manual_seed(0)
    expected = theirs(x)
    for keys in (None, KEYS):  # six rows are not those of 64 keys
        ours.begin(keys)
        torch.manual_seed(0)
        assert torch.equal(ours(x), expected)


def test_a_layer_at_two_places_stays_one_and_state_keeps_its_keys():
    shared = nn.Dropout(0.5)
    made = nn.Sequential(nn.Linear(2, 2), shared, nn.Sequential(shared, nn.Dropout(0.0)), nn.Dropout(0.1))
    before = list(made.state_dict())
    key_dropout(made)
    assert made[1] is made[2][0]
    assert [type(layer) for layer in (made[1], made[2][1], made[3])] == [KeyedDropout, nn.Dropout, KeyedDropout]
    assert made[1].stream != made[3].stream
    assert list(made.state_dict()) == before


def test_layers_that_draw_inside_torch_are_named(caplog):
    made = nn.ModuleDict(
        {
            "two": nn.LSTM(2, 2, 2, dropout=0.1), "one": nn.GRU(2, 2), "path": DropPath(0.1), "none": DropPath(0.0),
            "heads": nn.MultiheadAttention(2, 1, dropout=0.1), "units": nn.Dropout1d(), "ours": nn.Dropout(),
        }
    )  # fmt: skip
    key_dropout(made)
    assert drawn_by_chance(made) == ["two", "path", "heads", "units"]
    for _ in range(2):
        with keyed_dropout(made, 1, torch.ones(1, 8, dtype=torch.int64)):
            pass
    (line,) = caplog.messages
    assert "two, path, heads, units" in line


# --- every network of texts

MODELS = models_for("text_classification")
LENGTHS = (1, 2, 5, 13, 24, 8, 3, 9)


@functools.cache
def classifier(model: str) -> nn.Module:
    """The network of configs/model in double precision, in training, as a Classifier makes it, each rate 0.5."""
    facts = ("data.vocab_size=40", "data.num_classes=3", "data.max_length=32")
    cfg = without_hydra(compose(f"model={model}", "data=reviews_toy", *facts))
    torch.manual_seed(0)
    network = build(plain(cfg.model)["network"], "model.network").double()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.5
    return Classifier(network, torch.optim.SGD, 3).network.train()


def texts() -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = [torch.randint(1, 40, (length,), generator=generator) for length in LENGTHS]
    return found, torch.randn(len(found), 3, dtype=torch.float64, generator=generator)


def gradients(network: nn.Module, rows: list[int], length: int, step_key: int | None = 5) -> tuple[Tensor, Tensor]:
    """Logits of some texts, padded to a length, and the gradient of a sum over texts by all weights, flat."""
    ids, weights = texts()
    batch = torch.stack([pad(ids[i], (0, length - len(ids[i]))) for i in rows])
    network.zero_grad()
    with keyed_dropout(network, step_key, batch):
        logits = network(batch)
        (logits * weights[rows]).sum().backward()
    return logits.detach(), torch.cat([p.grad.flatten() for p in network.parameters()])


@pytest.mark.parametrize("model", MODELS)
def test_shares_of_a_batch_in_any_order_and_padding_add_up_to_it(model):
    """As processes and accumulated parts have them, to rounding; one that drops by chance is off by parts of one."""
    network = classifier(model)
    logits, whole = gradients(network, [*range(8)], 24)
    shares = [gradients(network, rows, length) for rows, length in (([6, 0, 2], 8), ([7, 3, 4, 1], 32), ([5], 8))]
    torch.testing.assert_close(sum(gradient for _, gradient in shares), whole, rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.cat([one for one, _ in shares])[[1, 6, 2, 4, 5, 7, 0, 3]], logits)
    others = {"a new step": gradients(network, [*range(8)], 24, 6)[0], "none": classifier_without(network)}
    for name, other in others.items():
        assert (logits - other).abs().amax(1).min() > 1e-6, name


@torch.no_grad()
def classifier_without(network: nn.Module) -> Tensor:
    """Logits of the same texts without dropout."""
    ids, _ = texts()
    logits: Tensor = network.eval()(torch.stack([pad(one, (0, 24 - len(one))) for one in ids]))
    network.train()
    return logits


@pytest.mark.parametrize("model", ["bag", "lstm", "text_transformer"])
def test_traced_it_drops_the_same(model):
    """As torch.compile traces it, without the C++ compiler."""
    network = classifier(model)
    expected = gradients(network, [*range(8)], 24)[1]
    compiled = torch.compile(network, backend="eager")
    ids, weights = texts()
    batch = torch.stack([pad(one, (0, 24 - len(one))) for one in ids])
    network.zero_grad()
    with keyed_dropout(network, 5, batch):
        (compiled(batch) * weights).sum().backward()
    found = torch.cat([p.grad.flatten() for p in network.parameters()])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
