"""Measure a generator's batch norms anew.  Brock et al. 2019, appendix C: standing statistics."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lightloom.ops.rng import mix, truncated_latents

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_STANDING = -5  # the stream of these latents
BATCH = 64  # latents


@torch.no_grad()
def measure_norms(module: Any, batches: int, seed: int = 0, truncation: float = 1.0) -> None:
    """Let the batch norms of `module.generator` take mean and variance from so many batches of its images.

    These are a function of the seed alone. Spectral norm's power iterations go on meanwhile. Modes stay as they were;
    nothing happens without batches or batch norms. truncation: of the latents, as `truncated_latents` has it.
    """
    network: nn.Module = module.generator
    norms = [part for part in network.modules() if isinstance(part, BATCH_NORMS)]
    if not norms or not batches:
        return
    modes = {part: part.training for part in network.modules()}
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    network.train()
    z = truncated_latents(mix(seed, _STANDING), batches * BATCH, module.latent_dim, truncation)
    for batch in z.to(module.device, module.dtype).split(BATCH):
        module.decode(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for part, training in modes.items():
        part.training = training
