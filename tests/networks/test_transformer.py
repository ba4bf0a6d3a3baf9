"""What attention, positions and a GPT are by their formulas: who sees what, and what does not matter."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.networks.transformer.attention import MultiHeadAttention, attention_weights, causal
from lightloom.networks.transformer.gpt import GPT
from lightloom.networks.transformer.positions import Rotary, sinusoids

KINDS = list(product(("learned", "sinusoidal", "rotary"), ("pre", "post")))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ids_of(count: int, length: int, vocabulary: int = 11, seed: int = 0) -> Tensor:
    return torch.randint(vocabulary, (count, length), generator=torch.Generator().manual_seed(seed))


def attention(*arguments: object, **options: object) -> MultiHeadAttention:
    torch.manual_seed(0)
    return MultiHeadAttention(*arguments, **options).eval()  # type: ignore[arg-type]


def gpt(positions: str = "learned", norm: str = "pre", **options: object) -> GPT:
    torch.manual_seed(0)
    sizes = {"vocab_size": 11, "block_size": 12, "layers": 2, "heads": 2, "dim": 16, **options}
    return GPT(positions=positions, norm=norm, **sizes).eval()  # type: ignore[arg-type]


# --- attention


def test_weights_are_a_distribution_over_what_is_seen():
    seen = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0)) < 0.5
    seen[0, 2] = False
    weights = attention_weights(noise(3, 5, 4), noise(3, 7, 4, seed=1), seen)
    assert (weights[~seen] == 0).all()
    expected = torch.ones(3, 5)
    expected[~seen.any(2)] = 0
    torch.testing.assert_close(weights.sum(2), expected)


def test_scores_keep_the_variance_of_one():
    """q . k of d normal values each has variance d, and weights that are not divided by sqrt(d) would be one-hot."""
    query, key = noise(2000, 1, 64), noise(2000, 64, 64, seed=1)
    assert float((query @ key.mT / 64**0.5).var()) == pytest.approx(1, abs=0.03)
    largest = attention_weights(query, key).amax(2).mean()
    assert float(largest) < 0.15 < float((query @ key.mT).softmax(2).amax(2).mean())


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
def test_many_heads_are_the_formula_in_each_subspace(heads, is_causal):
    module, x = attention(8, heads, is_causal), noise(2, 6, 8)
    query, key, value = module.projections(x).split(8, 2)
    found = []
    for part in torch.arange(8).split(8 // heads):
        weights = attention_weights(query[..., part], key[..., part], causal(6) if is_causal else None)
        found.append(weights @ value[..., part])
    torch.testing.assert_close(module(x), module.out(torch.cat(found, 2)))


def test_what_may_not_be_seen_changes_nothing_and_a_row_that_sees_nothing_is_zero():
    module, x = attention(8, 2), noise(2, 6, 8)
    seen = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]], dtype=torch.bool)[:, None, None]
    changed = x.clone()
    changed[0, 4:] += 5
    assert torch.equal(module(x, seen)[0, :4], module(changed, seen)[0, :4])
    assert torch.equal(module(x, seen)[1], module.out.bias.expand(6, -1))


def test_without_positions_places_are_a_set():
    module, x = attention(8, 2).double(), noise(1, 6, 8).double()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(module(x)[:, order], module(x[:, order]), atol=1e-14, rtol=0)


# --- positions


def test_sinusoids_of_two_places_know_their_distance():
    table = sinusoids(200, 32).double()
    for k in (1, 7, 50):
        products = (table[:-k] * table[k:]).sum(1)
        assert float(products.max() - products.min()) < 1e-5
        rates = 10_000.0 ** (-torch.arange(0, 32, 2, dtype=torch.float64) / 32) * k
        turned = torch.stack([table[:-k, 0::2] * rates.cos() + table[:-k, 1::2] * rates.sin()], 2).flatten(1)
        torch.testing.assert_close(turned, table[k:, 0::2], atol=1e-6, rtol=0)


def test_rotary_scores_depend_on_the_distance_alone():
    rotary, query, key = Rotary(40, 8), noise(1, 8), noise(1, 8, seed=1)
    for distance in (0, 1, 9):
        scores = [float(rotary(query, start + distance) @ rotary(key, start).mT) for start in (0, 5, 30)]
        assert scores == pytest.approx([scores[0]] * 3, abs=1e-5)
    torch.testing.assert_close(rotary(query, 17).norm(), query.norm())


# --- GPT


@pytest.mark.parametrize(("positions", "norm"), KINDS)
def test_a_place_is_bitwise_independent_of_those_after_it(positions, norm):
    network, ids = gpt(positions, norm), ids_of(2, 12)
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 11
    found, other = network(ids), network(changed)
    assert torch.equal(found[:, :7], other[:, :7])
    assert not torch.isclose(found[:, 7], other[:, 7]).any(1).all()


@pytest.mark.parametrize(("positions", "norm"), KINDS)
def test_the_order_of_what_is_before_matters(positions, norm):
    network, ids = gpt(positions, norm), torch.tensor([[1, 2, 3, 4], [2, 1, 3, 4]])
    for layer in network.layers:
        layer.attention.projections.weight.data *= 20  # which begin so small that all is looked at evenly
        layer.attention.out.weight.data *= 20
    first, second = network(ids)[:, -1]
    assert (first - second).abs().max() > 1e-4


@pytest.mark.parametrize(("positions", "norm"), KINDS)
def test_a_cache_gives_what_the_whole_gives(positions, norm):
    """One by one, by pieces, or all at once; not bitwise, for sums of other shapes are taken in another order."""
    network, ids = gpt(positions, norm), ids_of(3, 12)
    whole = network(ids).log_softmax(2)
    for sizes in ([1] * 12, [5, 1, 1, 5], [12]):
        cache = network.empty_cache()
        found = torch.cat([network(piece, cache) for piece in ids.split(sizes, 1)], 1).log_softmax(2)
        torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_before_training_all_ids_are_equally_likely(positions, tied):
    network = gpt(positions, tied=tied, vocab_size=500, dim=64, block_size=32)
    ids = ids_of(16, 33, 500)
    loss = torch.nn.functional.cross_entropy(network(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert float(loss) == pytest.approx(math.log(500), rel=0.02)


def test_tied_weights_are_one_parameter_with_one_name():
    tied, untied = gpt(), gpt(tied=False)
    assert [name for name in untied.state_dict() if name not in tied.state_dict()] == ["head.weight"]
    ids = ids_of(1, 4)
    tied(ids)[0, -1, 5].backward()
    assert (tied.embedding.weight.grad[5] != 0).any()


def test_it_has_as_many_weights_as_nanogpt_says():
    """65 characters, 4 layers, 4 heads, 128 wide, 64 places: 0.80 million, as its README has it."""
    assert sum(p.numel() for p in GPT(65, 64).parameters()) == 804_096


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UserError, match=r"dim 16 .* 3 heads; set model.network.heads"):
        gpt(heads=3)
