"""Batches, tiles, mirror images and thresholds change what a detector costs or shows, not what is there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import compose
from scipy import ndimage
from torchvision.ops import box_iou

from lightloom.config.compose import without_hydra
from lightloom.networks.detection.torchvision import faster_rcnn, fcos, pyramid
from lightloom.networks.detection.yolo import Yolo
from lightloom.predict.boxes.finding import finder, tiled, tiles
from lightloom.predict.boxes.predictor import Predictor

NETWORKS = {
    "yolo": lambda: Yolo(3, 64, pyramid(width=4, out_channels=16)),
    "faster_rcnn": lambda: faster_rcnn(3, 64, pyramid(width=4, out_channels=16)),
    "fcos": lambda: fcos(3, 64, pyramid(width=4, out_channels=32)),
}
SIZES = [(48, 64), (64, 48), (48, 64), (96, 40)]


class Detects(pl.LightningModule):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def detect(self, images):
        return self.network(images)


def detector(name: str) -> Predictor:
    torch.manual_seed(0)
    return Predictor(Detects(NETWORKS[name]()).eval(), {})


def pictures(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]


def asked(predictor: Predictor, *overrides: str, min_score: float = 0.0):
    return finder(without_hydra(compose(*overrides, config_name="predict")), predictor, None, min_score)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one["labels"], other["labels"])
        assert torch.allclose(one["scores"], other["scores"], atol=1e-5)
        assert torch.allclose(one["boxes"], other["boxes"], atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_is_what_each_image_alone_is(name):
    find, images = asked(detector(name)), pictures(*SIZES)
    found = find(images)
    assert min(len(one["boxes"]) for one in found) > 3
    assert_same(found, [find([image])[0] for image in images])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_detector_itself_selects_by_the_options(name):
    (image,) = pictures((64, 64))
    default, most, strict, agnostic, weak = (
        asked(detector(name), *overrides, min_score=score)([image])[0]
        for overrides, score in (
            ([], 0.0),
            (["max_detections=7"], 0.0),
            (["iou=0.2"], 0.0),
            (["iou=0.2", "agnostic_nms=true"], 0.0),
            ([], 0.3),
        )
    )
    assert len(default["boxes"]) == 100
    assert torch.equal(most["scores"], default["scores"][:7])
    for found, same in ((strict, True), (agnostic, False)):
        overlaps = box_iou(found["boxes"], found["boxes"]).fill_diagonal_(0).nan_to_num()  # of boxes without an area
        if same:
            overlaps[found["labels"][:, None] != found["labels"]] = 0
        assert overlaps.max() <= 0.2
    assert len(agnostic["boxes"]) <= len(strict["boxes"])
    assert len(weak["boxes"]) == (default["scores"] >= 0.3).sum()


def test_more_overlap_than_the_detectors_own_leaves_more_boxes():
    (image,) = pictures((64, 64))
    few, many = (
        asked(detector("yolo"), f"iou={iou}", "max_detections=1000")([image])[0]["boxes"] for iou in (0.65, 0.99)
    )
    assert len(many) > len(few)


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_finds_about_the_same(name):
    images = pictures((64, 64))
    (whole,), (half,) = (asked(detector(name), f"half={half}")(images) for half in ("false", "true"))
    assert half["scores"].dtype == half["boxes"].dtype == torch.float32
    assert torch.allclose(half["scores"], whole["scores"], atol=0.02)
    assert not torch.equal(half["scores"], whole["scores"])


def test_an_image_and_its_mirror_image_show_the_same_where_both_are_looked_at():
    find, (image,) = asked(detector("yolo"), "augment=true", "max_detections=100"), pictures((48, 64))
    (found,), (mirrored,) = find([image]), find([image.flip(-1)])
    corners = mirrored["boxes"][:, [2, 1, 0, 3]]
    corners[:, [0, 2]] = 64 - corners[:, [0, 2]]
    assert torch.allclose(found["scores"], mirrored["scores"], atol=1e-5)
    assert torch.allclose(found["boxes"][:10], corners[:10], atol=1e-2)


# --- tiles


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("tile", [64, 1000])
def test_an_image_within_a_tile_is_looked_at_as_without(name, tile):
    images = pictures((48, 64), (64, 64))
    plain, found = (asked(detector(name), *more)(images) for more in ([], [f"tile={tile}"]))
    for one, other in zip(found, plain, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in other)


@pytest.mark.parametrize("size", [(100, 70), (64, 65), (201, 333), (640, 480), (63, 1000)])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5])
def test_tiles_cover_an_image_and_overlap_by_what_they_shall(size, overlap):
    covered = np.zeros(size, dtype=int)
    for y, x in tiles(*size, 64, overlap):
        assert y >= 0 <= x
        assert y + 64 <= max(size[0], 64)
        assert x + 64 <= max(size[1], 64)
        covered[y : y + 64, x : x + 64] += 1
    assert covered.min() >= 1
    for axis in (0, 1):
        starts = sorted({place[axis] for place in tiles(*size, 64, overlap)})
        assert all(b - a <= round(64 * (1 - overlap)) + 1 for a, b in pairwise(starts))


def squares(images):
    """A detector that sees bright squares up to 40 pixels, in images up to 100, and is surest of what is cut."""
    found = []
    for image in images:
        parts, _ = ndimage.label(image[0].numpy() > 100)
        small = max(image.shape) <= 100
        boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(parts)] if small else []
        rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        edge = (rows == 0).any(1) | (rows == image.shape[-1]).any(1)
        found.append({"boxes": rows, "labels": torch.ones(len(rows)).long(), "scores": 0.5 + 0.4 * edge.float()})
    return found


@pytest.mark.parametrize("seed", range(5))
def test_each_object_is_found_once_in_tiles(seed):
    rng, image = np.random.default_rng(seed), torch.zeros(3, 300, 420, dtype=torch.uint8)
    true = set()
    for y in range(4, 290, 36):
        for x in range(4, 400, 36):
            side = int(rng.integers(6, 28))
            top, left = y + int(rng.integers(0, 4)), x + int(rng.integers(0, 4))
            right, bottom = min(left + side, 420), min(top + side, 300)
            image[:, top:bottom, left:right] = 200
            true.add((left, top, right, bottom))
    (found,) = tiled(squares, side=96, overlap=0.34, iou=0.5, at_once=7)([image])
    assert sorted(tuple(map(int, box)) for box in found["boxes"].tolist()) == sorted(true)
