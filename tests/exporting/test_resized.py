"""A recorded detector looks at an image of any size as the detector itself does: the sizes that it is resized to."""

import random

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from lightloom.exporting.graphs.boxes import resized
from lightloom.networks.detection.torchvision import LONGEST

REAL = [(720, 1280), (427, 640), (480, 640), (1080, 1920), (333, 500)]
DRAWN = [(random.Random(i).randint(20, 1000), random.Random(-i - 1).randint(20, 1000)) for i in range(200)]


class Resized(nn.Module):
    def __init__(self, side: int) -> None:
        super().__init__()
        self.sides = side, round(LONGEST * side)

    def forward(self, image: Tensor) -> Tensor:
        return resized(image, *self.sides)


@pytest.mark.parametrize("side", [128, 320])
def test_each_size_is_the_one_that_the_detector_computes(side, tmp_path):
    axes = {"image": {1: "height", 2: "width"}}
    torch.onnx.export(
        Resized(side), (torch.rand(1, 64, 80),), tmp_path / "resized.onnx", dynamo=False, opset_version=18,
        input_names=["image"], output_names=["resized"], dynamic_axes=axes, verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "resized.onnx", providers=["CPUExecutionProvider"])
    transform = GeneralizedRCNNTransform(side, round(LONGEST * side), [0.0], [1.0]).eval()
    wrong = []
    for height, width in (*REAL, *DRAWN):
        image = torch.zeros(1, height, width)
        (found,) = session.run(None, {"image": image.numpy()})
        if found.shape != transform.resize(image)[0].shape:
            wrong.append((height, width))
    assert wrong == []
