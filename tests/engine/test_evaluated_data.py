"""An evaluation measures all of a set that is new to the model, and finds the one that is not where that lies now."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import commands
import pytest
from omegaconf import OmegaConf
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.data.contract import match
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.readers import ImageFolder
from lightloom.engine import evaluate

SHAPE = {"channels": 3, "image_size": 4, "mean": [0.5] * 3, "std": [0.2] * 3}


def folder(root: Path, **counts: int) -> Path:
    """`counts` images of each class; a part is a class with `__`: train__cat."""
    for name, count in counts.items():
        place = root / name.replace("__", "/")
        place.mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (4, 4), (i, len(name), 0)).save(place / f"{i}.png")
    return root


def data(root: Path, batch_size: int = 128) -> ImageDataModule:
    loading = {"batch_size": batch_size, "eval_batch_size": 4, "augment": None, "val_fraction": 0.1}
    reader = ImageFolder(root, 3, 4)
    return ImageDataModule(reader, "pets", "image", num_classes=None, classes=None, **SHAPE, **loading)


@pytest.mark.parametrize(
    ("counts", "split", "count"),
    [
        ({"cat": 7, "dog": 1}, "all", 8),
        ({"train__cat": 3, "train__dog": 2, "val__cat": 4}, "all", 9),
        ({"train__cat": 3, "train__dog": 2, "test__cat": 4}, "test", 4),
    ],
    ids=["classes only", "train and val", "a test part"],
)
def test_all_labelled_images_of_a_new_set_are_measured_whatever_a_training_batch_is(tmp_path, counts, split, count):
    new = data(folder(tmp_path, **counts))
    assert evaluate.choose_split(None, new, OmegaConf.create({}), is_new=True) == split
    assert sum(len(labels) for _, labels, _ in new.eval_loader(split)) == count


@pytest.mark.parametrize(
    ("own", "known", "labels"),
    [
        (["cat", "dog"], ["ant", "cat", "dog"], [1, 2]),
        (["dog"], ["cat", "dog"], [1]),
        (["katze"], ["cat"], [0]),
        (["cat", "emu"], ["cat", "dog"], r"does not know: emu; it knows cat, dog"),
    ],
)
def test_a_class_has_the_number_that_the_model_gives_it(tmp_path, own, known, labels):
    new = data(folder(tmp_path, **dict.fromkeys(own, 1)))
    if isinstance(labels, str):
        with pytest.raises(UserError, match=labels):
            match(new, {"classes": known}, True)
        return
    match(new, {"classes": known}, True)
    assert new.split("all").labels.tolist() == labels
    assert new.facts()["classes"] == (own if own == ["katze"] else known)


def test_images_without_classes_have_nothing_to_compare_with(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"without class folders.* use predict\.py"):
        match(data(tmp_path), {"classes": ["cat", "dog"]}, True)
    match(data(tmp_path), {"classes": ["cat", "dog"]}, False)


@pytest.mark.parametrize("split", ["train", "val", "test", "all"])
def test_a_figure_has_the_name_of_the_part_that_it_was_measured_on(split):
    assert evaluate.named_for("test/acc", split) == f"{split if split in ('train', 'val') else 'test'}/acc"
    assert evaluate.named_for("their_acc", split) == "their_acc"


def test_an_option_of_the_recorded_data_is_put_wherever_the_old_one_stands():
    recorded = OmegaConf.create({"_target_": "x", "root": "old", "reader": {"root": "old"}, "seed": 0})
    evaluate.move(recorded, {"root": "new ${seed}", "seed": 3})
    assert OmegaConf.to_container(recorded, resolve=True)["reader"] == {"root": "new ${seed}"}
    assert (recorded.root, recorded.seed) == ("new ${seed}", 3)
    with pytest.raises(UserError, match=r"data\.rot=x: .*Did you mean data\.root"):
        evaluate.move(recorded, {"rot": "x"})


def test_moved_data_is_named_as_recorded_and_taken_where_it_lies_now(tmp_path):
    # slow, 10 s: a training and three evaluations, each a process, for what their command lines say
    old = folder(tmp_path / "pets", cat=12, dog=12)
    tiny = ("data.image_size=4", "data.num_workers=0", "data.batch_size=10", "trainer.max_epochs=1", "trainer=cpu")
    commands.run(tmp_path, "model=mlp", "data=image_folder", f"data.root={old}", *tiny)
    shutil.move(old, tmp_path / "moved")
    command = commands.start(tmp_path, "ckpt_path=last", "trainer=cpu", script="eval")
    assert command.wait() == 2
    assert f"{old}, where the data of mlp-image_folder lay, is not there" in command.text
    assert "data.root=<folder>" in command.text
    for given in ((), ("data=image_folder",)):
        commands.run(tmp_path, "ckpt_path=last", *given, f"data.root={tmp_path}/moved", "trainer=cpu", script="eval")
        found = sorted((tmp_path / "eval").iterdir())[-1]
        assert "val/acc" in json.loads((found / "results.json").read_text())
        assert "24 images of 2 classes (train 22, val 2); measured on val" in (found / "run.log").read_text()
