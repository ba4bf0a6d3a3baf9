"""A set of boxes that is new to a model is measured as a whole, whatever its parts and a training batch are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import compose
from PIL import Image

from lightloom.config import compose as config
from lightloom.config.instantiate import build_datamodule
from lightloom.core.errors import UserError
from lightloom.engine import evaluate


def yolo(root: Path, *parts: str) -> Path:
    for part in parts:
        for folder in ("images", "labels"):
            (root / folder / part).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (64, 64), (i, 0, 0)).save(root / f"images/{part}/{i}.png")
            (root / f"labels/{part}/{i}.txt").write_text(f"0 0.5 0.5 0.{i + 2} 0.2\n")
    lines = [f"{part}: images/{part}" for part in parts]
    (root / "data.yaml").write_text("\n".join([f"path: {root}", *lines, "names: [cat]"]) + "\n")
    return root


def data(*options: str):
    cfg = config.without_hydra(compose(*options, config_name="inspect_data"))
    return build_datamodule(cfg.data)


def test_all_annotated_images_are_one_split_in_which_each_has_its_own_number(tmp_path):
    root = yolo(tmp_path, "train", "val")
    boxes = data("data=yolo", f"data.root={root}", "data.image_size=64", "data.batch_size=100")
    assert evaluate.choose_split(None, boxes, {}, is_new=True) == "all"
    found = [target for _, targets in boxes.eval_loader("all") for target in targets]
    assert [int(target["image_id"]) for target in found] == list(range(6))
    assert torch.equal(found[3]["boxes"], boxes.split("val")[0][1]["boxes"])
    with pytest.raises(UserError, match=r"data\.batch_size is 100, but yolo has 3 training images"):
        boxes.setup("fit")


def test_what_is_generated_has_parts_only():
    small = ("data.reader.train_size=2", "data.reader.val_size=2", "data.reader.test_size=2")
    with pytest.raises(UserError, match="has no folder of images with boxes to measure on; say split=val"):
        data("data=digit_scenes", *small).split("all")
