"""What callbacks and entry points ask of a module: small protocols instead of a base class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, device


@runtime_checkable
class Generates(Protocol):
    """Makes images from latents that are N(0, I) a priori."""

    latent_dim: int

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] for latents z (B, latent_dim)."""
        ...


@runtime_checkable
class GeneratesByClass(Protocol):
    """Makes images of a class that is asked for; without one, of classes in the shares that its data has."""

    latent_dim: int

    @property
    def num_classes(self) -> int: ...

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [0, 1] for latents z (B, latent_dim).

        labels: int64 (B,), or the weights of classes that are mixed, float (B, num_classes).
        """
        ...

    def classes_of(self, z: Tensor) -> Tensor:
        """The classes, int64 (B,), that `decode` takes where none are given."""
        ...


@runtime_checkable
class Detects(Protocol):
    """Finds objects in images of any size."""

    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """For each image (C, H, W) in [0, 1] its boxes, labels from 1, scores, and masks where it makes any."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Encodes inputs and makes them again."""

    def reconstruct(self, images: Tensor) -> Tensor:
        """The same shape and range, (B, C, H, W) in [0, 1]."""
        ...


class Writes(Protocol):
    """Continues texts."""

    @property
    def device(self) -> device: ...

    def write(self, prompts: Tensor, uniforms: Tensor, **how: Any) -> Iterator[Tensor]:
        """Ids (B,) at a time after prompts, int64 (B, P), one for each column of uniforms (B, N) in [0, 1).

        how: see `language_model.written`.
        """
        ...


@runtime_checkable
class DrawsByStep(Protocol):
    """Draws by a key of the training step that all processes share; None, where a run has none, is by chance."""

    step_key: int | None


def classifies(module: Any) -> bool:
    """Has it a `predict_step` of its own that gives class probabilities (B, K)?

    Generative modules may have one too, which predicts something else unless they state `num_classes`.
    """
    generative = isinstance(module, Generates | Reconstructs)
    own = is_overridden("predict_step", module) and not isinstance(module, Detects)
    return own and (hasattr(module, "num_classes") or not generative)
