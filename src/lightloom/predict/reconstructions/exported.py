"""An autoencoder that was exported."""

from __future__ import annotations

from torch import Tensor

from lightloom.predict.exported import Exported


class Autoencoder(Exported):
    """Reconstructions of images (B, C, H, W)."""

    use = "reconstruct"

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.answers(images)["reconstructions"]
