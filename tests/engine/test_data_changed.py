"""A run that is continued on other data than its checkpoint's is refused with figures, or goes on with them."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.data import contract, identity
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.readers import ImageFolder
from lightloom.engine import checkpoint, resume
from lightloom.engine.resume import Start, check_same_data


def remove(root: Path) -> None:
    (root / "a" / "3.bmp").unlink()


def add(root: Path) -> None:
    shutil.copy(root / "a" / "3.bmp", root / "a" / "30.bmp")


def replace(root: Path) -> None:
    shutil.copy(root / "b" / "3.bmp", root / "a" / "3.bmp")


def remove_half(root: Path) -> None:
    for path in [*root.rglob("*.bmp")][::2]:
        path.unlink()


def swap_folders(root: Path) -> None:
    (root / "a").rename(root / "c")
    (root / "b").rename(root / "a")
    (root / "c").rename(root / "b")


def rename(root: Path) -> None:
    (root / "a" / "3.bmp").rename(root / "a" / "03.bmp")


CHANGES: list[Callable[[Path], None]] = [remove, add, replace, remove_half, swap_folders, rename]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of 20 images whose files are all of one size."""
    for number, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.new("L", (4, 4), 100 * number + i).save(tmp_path / name / f"{i}.bmp")
    return tmp_path


def described(root: Path) -> dict:
    facts = {"name": "x", "kind": "image", "num_classes": None, "classes": None, "channels": 1, "image_size": 4}
    loading = {"batch_size": 4, "eval_batch_size": 4, "augment": None, "val_fraction": 0.2, "mean": [0.5], "std": [0.5]}
    datamodule = ImageDataModule(reader=ImageFolder(root, 1, 4), **facts, **loading)
    contract.read_splits(datamodule)
    return contract.describe(datamodule)


def began(splits: dict) -> Start:
    return Start(Path("last.ckpt"), {"splits": splits})


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_each_change_is_refused_or_accepted_with_both_figures(root, change, caplog):
    then = described(root)
    check_same_data(began(then), root, described(root))
    change(root)
    now = described(root)
    with pytest.raises(UserError, match="data_changed=accept") as refused:
        check_same_data(began(then), root, now)
    with caplog.at_level(logging.WARNING):
        check_same_data(began(then), root, now, accept=True)
    for said in (str(refused.value), caplog.text):
        figures = re.findall(r"(\w+): (\d+) items \((\w+)\) then, (\d+) items \((\w+)\) now", said)
        told = [
            (n, str(then[n]["count"]), then[n]["sha256"][:8], str(now[n]["count"]), now[n]["sha256"][:8]) for n in then
        ]
        assert figures
        assert set(figures) <= set(told)


def test_a_checkpoint_holds_it_wherever_it_lies(root, tmp_path):
    record = checkpoint.RunRecord({"model": {}, "data": {}})
    record.splits = described(root)
    path = tmp_path / "moved.ckpt"
    io = checkpoint.SafeCheckpointIO(record)
    io.save_checkpoint({"state_dict": {"w": torch.zeros(1)}, "global_step": 1}, path)
    assert checkpoint.load(path)["splits"] == record.splits


def test_a_count_tells_of_a_large_set_too(monkeypatch, root):
    """Of one that is read in part, the marks say of how many items they are, so they differ in words."""
    monkeypatch.setattr(identity, "MOST_FILES", 10)
    then = described(root)
    add(root)
    now = described(root)
    assert then["train"]["of"] != now["train"]["of"]
    with pytest.raises(UserError, match=r"train: 32 items \(\w+\) then, 33 items"):
        check_same_data(began(then), root, now)


@pytest.mark.parametrize(
    ("then", "untold"),
    [
        ({}, "train and val"),
        ({"train": {"count": 32}, "val": {"count": 8}}, "train and val"),
        ({"train": {"count": 32, "sha256": "ab", "of": "names of files"}}, "train and val"),
    ],
)
def test_what_an_older_run_did_not_record_is_told_in_one_line(root, tmp_path, then, untold, caplog):
    check_same_data(began(then), tmp_path, described(root))
    (said,) = caplog.messages
    assert f"last.ckpt does not say of {untold} what is compared now" in said


@pytest.mark.parametrize("data", [None, 3, {}, {"splits": 3}, {"splits": {"train": 3}}])
def test_a_record_that_says_nothing_of_the_data_is_none(root, tmp_path, data, caplog, monkeypatch):
    monkeypatch.setattr(resume.run_dir, "starts", lambda run: [{"data": data}])
    check_same_data(began({}), tmp_path, described(root))
    assert "does not say of train and val" in caplog.text


def test_what_a_run_of_this_version_recorded_is_compared_without_a_word(root, tmp_path, caplog):
    check_same_data(began(described(root)), tmp_path, described(root))
    assert caplog.messages == []


def test_a_part_that_is_gone_is_told(root, tmp_path, caplog):
    now = described(root)
    check_same_data(began({**now, "test": {"count": 3, "sha256": "ab", "of": "text"}}), tmp_path, now)
    (said,) = caplog.messages
    assert said == "last.ckpt knows of test (3 items), which is not there or not asked for now."
