"""An image to the boxes that are found in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.onnx.operators import shape_as_tensor

from lightloom.exporting.contract import Graph, Shape
from lightloom.modules.protocols import Detects

UNRECORDED = (
    "how many boxes a detector finds depends on the image, which torch.export does not record; set format=onnx, or "
    "format=safetensors for the weights"
)

GIVEN = (
    "the regions that it looks at come from selective search, which is no part of a graph; set format=safetensors for "
    "the weights, or train model=faster_rcnn, which proposes its own"
)


class Detection(Graph):
    """One image (3, H, W) to boxes (N, 4) xyxy in its pixels, labels (N,) from 1, scores (N,), and masks (N, H, W)."""

    use, needs, input = "find", "detect", "image"
    facts = ("kind", "classes", "channels", "num_classes")
    traced = True
    refused: Mapping[str, str] = MappingProxyType({"torch_export": UNRECORDED})

    def __init__(self, module: Any, shape: Shape, example: tuple[int, ...] = (64, 64)) -> None:
        super().__init__(module, shape, example)
        self.outputs = ("boxes", "labels", "scores", *(("masks",) if module.masks else ()))
        if getattr(getattr(module, "network", None), "looks_at", ()):
            self.refused = MappingProxyType(dict.fromkeys(("onnx", "torch_export"), GIVEN))

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return isinstance(module, Detects)

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        side = int(data["image_size"])
        return cls(module, (int(data["channels"]), "height", "width"), (side, side))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        (found,) = self.module.detect([image])
        return tuple(found[name] for name in self.outputs)

    def sizes(self) -> list[tuple[int, ...]]:
        """The size of training, two that are scaled, one by its short side, one by its long side, and a film's."""
        height, width = self.example
        return [self.example, (height * 2, width * 2 + height // 4), (height // 2, width * 2), (720, 1280)]

    def real(self, batch: Any) -> list[Tensor]:
        return list(batch[0])

    @contextmanager
    def recording(self) -> Iterator[None]:
        with traceable(self):
            yield

    def difference(self, found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
        return difference(found, expected)

    @torch.inference_mode()
    def remark(self, inputs: Iterable[Any]) -> str | None:
        if any(len(self(image)[0]) for image in inputs):
            return None
        return "The model found nothing on any input: its boxes were not compared. Train it longer."


def difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest difference between a detection and the nearest one in the other answer: of equals, order is chance.

    Boxes (N, 4) count in the largest coordinate, labels (N,) as they are, scores (N,) as they are, masks (N, H, W) as
    the share of pixels that differ. Infinite where one answer has none, or masks of another size.
    """
    if [f.shape[1:] for f in found] != [e.shape[1:] for e in expected]:
        return math.inf
    if not len(found[0]) or not len(expected[0]):
        return 0.0 if len(found[0]) == len(expected[0]) else math.inf
    scale = expected[0].abs().max().clamp(min=1)
    a, b = (torch.cat([x[0] / scale, x[1][:, None], x[2][:, None]], 1).double() for x in (found, expected))
    distances = torch.cdist(a, b, p=math.inf)
    if len(expected) == 4:
        a, b = (x[3].flatten(1).double() for x in (found, expected))
        distances = distances.maximum(torch.cdist(a, b, p=1) / a.shape[1])
    nearest = torch.stack([distances.amin(0).max(), distances.amin(1).max()])
    return float(nearest.nan_to_num(nan=math.inf, posinf=math.inf).max())


@contextmanager
def traceable(graph: Graph) -> Iterator[None]:
    """While a detector is traced: the size that its images are resized to is computed as it is outside of a trace.

    torchvision computes it in float32 where it is traced and in float64 else; rounded down, 4 of 10 sizes differ by a
    pixel.
    """
    transform = getattr(getattr(graph.module, "network", None), "transform", None)
    if transform is None or transform.fixed_size is not None:
        yield
        return
    transform.resize = lambda image, target=None: (resized(image, transform.min_size[-1], transform.max_size), target)
    try:
        yield
    finally:
        del transform.resize


def resized(image: Tensor, shortest: int, longest: int) -> Tensor:
    """The image (C, H, W) with its short side at `shortest` pixels, or smaller: its long side at `longest`.

    A number over a tensor would be recorded as the tensor's reciprocal in float32; a tensor over a tensor is divided.
    """
    size = shape_as_tensor(image)[-2:].double()
    sides = torch.stack([size.min(), size.max()])
    scale = (torch.tensor([shortest, longest], dtype=torch.float64) / sides).min()
    height, width = (size * scale).floor().long().unbind()
    return interpolate(image[None], size=(height, width), mode="bilinear", align_corners=False)[0]  # type: ignore[arg-type]
