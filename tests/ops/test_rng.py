"""Keys against a slow reference, and that they are as good as random."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm, truncnorm

from lightloom.ops.rng import (
    latents,
    mix,
    mix_tensor,
    mixer,
    random_bits,
    seed_everything,
    text_keys,
    truncated_latents,
    uniform,
)

N = 200_000
EDGES = [0, 1, -1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, -(2**63)]


class SplitMix64:
    """The published generator (Steele, Lea & Flood 2014; Vigna's splitmix64.c): next() for a state."""

    def __init__(self, state: int) -> None:
        self.state = state % 2**64

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ (z // 2**30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z // 2**27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z // 2**31)


def slow_mix(*parts: int) -> int:
    z = 0x9E3779B97F4A7C15
    for part in parts:
        z = SplitMix64(z + part).next()
    return z // 2


def test_reference_is_splitmix64():
    """The first numbers of splitmix64.c for the state 1234567."""
    generator = SplitMix64(1234567)
    assert [generator.next() for _ in range(2)] == [6457827717110365317, 3203168211198807973]


@pytest.mark.parametrize("parts", [(), (0,), (0, 0), (1, 2, 3), (2**64 - 1,), (-1, -2), (7, -1)])
def test_mix_is_the_reference(parts):
    assert mix(*parts) == slow_mix(*parts)
    assert mixer(*parts)(5) == mix(*parts, 5)


@pytest.mark.parametrize("key", [0, 1, 2**62 + 3, 2**63 - 1])
def test_mix_tensor_is_mix_of_each(key):
    values = torch.tensor([*EDGES, *range(100)])
    assert mix_tensor(key, values).tolist() == [mix(key, value) for value in values.tolist()]


@pytest.mark.parametrize("stream", [0, 1, 7])
def test_uniform_is_the_stream_th_number_of_the_generator(stream):
    """The first 24 of its bits."""
    keys = torch.tensor([k for k in EDGES if k >= 0])
    expected = []
    for key in keys.tolist():
        generator = SplitMix64(key)
        numbers = [generator.next() for _ in range(stream + 1)]
        expected.append(numbers[-1] // 2**40 / 2**24)
    assert uniform(keys, stream).tolist() == expected


@pytest.mark.parametrize("shape", [(1,), (9,), (3, 6), (2, 3, 5)])
def test_random_bits_are_the_mixed_words_cut_into_four(shape):
    """Word n of a row is that of the key, n golden ratios, and a step of its own for each axis before, from its end."""
    golden, keys = 0x9E3779B97F4A7C15, [0, 5, 2**63 - 1]
    steps = [slow_mix(4, axis) * 2 + 1 for axis in range(len(shape) - 1)]
    found = random_bits(torch.tensor(keys), shape)
    assert found.shape == (3, *shape)
    for row, key in enumerate(keys):
        for *place, column in np.ndindex(*shape):
            state = key + column // 4 * golden + sum(i * step for i, step in zip(place, steps, strict=True))
            word = SplitMix64(state - golden).next()  # the mixer alone
            bits = word >> 16 * (column % 4) & 0xFFFF
            assert int(found[(row, *place, column)]) % 2**16 == bits


def test_random_bits_are_uniform():
    bits = random_bits(torch.arange(64), (40, 78)).flatten().double()
    assert kstest((bits.numpy() + 2**15 + 0.5) / 2**16, "uniform").pvalue > 1e-3


def test_a_text_s_key_is_the_sum_of_its_ids_by_odd_weights_whatever_the_padding():
    ids = torch.tensor([[3, 1, 0, 0], [1, 3, 0, 0], [3, 1, 7, 2]])
    slow = [sum(one * (2 * slow_mix(9, i) + 1) for i, one in enumerate(row)) % 2**64 for row in ids.tolist()]
    found = text_keys(ids, 9)
    assert [key % 2**64 for key in found.tolist()] == slow
    assert torch.equal(text_keys(ids[:1, :2], 9), found[:1])
    assert len(found.unique()) == 3


def test_order_and_every_part_matter():
    keys = {mix(*parts) for a in range(20) for b in range(20) for parts in ((a, b), (a, b, 0), (0, a, b))}
    assert len(keys) == 3 * 400 - 20  # (0, b, 0) is made twice


def test_neighbours_differ_in_half_of_their_bits():
    """Avalanche: one step in seed, epoch or index flips each of the 63 bits with probability 1/2."""
    bits = [bin(mix(s, e, i) ^ mix(*other)).count("1") for s in range(9) for e in range(9) for i in range(9)
            for other in ((s + 1, e, i), (s, e + 1, i), (s, e, i + 1))]  # fmt: skip
    mean, error = np.mean(bits), np.sqrt(63 / 4 / len(bits))
    assert abs(mean - 31.5) < 4 * error


@pytest.mark.parametrize("stream", [0, 3])
def test_uniform_is_uniform(stream):
    """Kolmogorov-Smirnov distance below the bound that chance exceeds once in 10,000 (1.95 / sqrt(n))."""
    numbers = uniform(mix_tensor(mix(0, 5), torch.arange(N)), stream).double().sort().values
    assert numbers[0] >= 0
    assert numbers[-1] < 1
    steps = torch.arange(N, dtype=torch.float64) / N
    distance = torch.maximum((numbers - steps).abs(), (numbers - steps - 1 / N).abs()).max()
    assert distance < 1.95 / N**0.5


@pytest.mark.parametrize(
    "pair",
    [
        lambda keys: (uniform(keys, 0), uniform(keys, 1)),
        lambda keys: (uniform(keys, 1), uniform(keys, 6)),
        lambda keys: (uniform(keys[:-1], 0), uniform(keys[1:], 0)),
        lambda keys: (uniform(keys, 0), uniform(mix_tensor(mix(0, 6), torch.arange(N)), 0)),
        lambda keys: (uniform(keys, 0), uniform(mix_tensor(mix(1, 5), torch.arange(N)), 0)),
    ],
    ids=["streams", "distant streams", "neighbours", "epochs", "seeds"],
)
def test_streams_are_independent(pair):
    """Chi-square of an 8x8 table: 49 degrees of freedom, exceeded by chance once in 10,000 above 95."""
    a, b = pair(mix_tensor(mix(0, 5), torch.arange(N)))
    cells = torch.bincount((a * 8).long() * 8 + (b * 8).long(), minlength=64).double().view(8, 8)
    expected = cells.sum(1, keepdim=True) * cells.sum(0, keepdim=True) / cells.sum()
    assert float(((cells - expected) ** 2 / expected).sum()) < 95


def test_seeding_decides_all_generators():
    def draw(key: int) -> list[float]:
        seed_everything(key)
        return [torch.rand(()).item(), float(np.random.rand()), random.random()]

    first = draw(mix(0, 1))
    assert draw(mix(0, 2)) != first
    assert draw(mix(0, 1)) == first
    assert all(a != b for a, b in zip(first, draw(mix(0, 2)), strict=True))


def test_truncation_of_1_is_none():
    assert torch.equal(truncated_latents(3, 50, 7, 1.0), latents(3, 50, 7))


@pytest.mark.parametrize("truncation", [0.95, 0.5, 0.01])
def test_truncated_latents_are_a_truncated_normal_in_the_same_order(truncation):
    """Kolmogorov and Smirnov's test against scipy's truncated normal; the first n of more are the same."""
    whole, part = latents(3, 2000, 3).flatten(), truncated_latents(3, 2000, 3, truncation)
    bound = norm.ppf((1 + truncation) / 2)
    assert kstest(part.flatten().numpy(), truncnorm(-bound, bound).cdf).pvalue > 0.01
    assert (part.flatten()[whole.argsort()].diff() >= 0).all()
    assert torch.equal(truncated_latents(3, 20, 3, truncation), part[:20])
