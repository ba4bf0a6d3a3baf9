"""Images to the probabilities of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.modules.protocols import classifies
from lightloom.networks.saliency import class_maps, token_maps
from lightloom.networks.timm_attention import attention_layers
from lightloom.predict.classes.options import Saliency
from lightloom.predict.contract import Request
from lightloom.predict.exported import Exported
from lightloom.predict.images import READING, are_images, fitted


class Predictor:
    """The classes that a classifier was trained on. See `lightloom.predict.contract`."""

    ways = READING
    needs = "predict_step, of images"
    lacks = "classifies nothing"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.data = module, data

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return classifies(module) and are_images(request.data)

    @torch.inference_mode()
    def predict(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Probabilities (B, num_classes) of images (B, C, H, W) in [0, 1] or uint8, of any size."""
        return self.module.predict_step((fitted(inputs, self.data, self.module.device),), 0).cpu()

    def look(self, inputs: Tensor | Sequence[Tensor], method: Saliency) -> tuple[Tensor, Tensor]:
        """Images as the classifier sees them, (B, C, H, W) in [0, 1], and where it looks, (B, h, w), not negative.

        inputs: as `predict` takes them. By grad_cam: for the class that is the most probable one.
        """
        if isinstance(self.module, Exported):
            raise UserError(
                f"saliency={method} looks into a network; name the checkpoint of its run, not what was exported."
            )
        images = fitted(inputs, self.data, self.module.device)
        if method == "rollout":
            return images, token_maps(self.module, images)
        return images, class_maps(self.module, images, self.predict(images).argmax(1).to(images.device))

    @property
    def looks(self) -> bool:
        """Can it be found where it looks? Tried on one image."""
        try:
            self.attended(torch.zeros(1, self.data["channels"], self.data["image_size"], self.data["image_size"]))
        except UserError:
            return False
        return True

    def attended(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Where it looks, (B, h, w), not negative: by rollout where patches attend, else by Grad-CAM."""
        return self.look(inputs, "rollout" if attention_layers(self.module) else "grad_cam")[1].cpu()
