"""The last layers of a classifier, those that know its classes: which they are, and how new ones begin."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn

WEIGHTED = (nn.Linear, nn.Conv2d)
SHARE = 0.1  # of the bound that torch draws a Linear within


def head_names(network: nn.Module) -> tuple[str, ...]:
    """The names of the layers that give the logits: as timm states them of its networks, of others the last one."""
    modules = dict(network.named_modules())
    for path, module in modules.items():
        stated = (getattr(module, "pretrained_cfg", None) or {}).get("classifier")
        if stated:
            names = (stated,) if isinstance(stated, str) else stated
            return tuple(f"{path}.{name}" if path else name for name in names)
    return tuple(name for name, module in modules.items() if isinstance(module, WEIGHTED))[-1:]


def draw_head(network: nn.Module, names: Iterable[str]) -> None:
    """Draw new layers small: U(-b, b) with b = 0.1 / sqrt(fan in), biases zero.

    The first loss is then the logarithm of the number of classes, whatever the library's own draw: timm's for an
    EfficientNet goes by the fan out, which of two classes is +-0.7, and a first loss of 4.4 instead of 0.69.
    """
    for layer in map(network.get_submodule, names):
        if isinstance(layer, WEIGHTED):
            bound = SHARE / math.sqrt(layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def rest_of(network: nn.Module, names: Iterable[str]) -> list[str]:
    """The names of all that is not the head: the largest modules that hold none of it, and single parameters."""
    heads = set(names)
    holders = {"", *(".".join(name.split(".")[:end]) for name in heads for end in range(1, len(name.split("."))))}
    found = []
    for holder in (path for path, _ in network.named_modules() if path in holders):
        module = network.get_submodule(holder)
        below = [*(name for name, _ in module.named_parameters(recurse=False)), *dict(module.named_children())]
        paths = [f"{holder}.{name}" if holder else name for name in below]
        found += [path for path in paths if path not in holders | heads and _learns(network, path)]
    return found


def _learns(network: nn.Module, path: str) -> bool:
    return any(name == path or name.startswith(f"{path}.") for name, _ in network.named_parameters())
