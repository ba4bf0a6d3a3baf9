"""Images of noise, the same at each call."""

from __future__ import annotations

import torch
from torch import Tensor


def images(*shape: int) -> Tensor:
    """Uniform in [0, 1)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))
