"""torchvision's networks of semantic segmentation, behind one signature: FCN, DeepLabV3 and LR-ASPP."""

from __future__ import annotations

from typing import Any

import torchvision.models.segmentation as library
from torch import Tensor, nn

from lightloom.core.ranges import Count, checked
from lightloom.networks.library import check_name, load, read, with_in_channels

HEADS = ("classifier.4", "aux_classifier.4", "classifier.low_classifier", "classifier.high_classifier")


class TorchvisionSegmentation(nn.Module):
    """Images (B, in_channels, H, W) to logits (B, num_classes, H, W); in training a tuple with the auxiliary ones.

    name: fcn_resnet50, deeplabv3_mobilenet_v3_large, lraspp_mobilenet_v3_large and others (Long et al. 2015; Chen et
    al. 2017; Howard et al. 2019). auxiliary: another head, on the map before the last, where the network has one.
    checkpoint: a state_dict file of the same network, whose heads may be of other classes.
    """

    @checked
    def __init__(
        self,
        name: str,
        in_channels: Count,
        num_classes: Count,
        auxiliary: bool = True,
        checkpoint: str | None = None,
    ) -> None:
        super().__init__()
        check_name(name, torchvision_names(), "torchvision")
        options: dict[str, Any] = {} if name.startswith("lraspp") else {"aux_loss": auxiliary}
        self.network = library.__dict__[name](weights=None, weights_backbone=None, num_classes=num_classes, **options)
        first = next(layer for layer, module in self.network.named_modules() if isinstance(module, nn.Conv2d))
        self.network.set_submodule(first, with_in_channels(self.network.get_submodule(first), in_channels))
        if checkpoint:
            load(self.network, read(checkpoint), HEADS, source=checkpoint)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        found = self.network(images)
        return (found["out"], found["aux"]) if self.training and "aux" in found else found["out"]


def torchvision_names() -> list[str]:
    """Of its segmentation networks."""
    from torchvision.models import list_models

    return list(list_models(library))
