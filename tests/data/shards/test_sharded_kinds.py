"""Each kind that can be in shards comes out of them as it went in, batch by batch; a new one joins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lightloom.config import compose
from lightloom.config.instantiate import build_datamodule
from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.data.auto import recognise
from lightloom.data.boxes.shards import rule
from lightloom.data.shards.conversion import convert
from lightloom.data.shards.index import kinds

SCENES = ("data.reader.train_size=12", "data.reader.val_size=6", "data.reader.test_size=4")
SOURCES = {
    "detection": ("data=digit_scenes", "data.has_masks=null", *SCENES),
    "image": (
        "data=digits",
        "data.image_size=8",
    ),  # its own: others are scaled on the device
    "segmentation": ("data=river_scenes", *SCENES),
    "text": ("data=reviews_toy",),
}


def built(*options: str) -> Any:
    overrides = compose.check("inspect_data", ["data.num_workers=0", *options])
    data = build_datamodule(compose.without_hydra(compose.compose("inspect_data", overrides)).data)
    data.facts()
    return data


def test_each_kind_is_tried():
    assert SOURCES.keys() == {kind.KIND for kind in kinds()}


@pytest.fixture(scope="module", params=SOURCES)
def pair(request, tmp_path_factory) -> tuple[Any, Any, Path]:
    """A set as it is, and what is read from its shards."""
    source, folder = built(*SOURCES[request.param]), tmp_path_factory.mktemp("shards") / "out"
    stated = convert(source, folder, 4 if request.param in ("detection", "segmentation") else 300, 1 << 24)
    options = stated.partition("Read them with ")[2].split()
    assert options[0] == f"data={recognise(folder).choice}"
    return source, built(*options), folder


@pytest.mark.parametrize("name", contract.SPLITS)
def test_what_went_in_comes_out(pair, name):
    source, found, _ = pair
    batches = zip(found.eval_loader(name), source.eval_loader(name), strict=True)
    for one, other in list(batches)[:3]:
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert len(found.split(name)) == len(source.split(name))
    assert found.facts() == source.facts()


def test_training_batches_are_a_function_of_seed_and_epoch_and_begin_anywhere(pair):
    _, found, _ = pair
    found.batch_size = 3
    found.resume_at(1, 0)
    whole = list(found.train_dataloader())[:4]
    found.resume_at(1, 2)
    for one, other in zip(found.train_dataloader(), whole[2:], strict=False):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_part_is_told_from_another(pair):
    _, found, _ = pair
    train = found.split("train")
    few = train.pick(torch.tensor([2, 0, 3]))
    assert len({split.identity().sha256() for split in (train, few, found.split("val"))}) == 3


WRONG = {
    "labels[1] is 9": {"labels": [1, 9]},
    "boxes[2] is": {"boxes": [0, 0, "x", 4]},
    "finite number": {"boxes": [0, 0, float("inf"), 4]},
    "a list of coordinates": {"boxes": [0, 0, 1]},
    "iscrowd": {"iscrowd": [2]},
}


@pytest.mark.parametrize("says", WRONG)
def test_boxes_of_others_are_checked(says):
    whole = {"boxes": [0, 0, 1, 1], "labels": [1], "area": [1.0], "iscrowd": [0]}
    assert rule(3)(whole) is None
    fault = rule(3)(json.loads(json.dumps({**whole, **WRONG[says]})))
    assert says in f"{fault.where[1:]} is {fault.value}; {fault.expected}"


def test_a_kind_that_has_no_shards_is_told(tmp_path):
    with pytest.raises(
        UserError, match="its kind is graph; shards are written of detection, image, segmentation, text"
    ):
        convert(built("data=communities"), tmp_path / "out", 5, 1 << 20)
