"""Folders of images as people and programs lay them out: each is read right, or refused in one line to act on."""

from __future__ import annotations

import csv
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from class_folders import CASES, data, picture, read

from lightloom.core.errors import UserError
from lightloom.data.images.layout import part_named
from lightloom.data.images.readers import Cifar, ImageFolder, KaggleCsv


@pytest.mark.parametrize("name", CASES)
def test_a_folder_is_read_right_or_refused_in_one_line(tmp_path, name):
    case, root = CASES[name], tmp_path / "pets"
    root.mkdir()
    case.build(root)
    if case.refused:
        with pytest.raises(UserError, match=case.refused) as refused:
            read(root)
        assert "\n" not in str(refused.value)
        return
    counts, module = read(root)
    assert (module.classes, counts) == (case.classes, case.counts)
    assert case.said in str(module.summary())
    assert case.said or not module.summary().notes


@pytest.mark.parametrize("sizes", [[1] * 30 + [8], [1, 2, 1, 9, 1], [3] * 30, [1, 1]])
def test_each_class_has_a_training_image_however_few_it_has(tmp_path, sizes):
    for number, size in enumerate(sizes):
        for i in range(size):
            picture(tmp_path / f"{number:02}" / f"{i}.png", number)
    module = data(ImageFolder(tmp_path, 3, 4))
    if max(sizes) == 1:
        with pytest.raises(UserError, match="leaves pets no validation image of its 2 training images"):
            module.setup("fit")
        return
    module.setup("fit")
    train, val = module.splits["train"], module.splits["val"]
    assert set(train.labels.tolist()) == set(range(len(sizes)))
    assert len(train) + len(val) == sum(sizes)
    assert len(val) >= 1


def test_a_test_part_without_labels_is_not_tested_and_can_be_predicted(tmp_path):
    CASES["a flat test"].build(tmp_path)
    module = data(ImageFolder(tmp_path, 3, 4))
    assert not module.can_be_tested()
    assert module.can_be_tested(labelled=False)
    assert module.split("test").ids == ["0.jpg", "1.jpg", "2.jpg"]


NAMES = {"Training": "train", "test-images": "test", "VAL_2": "val", "dev": "val", "TestData": "test"}
NOT_PARTS = dict.fromkeys(("trainer", "train_station", "test drive", "contest", "valley", "images", "tests_2", ""))


@pytest.mark.parametrize(("name", "part"), [*NAMES.items(), *NOT_PARTS.items()])
def test_a_part_is_told_from_a_class_by_its_whole_name(name, part):
    assert part_named(name) == part


# --- CIFAR and Kaggle as others write them


def forms(names: list[str], rows: np.ndarray, labels: list[int]) -> dict[str, tuple[Any, Any]]:
    """What scripts in Python 3 put into a batch: (meta, batch)."""
    plain = {"label_names": names}, {"data": rows, "labels": labels}
    as_bytes = {b"label_names": [n.encode() for n in names]}, {b"data": rows, b"labels": labels}
    arrays = plain[0], {"data": rows, "labels": np.array(labels)}
    scalars = plain[0], {"data": rows, "labels": [*np.array(labels)]}
    return {"plain": plain, "keys of bytes": as_bytes, "an array of labels": arrays, "numbers of NumPy": scalars}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", ["plain", "keys of bytes", "an array of labels", "numbers of NumPy"])
def test_cifar_batches_of_python_3_are_read(tmp_path, form, protocol):
    rows = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)
    meta, batch = forms(["apple", "bear"], rows, [1, 0])[form]
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in ("test_batch", *(f"data_batch_{i}" for i in range(1, 6))):
        (folder / file).write_bytes(pickle.dumps(batch, protocol))
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol))
    reader = Cifar(tmp_path, "CIFAR10")
    test = reader.read("test")
    assert torch.equal(test.images.flatten(1), torch.from_numpy(rows))
    assert (test.labels.tolist(), reader.classes) == ([1, 0], ["apple", "bear"])


class Asks:
    """Unpickled, it calls a function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("call", [(re.compile, "a"), (np.fromfile, "x"), (np.load, "x"), (bytes.decode, b"a")])
def test_what_a_batch_may_call_are_arrays_and_bytes(tmp_path, call):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in ("batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))):
        (folder / file).write_bytes(pickle.dumps({"data": Asks(*call), "labels": [], "label_names": []}, 2))
    with pytest.raises(UserError, match=r"not a whole batch of CIFAR10 \(it asks for"):
        Cifar(tmp_path, "CIFAR10").read("test")


@pytest.mark.parametrize(
    ("ids", "test_ids"), [(["0", "10", "2"], ["7"]), (["000.png", "001.png", "010.png"], ["7.png"])]
)
def test_ids_of_a_competition_may_have_the_files_suffix(tmp_path, ids, test_ids):
    for name in (*(f"train/{Path(i).stem}.png" for i in ids), "test/7.png"):
        picture(tmp_path / name)
    with (tmp_path / "trainLabels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *((i, f"of {i}") for i in ids)])
    reader = KaggleCsv(tmp_path)
    train, test = reader.read("train"), reader.read("test")
    assert sorted(train.ids) == ids
    assert [path.stem for path in train.paths] == [Path(i).stem for i in train.ids]
    assert test.ids == test_ids
