"""What is exported of a module: from the one tensor that it is given to its answers, preprocessing inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.onnx.operators import shape_as_tensor

from lightloom.modules.tta import mean_logits
from lightloom.ops.rng import latents


class Graph(nn.Module):
    """A module's answers to one tensor.

    shape: of that tensor; a dimension with a name may be of any size. outputs: names of the answers, whose first
    dimension may be of any size. example: sizes of the named dimensions while the graph is recorded, two at least: a
    size of one would be taken for a constant.
    """

    input = "images"
    meaning = "float32 in [0, 1]"
    outputs: tuple[str, ...]

    def __init__(self, module: Any, shape: tuple[int | str, ...], example: tuple[int, ...] = (2,)) -> None:
        super().__init__()
        self.module, self.shape, self.example = module, shape, example
        self.eval()

    @property
    def free(self) -> dict[int, str]:
        """The dimensions that may be of any size, with their names."""
        return {i: size for i, size in enumerate(self.shape) if isinstance(size, str)}

    def sizes(self) -> list[tuple[int, ...]]:
        """Sizes of the free dimensions, other than the example's, that a recorded graph must be right at."""
        return [(1,), (3,)]

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Tensor:
        """A random input, a function of the seed and the sizes of the free dimensions."""
        given = dict(zip(self.free, sizes, strict=True))
        shape = [given.get(i, size) for i, size in enumerate(self.shape)]
        return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))  # type: ignore[arg-type]


class Classification(Graph):
    """Images (B, C, H, W) to logits and probabilities, (B, num_classes) each, over the views that a test averages."""

    outputs = ("logits", "probabilities")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits = mean_logits(self.module, images, getattr(self.module, "test_views", "none"))
        return logits, logits.softmax(1)


class Reconstruction(Graph):
    """Images, or signals, to their reconstructions, of the same shape."""

    outputs = ("reconstructions",)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.module.reconstruct(images),)


class Generation(Graph):
    """Latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""

    input = "latents"
    meaning = "float32, N(0, 1)"
    outputs = ("images",)

    def forward(self, latents: Tensor) -> tuple[Tensor, ...]:
        return (self.module.decode(latents),)

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Tensor:
        return latents(seed, sizes[0], self.module.latent_dim)


class Detection(Graph):
    """One image (3, H, W) to boxes (N, 4) xyxy in its pixels, labels (N,) from 1, scores (N,), and masks (N, H, W)."""

    input = "image"

    def __init__(self, module: Any, shape: tuple[int | str, ...], example: tuple[int, ...]) -> None:
        super().__init__(module, shape, example)
        self.outputs = ("boxes", "labels", "scores", *(("masks",) if module.masks else ()))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        (found,) = self.module.detect([image])
        return tuple(found[name] for name in self.outputs)

    def sizes(self) -> list[tuple[int, ...]]:
        """The size of training, and two that are scaled: one by its short side, one by its long side."""
        height, width = self.example
        return [self.example, (height * 2, width * 2 + height // 4), (height // 2, width * 2)]


def shape_of(data: Any) -> tuple[int | str, ...]:
    """Of a batch of the data's images, or signals."""
    sides = (data.length,) if data.kind == "signal" else (data.image_size, data.image_size)
    return ("batch", data.channels, *sides)


@contextmanager
def traceable(graph: Graph) -> Iterator[None]:
    """While a detector is traced: the size that its images are resized to is computed as it is outside of a trace.

    torchvision computes it in float32 where it is traced and in float64 else; rounded down, they may differ by a pixel.
    """
    transform = getattr(getattr(graph.module, "network", None), "transform", None)
    if transform is None or transform.fixed_size is not None:
        yield
        return
    transform.resize = lambda image, target=None: (_resized(image, transform.min_size[-1], transform.max_size), target)
    try:
        yield
    finally:
        del transform.resize


def _resized(image: Tensor, shortest: int, longest: int) -> Tensor:
    """The image (C, H, W) with its short side at `shortest` pixels, or smaller: its long side at `longest`."""
    size = shape_as_tensor(image)[-2:].double()
    scale = torch.minimum(shortest / size.min(), longest / size.max())
    height, width = (size * scale).floor().long().unbind()
    return interpolate(image[None], size=(height, width), mode="bilinear", align_corners=False)[0]  # type: ignore[arg-type]
