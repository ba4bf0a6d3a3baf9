"""Networks of lightning-bolts in this project's conventions: U-Net for images."""

from __future__ import annotations

from torch import nn

from lightloom.core.parts import part
from lightloom.core.ranges import Count
from lightloom.integrations.bolts import load


@part
def unet(channels: Count, image_size: Count, outputs: Count, num_layers: Count = 3, width: Count = 32) -> nn.Module:
    """Ronneberger et al. 2015, U-Net, arXiv:1505.04597. (B, channels, H, W) -> (B, outputs, H, W), unactivated.

    width: channels of the finest of `num_layers` resolutions, each half of the one before.
    """
    if image_size < 2 ** (num_layers - 1):
        raise ValueError(f"image_size {image_size} cannot be halved {num_layers - 1} times; lower num_layers")
    return load("pl_bolts.models.vision").UNet(outputs, channels, num_layers, width)
