"""Attention after convolutions or blocks of our CNNs, by timm's modules.

se: Hu, Shen & Sun 2018, Squeeze-and-Excitation Networks. cbam: Woo et al. 2018, Convolutional Block Attention Module.
eca: Wang et al. 2020, ECA-Net.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from torch import nn

from lightloom.networks.blocks import Block, ConvBlock
from lightloom.networks.choices import one_of


def se(channels: int) -> nn.Module:
    """Squeeze and excitation (Hu, Shen & Sun 2018): (B, channels, H, W) -> the same."""
    from timm.layers.squeeze_excite import SEModule  # here, for importing timm takes a second

    return SEModule(channels, rd_divisor=1)  # the paper's C / 16 also where it is below 8


def cbam(channels: int) -> nn.Module:
    """Channel and spatial attention (Woo et al. 2018): (B, channels, H, W) -> the same."""
    from timm.layers.cbam import CbamModule

    return CbamModule(channels)


def eca(channels: int) -> nn.Module:
    """Efficient channel attention (Wang et al. 2020): (B, channels, H, W) -> the same."""
    from timm.layers.eca import EcaModule

    return EcaModule(channels)


Attention = Literal["none", "se", "cbam", "eca"]
KINDS: dict[str, Callable[[int], nn.Module]] = {"se": se, "cbam": cbam, "eca": eca}


def add_attention(
    network: nn.Module, kind: str, at: str | Sequence[str], stages: Sequence[int] | None = None
) -> nn.Module:
    """Add attention at the end of the chosen parts of `network`, in place.

    kind: none | se | cbam | eca.
    at: conv (every spatial convolution) | block (every block; in a ResNet the residual branch, before the addition) |
        names of submodules.
    stages: only in these of the network's stages, `layer1`, `layer2`, ...; None: in the whole network.
    """
    one_of("attention", kind, get_args(Attention), "model.attention")
    if kind == "none":
        return network
    chosen = choose(network, at)
    within = {part for stage in (stages or ()) for part in stage_of(network, stage).modules()}
    targets = [(part, out_channels(part)) for part in chosen if stages is None or part in within]
    for part, channels in targets:
        part.add_module("attention", KINDS[kind](channels))
    return network


def choose(network: nn.Module, at: str | Sequence[str]) -> Sequence[nn.Sequential]:
    """The parts of `network` that `at` names."""
    parts = {
        name: part
        for name, part in network.named_modules()
        if name and isinstance(part, nn.Sequential) and out_channels(part)
    }
    blocks = [part for part in parts.values() if isinstance(part, Block)]
    if not blocks:
        raise ValueError(
            f"attention needs the blocks of a CNN of lightloom and {type(network).__name__} has none; "
            "set model.attention=none"
        )
    if at == "block":
        return blocks
    if at == "conv":
        return [part for part in parts.values() if isinstance(part, ConvBlock) and part.conv.kernel_size != (1, 1)]
    return [named(parts, name) for name in ([at] if isinstance(at, str) else at)]


def stage_of(network: nn.Module, stage: int) -> nn.Module:
    """The child `layer<stage>`; ValueError with the stages there are."""
    known = [name.removeprefix("layer") for name, _ in network.named_children() if re.fullmatch(r"layer\d+", name)]
    if not known:
        raise ValueError(f"{type(network).__name__} has no numbered stages; set model.attention_stages=null")
    one_of("attention_stages", str(stage), known, "model.attention_stages")
    return network.get_submodule(f"layer{stage}")


def named(parts: dict[str, nn.Sequential], name: str) -> nn.Sequential:
    """The part called `name`; ValueError with the names there are."""
    if name not in parts:
        names = [name for name, part in parts.items() if not isinstance(part, ConvBlock)]
        raise ValueError(f"attention_at {name} is not conv, block or one of {', '.join(names)}; set model.attention_at")
    return parts[name]


def out_channels(module: nn.Module) -> int:
    """Channels of the map `module` makes: those of its last layer that states them; 0 for what makes no map."""
    if isinstance(module, nn.Linear):
        return 0
    own = getattr(module, "out_channels", 0)
    return own or next(filter(None, map(out_channels, reversed(list(module.children())))), 0)
