"""A U-Net whose contracting path is any encoder of timm that gives its feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, checked
from lightloom.networks.blocks import Block, ConvBlock
from lightloom.networks.library import check_name, no_weights, read
from lightloom.networks.segmentation.unet import enlarged_to, padded


class TimmUNet(nn.Module):
    """Images (B, in_channels, H, W) to logits (B, num_classes, H, W), H and W at least 1.

    name: timm's name of the encoder, whose maps are halved step by step. widths: of the decoder, from the deepest map
    on; the last one stands for all that are left. Weights come from timm's own download (`pretrained=true`) or a
    state_dict file of the whole network (`checkpoint=path`), whose classifier is left aside.
    """

    @checked
    def __init__(
        self,
        name: str,
        in_channels: Count,
        num_classes: Count,
        widths: Sequence[Count] = (128, 64, 48, 32, 16),
        pretrained: bool = False,
        checkpoint: str | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder_of(name, in_channels, pretrained, checkpoint)
        maps: Any = self.encoder.feature_info
        channels, strides = maps.channels(), maps.reduction()
        if any(b != 2 * a for a, b in pairwise(strides)):
            raise UserError(
                f"model.network.name={name}: its maps have the strides {strides}, not each twice the one before; "
                f"choose an encoder whose resolution halves step by step, such as resnet18."
            )
        self.stride = strides[-1]
        own = [*widths, *[widths[-1]] * len(channels)]
        inputs, skips = channels[-1], [*channels[-2::-1], 0]
        self.blocks = nn.ModuleList()
        for skip, width in zip(skips, own, strict=False):
            self.blocks.append(
                Block(ConvBlock(inputs + skip, width, 3, norm="batch"), ConvBlock(width, width, 3, norm="batch"))
            )
            inputs = width
        self.head = nn.Conv2d(inputs, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        fitting = padded(images, self.stride)
        *maps, x = self.encoder(fitting)
        for block, skip in zip(self.blocks, [*reversed(maps), None], strict=True):
            x = interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x if skip is None else torch.cat([x, skip], 1))
        whole = enlarged_to(self.head(x), fitting.shape[-2:])
        return whole[..., : images.shape[-2], : images.shape[-1]]


def encoder_of(name: str, in_channels: int, pretrained: bool, checkpoint: str | None) -> nn.Module:
    """timm's network without its head, giving its maps from the largest to the smallest."""
    check_name(name, timm.list_models(pretrained="." in name), "timm")
    try:
        encoder: nn.Module = timm.create_model(name, pretrained, in_chans=in_channels, features_only=True)
    except (OSError, RuntimeError) as error:
        if pretrained:
            raise no_weights(name, error) from error
        raise UserError(
            f"model.network.name={name}: timm does not give its feature maps ({str(error).splitlines()[0]}); choose a "
            f"convolutional encoder, such as resnet18."
        ) from error
    if checkpoint:
        _load(encoder, name, checkpoint)
    return encoder


def _load(encoder: nn.Module, name: str, path: str) -> None:
    """What the encoder has of a file; UserError where that is not all of it."""
    state, own = read(path), encoder.state_dict()
    kept = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    if lacking := sorted(own.keys() - kept.keys()):
        raise UserError(
            f"{path} does not fit the encoder {name}: {len(lacking)} of its {len(own)} tensors are missing or of "
            f"another shape, as {lacking[0]}; set model.network.name to the network that it was saved from."
        )
    encoder.load_state_dict(kept)
