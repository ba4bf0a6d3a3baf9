"""New images, over the epochs and between two latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightloom.reporting.chapters.images import OfImages
from lightloom.reporting.facts import Run


class Samples(OfImages):
    """What generative models leave."""

    place = 10
    tasks = ("generation", "conditional generation", "bidirectional", "latent variable")
    pipeline = "unconditional-image-generation"
    example = "num_samples=64 seed=1"
    links = ("filmstrip.gif", "samples")

    def pictures(self, run: Run) -> Mapping[str, str]:
        return {
            "by_class.png": "A row for each class, the same latents in all",
            "interpolation.png": "Between two latents: along the great arc, and along the straight line",
            "filmstrip.png": "The same latents over the epochs",
            "health.png": "Losses, outputs of the discriminator, gradients and diversity",
            "class_histogram.png": "Classes of the samples, as a classifier sees them",
        }

    def pages(self, run: Run) -> Sequence[str]:
        return ("samples",)
