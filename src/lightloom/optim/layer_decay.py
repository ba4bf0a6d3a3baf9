"""Layer-wise decay of the learning rate: the top layer has the optimizer's rate, each below a share of the one above.

Clark et al. 2020, ELECTRA, appendix B; Bao et al. 2022, BEiT, appendix H.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

PLAIN_CONTAINERS = (nn.Sequential, nn.ModuleList)  # not their subclasses, which are blocks


def layer_scales(networks: Iterable[nn.Module], layer_decay: float) -> dict[nn.Parameter, float]:
    """layer_decay ** (layers above), for the parameters of each network; its top layer has 1."""
    scales: dict[nn.Parameter, float] = {}
    for network in networks:
        layers = layers_of(network)
        top = max(layers.values(), default=0)
        scales |= {parameter: layer_decay ** (top - layer) for parameter, layer in layers.items()}
    return scales


def layers_of(network: nn.Module) -> dict[nn.Parameter, int]:
    """The number of each parameter's layer, from 0 at the input: as timm groups its networks, others by blocks."""
    matched = next((part for part in network.modules() if hasattr(part, "group_matcher")), None)
    if matched is None:
        return _by_blocks(network)
    layers = _by_timm(matched)
    top = max(layers.values(), default=0)
    return dict.fromkeys(network.parameters(), top) | layers


def _by_timm(network: Any) -> dict[nn.Parameter, int]:
    from timm.models import group_parameters  # which is loaded where there is such a network

    numbers = group_parameters(network, network.group_matcher(coarse=False), reverse=True)
    return {parameter: numbers[name] for name, parameter in network.named_parameters()}


def _by_blocks(network: nn.Module) -> dict[nn.Parameter, int]:
    """A layer for each block; parameters of the network itself, such as a class token, are of the lowest."""
    layers, number = dict.fromkeys(network.parameters(), 0), -1
    for block in _blocks(network):
        starts_a_layer = any(parameter.ndim > 1 for parameter in block.parameters())  # a norm is of the layer before it
        number = max(number + starts_a_layer, 0)
        layers |= dict.fromkeys(block.parameters(), number)
    return layers


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    """The network's children, or those of its only child, in the order of registration; a container's instead of it."""
    children = _children(network)
    while len(children) == 1 and _children(children[0]):
        children = _children(children[0])
    for child in children:
        yield from _opened(child)


def _opened(block: nn.Module) -> Iterator[nn.Module]:
    if type(block) not in PLAIN_CONTAINERS:
        yield block
        return
    for child in _children(block):
        yield from _opened(child)


def _children(module: nn.Module) -> list[nn.Module]:
    """Those with parameters."""
    return [child for child in module.children() if next(child.parameters(), None) is not None]
