"""Randomness as a pure function of its key, so that a run can be continued exactly.

A key is a 64-bit integer mixed from what identifies a draw: (seed, epoch, index) for a sample, (seed, rank, step) for a
training step. Nothing random is left over between two draws, so there is no random state to save.
The mixer is SplitMix64 (Steele, Lea & Flood 2014, Fast Splittable Pseudorandom Number Generators).
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

_GOLDEN, _MUL1, _MUL2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_CLASSES = 3  # the seed by which a latent's class is drawn
_PLACES = 4  # that by which the axes of a sample are told apart
_MASK = (1 << 64) - 1


def mix(*parts: int) -> int:
    """One 63-bit key from integers; every part and their order matter."""
    return _state(parts) >> 1


def mixer(*parts: int) -> Callable[[int], int]:
    """`mix(*parts, last)` as a function of the last part."""
    begun = _state(parts)
    return lambda last: _state([last], begun) >> 1


def mix_tensor(key: int, values: Tensor) -> Tensor:
    """`mix(key, value)` for each value, as one batched expression on the values' device.

    values: int64, any shape. Returns int64 of the same shape, in [0, 2**63).
    """
    return _shift(_finish(values + _signed(_state([key]) + _GOLDEN)), 1)


def uniform(keys: Tensor, stream: int) -> Tensor:
    """One number in [0, 1) per key; different streams of the same key are independent.

    keys: int64 (B,). Returns float32 (B,) on the keys' device, with 24 random bits.
    """
    bits = _finish(keys + _signed((stream + 1) * _GOLDEN))
    return _shift(bits, 40).to(torch.float32) * 2.0**-24


def uniforms(keys: Tensor, count: int) -> Tensor:
    """`count` numbers in [0, 1) per key. keys: int64 (B,). Returns float32 (B, count)."""
    return uniform(_finish(keys[:, None] + _signed(_GOLDEN) * torch.arange(1, count + 1, device=keys.device)), 0)


def random_bits(keys: Tensor, shape: Sequence[int]) -> Tensor:
    """16 random bits for each place of a sample: int16 (B, *shape), uniform in [-2^15, 2^15). keys: int64 (B,).

    A place is known by its coordinates alone: of a larger shape the first places have the same bits.
    """
    *rows, columns = shape
    places = torch.arange(-(-columns // 4), device=keys.device) * _signed(_GOLDEN)
    for axis, count in enumerate(rows):
        steps = torch.arange(count, device=keys.device) * _signed(mix(_PLACES, axis) * 2 + 1)
        places = places + steps.view(-1, *[1] * (len(rows) - axis))
    words = _finish(keys.view(-1, *[1] * len(shape)) + places)
    return words.view(torch.int16)[..., :columns]


def normals(keys: Tensor, count: int) -> Tensor:
    """`count` draws of N(0, 1) per key (Box & Muller 1958). keys: int64 (B,). Returns float32 (B, count)."""
    radius, angle = uniforms(keys, 2 * ((count + 1) // 2)).chunk(2, dim=1)
    radius = (-2 * torch.log1p(-radius)).sqrt()
    return torch.cat([radius * (2 * math.pi * angle).cos(), radius * (2 * math.pi * angle).sin()], dim=1)[:, :count]


def latents(seed: int, count: int, latent_dim: int, device: torch.device | str = "cpu") -> Tensor:
    """z (count, latent_dim) ~ N(0, I), where z[i] depends on nothing but the seed and i."""
    return normals(mix_tensor(seed, torch.arange(count, device=device)), latent_dim)


def truncated_latents(seed: int, count: int, latent_dim: int, truncation: float) -> Tensor:
    """As `latents`, each value of the central share `truncation` of N(0, 1) only; with 1 exactly those.

    The i-th latent's values are moved, in their order, to where a truncated normal distribution has them: 0.5 leaves
    none beyond 0.67, 0.95 none beyond 1.96.  The truncation trick (Brock et al. 2019, section 3.1).
    """
    z = latents(seed, count, latent_dim)
    if truncation == 1:
        return z
    ranks = torch.special.ndtr(z.double())
    truncated: Tensor = torch.special.ndtri(0.5 + truncation * (ranks - 0.5))
    return truncated.float()


def latent_classes(z: Tensor, shares: Tensor) -> Tensor:
    """A class for each latent (B, latent_dim), int64 (B,), a function of its values. shares: (K,), which sum to 1."""
    bounds = shares.double().cumsum(0)[:-1]
    return torch.bucketize(uniform(content_keys(z, _CLASSES), 0).double(), bounds, right=True)


def content_keys(x: Tensor, seed: int) -> Tensor:
    """One key per sample, from its values (B, ...) in [0, 1]: the same wherever and with whom it is evaluated.

    Values are taken to the nearest 1/255.
    """
    levels = x.flatten(1).mul(255).round().long()
    weights = mix_tensor(seed, torch.arange(levels.shape[1], device=x.device)) * 2 + 1
    return _shift(_finish((levels * weights).sum(1)), 1)


def text_keys(ids: Tensor, seed: int) -> Tensor:
    """One key per text, int64 (B,), from its ids (B, T), padded with 0: whatever the padding and the other texts."""
    places = torch.arange(ids.shape[1], device=ids.device)
    return (ids * (mix_tensor(seed, places) * 2 + 1)).sum(1)


def seed_everything(key: int) -> None:
    """Seed torch (all devices in use), NumPy and Python; in microseconds, where `torch.manual_seed` takes 300."""
    torch.default_generator.manual_seed(key)
    if torch.cuda.is_initialized():
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(key)
    if _has_mps():
        torch.mps.manual_seed(key)
    np.random.seed(key & 0xFFFFFFFF)
    random.seed(key)


@functools.cache
def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _state(parts: Iterable[int], z: int = _GOLDEN) -> int:
    for part in parts:
        z = (z + part + _GOLDEN) & _MASK
        z = ((z ^ (z >> 30)) * _MUL1) & _MASK
        z = ((z ^ (z >> 27)) * _MUL2) & _MASK
        z ^= z >> 31
    return z


def _finish(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _signed(_MUL1)
    z = (z ^ _shift(z, 27)) * _signed(_MUL2)
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """The 64-bit pattern as the int64 that torch wants."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value
