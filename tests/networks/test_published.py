"""Networks as torchvision publishes them: its own answers from the same weights, and heads for other classes."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.models import get_model, get_model_weights
from torchvision.models._api import WeightsEnum

from lightloom.engine.checkpoint import without_weights
from lightloom.networks.detection import published, torchvision

NAMES = [(builder, name) for builder, names in published.ARCHITECTURES.items() for name in names]


def drawn(name: str, generator: torch.Generator) -> dict[str, Tensor]:
    """A state_dict as a published one, with random values of a sane size."""
    with torch.device("meta"):
        state = get_model(name, weights=None, weights_backbone=None, num_classes=91).state_dict()
    found = {}
    for key, value in state.items():
        scale = 0.5 / math.sqrt(max(value[0].numel() if value.ndim else 1, 1))
        noise = torch.randn(value.shape, generator=generator) * scale
        found[key] = 1 + noise.abs() if key.endswith(("running_var", "bn.weight")) else noise
    return {key: value.long() if key.endswith("tracked") else value for key, value in found.items()}


def ours(builder: str, name: str | None, path, classes=None, num_classes: int = 90, **options):
    needs = {} if builder in ("ssd", "ssdlite") else {"image_size": 96, "backbone": torchvision.pyramid()}
    given = {"architecture": name, "weights": str(path), "classes": classes, **needs, **options}
    return getattr(torchvision, builder)(num_classes, **given).eval()


@pytest.mark.parametrize(("builder", "name"), NAMES)  # ten networks of up to 43 million weights, three times each
def test_found_is_what_torchvision_finds_with_the_same_weights(builder, name, tmp_path, monkeypatch):
    state = drawn(name, torch.Generator().manual_seed(0))
    torch.save(state, tmp_path / "weights.pth")
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, **_: state)
    low = {"box_score_thresh" if "rcnn" in builder else "score_thresh": 0.015}  # one of 91 has 0.011
    size = {} if builder in ("ssd", "ssdlite") else {"min_size": 96, "max_size": 160}
    theirs = get_model(name, weights=get_model_weights(name).DEFAULT, **low, **size).eval()
    made = ours(builder, name, tmp_path / "weights.pth", **low)
    if not made.transform.fixed_size:
        made.transform.max_size = 160  # torchvision's shape of an image differs from network to network
    images = [torch.rand(3, 90, 120), torch.rand(3, 70, 64)]
    with torch.inference_mode():
        for expected, found in zip(theirs(images), made(images), strict=True):
            assert expected.keys() == found.keys()
            assert len(expected["boxes"]) > 0
            assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.parametrize("builder", ["retinanet", "ssdlite"])
def test_classes_that_the_weights_know_keep_their_rows(builder, tmp_path):
    (name, *_) = published.ARCHITECTURES[builder]
    saved = drawn(name, torch.Generator().manual_seed(0))
    torch.save(saved, tmp_path / "weights.pth")
    made = ours(builder, name, tmp_path / "weights.pth", ["raccoon", "Dog", "traffic_light"], 3)
    for key, value in made.state_dict().items():
        if value.shape == saved[key].shape:
            assert torch.equal(value, saved[key])
            continue
        now, before = value.unflatten(0, (-1, 4)), saved[key].unflatten(0, (-1, 91))
        for row, label in {0: 0, 2: 18, 3: 10}.items():  # torchvision's labels of background, dog and traffic light
            assert torch.equal(now[:, row], before[:, label])
        assert not any(torch.equal(now[:, 1], before[:, label]) for label in range(91))


def test_boxes_of_a_class_keep_their_four_rows():
    saved, fresh = torch.randn(4 * 3, 5), torch.randn(4 * 2, 5)
    found = published.remapped({"bbox_pred": fresh}, {"bbox_pred": saved}, [(0, 0), (2, 1)], 3, 2)["bbox_pred"]
    assert torch.equal(found, torch.cat([saved[:4], saved[8:]]))


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(drawn("ssdlite320_mobilenet_v3_large", torch.Generator()), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"does not fit fcos_resnet50_fpn.*set model\.network\.architecture"):
        ours("fcos", "fcos_resnet50_fpn", tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"backbone": torchvision.pyramid("resnet10t")}, "backbone.name"),
        ({"width": 512}, "network.width"),
        ({"mean": [0.5, 0.5, 0.5]}, "network.mean"),
        ({"architecture": "resnet50"}, "fasterrcnn_resnet50_fpn"),
    ],
)
def test_what_the_weights_decide_is_not_to_be_said_otherwise(options, named):
    with pytest.raises(ValueError, match=named):
        ours("faster_rcnn", **{"name": None, "path": "coco", "pretrained": False, **options})


def test_a_checkpoint_is_restored_without_the_file_of_weights(tmp_path):
    torch.save(drawn("ssdlite320_mobilenet_v3_large", torch.Generator()), tmp_path / "weights.pth")
    begun = {"weights": str(tmp_path / "weights.pth"), "pretrained": True, "checkpoint": None, "classes": ["dog"]}
    trained = torchvision.ssdlite(1, **begun).state_dict()
    (tmp_path / "weights.pth").unlink()
    torchvision.ssdlite(1, **without_weights(begun)).load_state_dict(trained)
