"""Folders of images as people and programs lay them out: each is read right, or refused in one line to act on."""

from __future__ import annotations

import csv
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.layout import PARTS, part_named
from lightloom.data.images.readers import Cifar, ImageFolder, KaggleCsv

SHAPE = {"channels": 3, "image_size": 4, "mean": [0.5] * 3, "std": [0.2] * 3}


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(path)


def images(*places: str, count: int = 2, suffix: str = "jpg") -> Callable[[Path], None]:
    """`count` images in each folder."""

    def build(root: Path) -> None:
        for number, place in enumerate(places):
            for i in range(count):
                picture(root / place / f"{i}.{suffix}", 100 * number + i)

    return build


def files(**contents: str) -> Callable[[Path], None]:
    """Files that are no images; in their names `__` is a dot, `/` as it is."""

    def build(root: Path) -> None:
        for name, content in contents.items():
            path = root / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return build


def both(*builders: Callable[[Path], None]) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        for builder in builders:
            builder(root)

    return build


def bits(largest: int) -> Callable[[Path], None]:
    """Grey images of 16 bits with values up to this one."""

    def build(root: Path) -> None:
        for name in ("a", "b"):
            for i in range(2):
                (root / name).mkdir(parents=True, exist_ok=True)
                grey = np.linspace(0, largest, 16).reshape(4, 4).astype(np.uint16)
                Image.fromarray(grey).save(root / name / f"{i}.png")

    return build


def moving(suffix: str) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        first, *rest = (Image.new("RGB", (4, 4), (80 * i, 0, 0)) for i in range(3))
        first.save(root / "a" / f"moving.{suffix}", save_all=True, append_images=rest)

    return both(images("a", "b"), build)


def linked(root: Path) -> None:
    images("dog", ".elsewhere/cat")(root)
    (root / "cat").symlink_to(root / ".elsewhere" / "cat")


@dataclass
class Case:
    """A folder; read: the classes and the count of each part. said: in the line about it. refused: instead of both."""

    build: Callable[[Path], None]
    classes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    said: str = ""
    refused: str = ""


CAT_DOG, AB, FOUR = ["cat", "dog"], ["a", "b"], {"train": 4}
SEVERAL = "1 have several pictures, of which the first is used"
SPLIT = {"train": 4, "test": 4}
THREE = {"train": 4, "val": 4, "test": 4}


def parts(*names: str) -> Callable[[Path], None]:
    return images(*(f"{name}/{kind}" for name in names for kind in CAT_DOG))


CASES = {
    # parts
    "classes only": Case(images("cat", "dog"), CAT_DOG, FOUR),
    "train, val, test": Case(parts("train", "val", "test"), CAT_DOG, THREE),
    "train, valid, test": Case(parts("train", "valid", "test"), CAT_DOG, THREE),
    "train, validation": Case(parts("train", "validation"), CAT_DOG, {"train": 4, "val": 4}),
    "Training, Testing": Case(parts("Training", "Testing"), CAT_DOG, SPLIT),
    "Train, VAL, Test": Case(parts("Train", "VAL", "Test"), CAT_DOG, THREE),
    "seg_train/seg_train": Case(parts("seg_train/seg_train", "seg_test/seg_test"), CAT_DOG, SPLIT),
    "seg_pred has no classes": Case(
        both(parts("seg_train/seg_train", "seg_test/seg_test"), images("seg_pred/seg_pred")),
        CAT_DOG,
        SPLIT,
        said="left out: seg_pred/, which is no part",
    ),
    "training_set, test_set": Case(parts("training_set", "test_set"), CAT_DOG, SPLIT),
    "TrainingSet, TestSet": Case(parts("TrainingSet", "TestSet"), CAT_DOG, SPLIT),
    "train2017, val2017": Case(parts("train2017", "val2017"), CAT_DOG, {"train": 4, "val": 4}),
    "train and train_set": Case(parts("train", "train_set"), refused="train and train_set are both train data"),
    "one folder of an archive around parts": Case(
        parts("archive/train", "archive/test"), CAT_DOG, SPLIT, said="read below archive/"
    ),
    "two folders around classes": Case(images("a/b/cat", "a/b/dog"), CAT_DOG, FOUR, said="read below a/b/"),
    "a class called train": Case(images("bus", "train"), ["bus", "train"], FOUR),
    "no training part": Case(parts("test"), CAT_DOG, {"test": 4}),
    "a flat test": Case(
        both(images("train/cat", "train/dog"), images("test", count=3)),
        CAT_DOG,
        {"train": 4, "test": 3},
        said="test/ has no class folders: 3 images without labels",
    ),
    "a flat validation": Case(
        both(images("train/cat", "train/dog"), images("val")), refused=r"val: classes \['images'\] are not in .*train"
    ),
    "flat, of no classes": Case(images("."), ["images"], {"train": 2}),
    "flat train and test": Case(images("train", "test"), ["images"], {"train": 2, "test": 2}),
    "a new class in the test": Case(
        both(parts("train", "test"), images("test/emu")), refused=r"test: classes \['emu'\] are not in .*train; rename"
    ),
    "another capital letter in the test": Case(
        both(images("train/cat"), images("test/Cat")), refused=r"\['Cat'\] .*\(capital letters and spaces count\)"
    ),
    # folders
    "hidden folders and those of systems": Case(
        both(images("cat", "dog", ".cache"), files(**{"__MACOSX/x": "", ".git/x": ""})), CAT_DOG, FOUR
    ),
    "an empty class": Case(
        both(images("cat", "dog"), lambda root: (root / "emu").mkdir()), refused=r"no images .* in \['emu'\]"
    ),
    "a class of other files": Case(
        both(images("cat"), files(**{"emu/a__heic": "", "emu/b__heic": ""})),
        refused=r"in \['emu'\] \(left out: files that are no images \(\.heic 2; pillow-heif reads \.heic\)\)",
    ),
    "a class ${foo}": Case(images("${foo}", "[b]", "???"), ["${foo}", "???", "[b]"], {"train": 6}),
    "a class with spaces": Case(images(" cat", "cat"), [" cat", "cat"], FOUR),
    "images deeper in a class": Case(images("cat/2019", "cat/2020", "dog/x/y"), CAT_DOG, {"train": 6}),
    "a class that is a link": Case(linked, CAT_DOG, FOUR),
    "no folder": Case(lambda root: None, refused=r"no class folders; expected .*/<class>/\*\.png"),
    # files
    "jfif": Case(images("cat", "dog", suffix="jfif"), CAT_DOG, FOUR),
    "avif": Case(images("cat", "dog", suffix="avif"), CAT_DOG, FOUR),
    "JPG, WEBP and BMP": Case(
        both(*(images("cat", "dog", suffix=s) for s in ("JPG", "WEBP", "BMP"))), CAT_DOG, {"train": 12}
    ),
    "files that are no images": Case(
        both(images("cat", "dog"), files(**{"cat/a__txt": "", "README__md": "", "dog/b__txt": ""})),
        CAT_DOG,
        FOUR,
        said=r"left out: files that are no images (.txt 2, .md 1)",
    ),
    "Thumbs.db": Case(both(images("cat", "dog"), files(**{"cat/Thumbs__db": ""})), CAT_DOG, FOUR),
    "images beside the classes": Case(
        images("cat", "dog", "."), CAT_DOG, FOUR, said="left out: images beside the class folders, 2 (0.jpg, 1.jpg)"
    ),
    "12 bits in files of 16": Case(
        bits(4095),
        AB,
        FOUR,
        said="4 have 16 bits and no value above 4,095 of 65,535: they are read as dark as that; multiply them by 16",
    ),
    "16 bits": Case(bits(65535), AB, FOUR),
    "a moving GIF": Case(moving("gif"), AB, {"train": 5}, said=f"{SEVERAL} (moving.gif)"),
    "a moving WEBP": Case(moving("webp"), AB, {"train": 5}, said=f"{SEVERAL} (moving.webp)"),
    "a TIFF of pages": Case(moving("tiff"), AB, {"train": 5}, said=f"{SEVERAL} (moving.tiff)"),
}


def data(reader: Any, **options: Any) -> ImageDataModule:
    loading = {"batch_size": 1, "eval_batch_size": 4, "augment": None, "val_fraction": 0.25, **options}
    return ImageDataModule(reader, "pets", "image", num_classes=None, classes=None, **SHAPE, **loading)


@pytest.mark.parametrize("name", CASES)
def test_a_folder_is_read_right_or_refused_in_one_line(tmp_path, name):
    case, root = CASES[name], tmp_path / "pets"
    root.mkdir()
    case.build(root)
    reader = ImageFolder(root, 3, 4)

    def read() -> tuple[dict[str, int], ImageDataModule]:
        module = data(reader)
        found = {part: split for part in PARTS if (split := module._read(part)) is not None}
        for split in found.values():
            assert all(Image.open(path).size for path in split.paths or [])
        module.facts()
        module.splits = found
        return {part: len(split) for part, split in found.items()}, module

    if case.refused:
        with pytest.raises(UserError, match=case.refused) as refused:
            read()
        assert "\n" not in str(refused.value)
        return
    counts, module = read()
    assert (reader.classes, counts) == (case.classes, case.counts)
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
