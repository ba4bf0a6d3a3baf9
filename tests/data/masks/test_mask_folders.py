"""Folders of masks as people and tools write them: each is read right, or refused in a sentence that helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.data.auto import recognise
from lightloom.data.masks.folders import CITYSCAPES, Cityscapes, MaskFolder, VocMasks

SIZE = (12, 10)  # width, height
MASK = np.tile(np.array([0, 1, 1, 2], np.uint8), (10, 3))  # columns of three classes


def image(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 20, 30)).save(path)


def mask(path: Path, values: np.ndarray = MASK, mode: str = "L", **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = Image.fromarray(values)
    if mode == "P":
        drawn = Image.fromarray(values, "P")
        drawn.putpalette([90, 90, 90, 0, 0, 255, 255, 0, 0])
    drawn.save(path, **options)  # type: ignore[arg-type]


def pairs(root: Path, images: str, masks: str, count: int = 3, suffix: str = "", **options: object) -> None:
    for i in range(count):
        image(root / images / f"{i}.jpg")
        mask(root / masks / f"{i}{suffix}.png", **options)  # type: ignore[arg-type]


def parts(root: Path, layout: str) -> None:
    """layout: with {part} and {kind}."""
    for part in ("train", "val", "test"):
        pairs(root, layout.format(part=part, kind="images"), layout.format(part=part, kind="masks"))


def listed(root: Path, prefix: str = "") -> None:
    pairs(root, "a", "b")
    for part in ("train", "val"):
        (root / f"{part}.txt").write_text("".join(f"{prefix}a/{i}.jpg {prefix}b/{i}.png\n" for i in range(3)))


def colours(root: Path, table: str = "name,r,g,b\nsky,0,0,255\nland,0,255,0\nriver,255,0,0\n") -> None:
    shades = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0]], np.uint8)
    pairs(root, "images", "masks", values=shades[MASK])
    (root / "class_dict.csv").write_text(table)


def voc(root: Path) -> None:
    pairs(root, "JPEGImages", "SegmentationClass", mode="P")
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("0\n1\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("2\n")


def cityscapes(root: Path) -> None:
    ids = np.array([7, 23, 0], np.uint8)[MASK]  # road, sky, and what is not labelled
    for part in ("train", "val"):
        image(root / f"leftImg8bit/{part}/ulm/ulm_0_leftImg8bit.png")
        mask(root / f"gtFine/{part}/ulm/ulm_0_gtFine_labelIds.png", ids)


THREE = [0, 1, 2]
Build = Callable[[Path], None]
READ: dict[str, tuple[Build, dict, list[int], dict[str, int]]] = {  # options, values of a mask, images of parts
    "two folders": (lambda r: pairs(r, "images", "masks"), {}, THREE, {"train": 3}),
    "labels": (lambda r: pairs(r, "imgs", "labels"), {}, THREE, {"train": 3}),
    "annotations": (lambda r: pairs(r, "JPEGImages", "annots"), {}, THREE, {"train": 3}),
    "capitals": (lambda r: pairs(r, "Images", "Masks"), {}, THREE, {"train": 3}),
    "a suffix": (lambda r: pairs(r, "images", "masks", suffix="_mask"), {}, THREE, {"train": 3}),
    "another suffix": (lambda r: pairs(r, "images", "masks", suffix="_x"), {"suffix": "_x"}, THREE, {"train": 3}),
    "parts first": (lambda r: parts(r, "{part}/{kind}"), {}, THREE, {"train": 3, "val": 3, "test": 3}),
    "parts last": (lambda r: parts(r, "{kind}/{part}"), {}, THREE, {"train": 3, "val": 3, "test": 3}),
    "Validation": (
        lambda r: (pairs(r, "Train/images", "Train/masks"), pairs(r, "Validation/images", "Validation/masks")),
        {}, THREE, {"train": 3, "val": 3},
    ),
    "seg_train": (
        lambda r: (pairs(r, "seg_train/images", "seg_train/masks"), pairs(r, "seg_test/images", "seg_test/masks", 2)),
        {}, THREE, {"train": 3, "test": 2},
    ),
    "SegNet": (
        lambda r: (pairs(r, "train", "trainannot"), pairs(r, "val", "valannot", 2)), {}, THREE, {"train": 3, "val": 2}
    ),
    "named folders": (
        lambda r: pairs(r, "photos", "drawn"), {"images": "photos", "masks": "drawn"}, THREE, {"train": 3}
    ),
    "lists": (listed, {}, THREE, {"train": 3, "val": 3}),
    "lists of another machine": (lambda r: listed(r, "/SegNet/Data/"), {}, THREE, {"train": 3, "val": 3}),
    "lists of Windows": (lambda r: listed(r, "C:\\data\\"), {}, THREE, {"train": 3, "val": 3}),
    "a test without masks": (
        lambda r: (pairs(r, "train/images", "train/masks"), image(r / "test/9.jpg")), {}, THREE, {"train": 3, "test": 1}
    ),
    "a palette": (lambda r: pairs(r, "images", "masks", mode="P"), {}, THREE, {"train": 3}),
    "void is 11": (
        lambda r: pairs(r, "images", "masks", values=np.where(MASK == 2, 11, MASK).astype(np.uint8)),
        {"ignore": 11}, [0, 1, 255], {"train": 3},
    ),
    "black and white": (
        lambda r: pairs(r, "images", "masks", values=np.where(MASK > 0, 255, 0).astype(np.uint8)),
        {}, [0, 1], {"train": 3},
    ),
    "one bit": (lambda r: pairs(r, "images", "masks", values=MASK > 0), {}, [0, 1], {"train": 3}),
    "sixteen bits": (lambda r: pairs(r, "images", "masks", values=MASK.astype(np.uint16)), {}, THREE, {"train": 3}),
    "grey as colour": (
        lambda r: pairs(r, "images", "masks", values=np.repeat(MASK[..., None], 3, 2)), {}, THREE, {"train": 3}
    ),
    "colours": (colours, {"colours": "class_dict.csv"}, THREE, {"train": 3}),
    "colours without a header": (
        lambda r: colours(r, "sky,0,0,255\nland,0,255,0\nriver,255,0,0\n"),
        {"colours": "class_dict.csv"}, THREE, {"train": 3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name, tmp_path):
    build, options, values, counts = READ[name]
    build(tmp_path)
    reader = MaskFolder(tmp_path, **options)
    for split in ("train", "val", "test"):
        found = reader.read(split)
        assert (len(found) if found else 0) == counts.get(split, 0)
    train = reader.read("train")
    picture, drawn = train[0]
    assert picture.shape == (3, 10, 12)
    assert drawn.unique().tolist() == values
    assert len(reader.classes) == len([v for v in values if v != 255])
    assert drawn[0, :4].tolist() == [values[0], values[1], values[1], values[-1]]


@pytest.mark.parametrize("name", ["two folders", "capitals", "a suffix", "parts first", "parts last", "SegNet"])
def test_it_is_recognised(name, tmp_path):
    """By `data=auto`. Folders called labels may hold maps of objects, and need their name."""
    READ[name][0](tmp_path)
    assert recognise(tmp_path).choice == "masks"


def test_names_of_classes_come_from_a_file(tmp_path):
    pairs(tmp_path, "images", "masks")
    (tmp_path / "classes.txt").write_text("sky\nland \n\nriver\n")
    assert MaskFolder(tmp_path).classes == ["sky", "land", "river"]


def test_pascal_voc(tmp_path):
    voc(tmp_path)
    reader = VocMasks(tmp_path, names=["a", "b", "c"])
    assert (len(reader.read("train")), len(reader.read("val")), reader.read("test")) == (2, 1, None)
    assert reader.read("train")[0][1].unique().tolist() == THREE


def test_cityscapes_labels_become_training_classes(tmp_path):
    cityscapes(tmp_path)
    train = Cityscapes(tmp_path).read("train")
    assert train[0][1].unique().tolist() == [0, list(CITYSCAPES).index("sky"), 255]


WRONG: dict[str, tuple[Build, dict, str]] = {
    "no folder": (lambda r: r.rmdir(), {}, "there is no such folder; set data.root"),
    "nothing there": (lambda r: None, {}, "no images beside masks; expected images/ and masks/ there"),
    "images alone": (lambda r: image(r / "images/1.jpg"), {}, "it has images"),
    "an image without mask": (
        lambda r: (pairs(r, "images", "masks"), image(r / "images/9.jpg")), {}, "1 of 4 images have no mask, as 9.jpg"
    ),
    "colours that say nothing": (
        lambda r: pairs(r, "images", "masks", values=np.random.default_rng(0).integers(0, 255, (10, 12, 3), np.uint8)),
        {}, "a mask in colours .* data.colours=<file>",
    ),
    "a colour that is not listed": (
        lambda r: colours(r, "sky,0,0,255\nland,0,255,0\n"), {"colours": "class_dict.csv"},
        r"the pixel at x=3, y=0 is \(255, 0, 0\), a colour that data.colours has not",
    ),
    "a table that is none": (
        lambda r: colours(r, "sky,blue\n"), {"colours": "class_dict.csv"}, "no row is name,r,g,b"
    ),
    "a table that is not there": (colours, {"colours": "x.csv"}, "x.csv is not there"),
    "a JPEG of classes": (
        lambda r: [(image(r / f"images/{i}.jpg"), mask(r / f"masks/{i}.jpg", MASK * 20)) for i in range(2)],
        {}, "a JPEG, whose compression changes classes at borders",
    ),
    "a list of one column": (
        lambda r: (pairs(r, "images", "masks"), (r / "train.txt").write_text("images/0.jpg\n")),
        {}, "train.txt, line 1: expected two paths",
    ),
    "a list of what is not there": (
        lambda r: (r / "train.txt").write_text("a/0.jpg b/0.png\n"), {}, "a/0.jpg is not below"
    ),
    "a damaged mask": (
        lambda r: (pairs(r, "images", "masks"), (r / "masks/0.png").write_bytes(b"\x89PNG no")),
        {}, "0.png: cannot be read as a mask",
    ),
}  # fmt: skip


def every(reader: MaskFolder) -> list:
    train = reader.read("train")
    return [train[i] for i in range(len(train))]


@pytest.mark.parametrize("name", WRONG)
def test_it_is_refused(name, tmp_path):
    build, options, said = WRONG[name]
    build(tmp_path)
    reader = MaskFolder(tmp_path, **options)
    with pytest.raises(UserError, match=said):
        every(reader)


def test_an_unknown_value_and_another_size_are_found_before_the_first_step(tmp_path):
    from lightloom.data.masks.validation import unreadable

    pairs(tmp_path, "images", "masks", 4)
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    mask(tmp_path / "masks/1.png", MASK + 3)
    mask(tmp_path / "masks/2.png", MASK[:5])
    (tmp_path / "images/3.jpg").write_bytes(b"no image")
    found = {path.name: said for path, said in unreadable(MaskFolder(tmp_path).read("train")).items()}
    assert set(found) == {"1.png", "2.png", "3.jpg"}
    assert "has the value 3 (120 pixels), but classes are 0 to 2 and data.ignore is 255" in found["1.png"]
    assert "is 12 x 5 pixels, its image 2.jpg 12 x 10" in found["2.png"]
