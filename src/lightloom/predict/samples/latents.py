"""The latents of `ops.rng.latents` by numpy alone: the same seed, the same samples, with torch or without."""

from __future__ import annotations

import numpy as np

GOLDEN, MUL1, MUL2 = (np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def latents(seed: int, count: int, latent_dim: int) -> np.ndarray:
    """z (count, latent_dim), float32, N(0, I)."""
    with np.errstate(over="ignore"):
        begun = _finish(np.array([GOLDEN + np.uint64(seed) + GOLDEN], dtype=np.uint64))
        keys = _finish(np.arange(count, dtype=np.uint64) + begun + GOLDEN) >> np.uint64(1)
        radius, angle = np.split(_uniforms(keys, 2 * ((latent_dim + 1) // 2)), 2, axis=1)
        radius = np.sqrt(-2 * np.log1p(-radius))
    turn = np.float32(2 * np.pi) * angle
    return np.concatenate([radius * np.cos(turn), radius * np.sin(turn)], 1)[:, :latent_dim].astype(np.float32)


def _uniforms(keys: np.ndarray, count: int) -> np.ndarray:
    each = _finish(keys[:, None] + GOLDEN * np.arange(1, count + 1, dtype=np.uint64))
    return (_finish(each + GOLDEN) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def _finish(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * MUL1
    z = (z ^ (z >> np.uint64(27))) * MUL2
    return z ^ (z >> np.uint64(31))
