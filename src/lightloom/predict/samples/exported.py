"""A generative model that was exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.ops.rng import latent_classes
from lightloom.predict.exported import Exported


class Generator(Exported):
    """Images (B, C, H, W) of latents (B, latent_dim), and of labels (B,) where the file takes them.

    Of classes that nobody asks for each is as likely.
    """

    use = "sample"

    def __init__(self, session: Any, about: Mapping[str, Any]) -> None:
        super().__init__(session, about)
        self.latent_dim = int(self.shape[-1])
        if about["input"].get("labels"):
            classes = about["facts"].get("classes")
            if not isinstance(classes, list) or not classes:
                raise UserError(f"{about['run_name']}: the file takes labels, but names no classes; export it anew.")
            self.num_classes = len(classes)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if hasattr(self, "num_classes"):
            return self.answers(z, self.classes_of(z) if labels is None else labels)["images"]
        return self.answers(z)["images"]

    def classes_of(self, z: Tensor) -> Tensor:
        return latent_classes(z, torch.full((self.num_classes,), 1 / self.num_classes))
