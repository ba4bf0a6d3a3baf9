"""Boxes from a detector that nobody has trained here."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model

from lightloom.config import compose
from lightloom.core.errors import UserError
from lightloom.networks.detection import published


def test_a_published_detector_predicts_with_no_checkpoint(run_cli, tmp_path):
    torch.manual_seed(0)
    network = get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=91)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(tmp_path / "one.png")
    options = [f"model.network.weights={tmp_path / 'weights.pth'}", f"input={tmp_path / 'one.png'}", "min_score=0"]
    text = run_cli("model=ssdlite", *options, script="predict").stderr
    (boxes,) = tmp_path.rglob("boxes.json")
    found = json.loads(boxes.read_text(encoding="utf-8"))
    assert "person" in {category["name"] for category in found["categories"]}
    assert len(found["annotations"]) > 0, text


@pytest.mark.parametrize("model", ["lenet", "yolo"])
def test_a_model_without_published_weights_is_refused(model):
    with pytest.raises(UserError, match=f"{model}: .* Known: .*faster_rcnn.*ssdlite"):
        compose.check("predict", [compose.expand_shorthand(f"model={model}", "predict")])


def test_each_builder_with_published_weights_is_offered():
    assert set(compose.options("published")) == set(published.ARCHITECTURES)
