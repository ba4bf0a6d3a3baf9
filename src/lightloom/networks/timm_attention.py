"""The attention of timm's layers, spelled out: its weights then pass through the layer's `attn_drop`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn


def attention_layers(network: nn.Module) -> list[Any]:
    """Layers of timm that attend: they can spell out their attention, which then passes through `attn_drop`."""
    return [part for part in network.modules() if hasattr(part, "fused_attn") and hasattr(part, "attn_drop")]


@contextmanager
def spelled_out(layers: Sequence[Any]) -> Iterator[None]:
    """Inside, no kernel computes these layers' attention in one."""
    fused = [layer.fused_attn for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False
        yield
    finally:
        for layer, was in zip(layers, fused, strict=True):
            layer.fused_attn = was
