"""Folders of images with classes, as people and programs lay them out, and what is wrong with some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.layout import PARTS
from lightloom.data.images.readers import ImageFolder

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


def read(root: Path) -> tuple[dict[str, int], ImageDataModule]:
    """How many images each part of the folder has, and its datamodule, that has read them."""
    module = data(ImageFolder(root, 3, 4))
    found = {part: split for part in PARTS if (split := module._read(part)) is not None}
    for split in found.values():
        assert all(Image.open(path).size for path in split.paths or [])
    module.facts()
    module.splits = found
    return {part: len(split) for part, split in found.items()}, module


REFUSED = [name for name, case in CASES.items() if case.refused]
