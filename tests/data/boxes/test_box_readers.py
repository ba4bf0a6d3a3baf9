"""What is written in a layout is what its reader gives back; what is wrong with boxes is mended, or named."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import real
from faster_coco_eval import mask as coco_mask
from PIL import Image
from torchvision.ops import masks_to_boxes

from lightloom.core.errors import UserError
from lightloom.data.boxes.annotations import annotation
from lightloom.data.boxes.coco import Coco
from lightloom.data.boxes.datamodule import DetectionDataModule
from lightloom.data.boxes.instance_maps import InstanceMaps, extents, read_map
from lightloom.data.boxes.outlines import decode
from lightloom.data.boxes.validation import File, look, open_files
from lightloom.data.boxes.voc import Voc
from lightloom.data.boxes.writers import Boxes, boxes_of, encode, write_coco, write_csv, write_voc, write_yolo
from lightloom.data.boxes.yolo import Yolo
from lightloom.data.images.decode import read_image, read_whole

CLASSES = ["cat", "dog", "emu"]
SIZES = [(48, 64), (50, 70), (33, 41)]


def save(path: Path, size: tuple[int, int], mode: str = "RGB", **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **options)


def random_boxes(count: int = 3) -> list[Boxes]:
    """Whole-pixel boxes in images of SIZES; the last image has none."""
    rng = np.random.default_rng(0)
    found = []
    for i, (height, width) in enumerate(SIZES):
        n = count if i < len(SIZES) - 1 else 0
        low = rng.integers(0, [width - 20, height - 20], (n, 2))
        boxes = np.concatenate([low, low + rng.integers(1, 20, (n, 2))], 1)
        labels = torch.from_numpy(rng.integers(1, 4, n))
        found.append(Boxes(f"{i}.png", (height, width), torch.from_numpy(boxes).float(), labels))
    return found


def datamodule(reader, **facts) -> DetectionDataModule:
    options = {"name": "mine", "kind": "detection", "num_classes": None, "classes": None, "channels": 3}
    options |= {"image_size": 32, "has_masks": None, "batch_size": 1, "eval_batch_size": 2, "val_fraction": 0.4}
    return DetectionDataModule(reader=reader, **options | facts)


def assert_same(found, truth: list[Boxes]) -> None:
    assert [a.name for a in found.annotations] == [t.name for t in truth]
    for known, true in zip(found.annotations, truth, strict=True):
        assert torch.allclose(known.boxes, true.boxes, atol=1e-4)
        assert torch.equal(known.labels, true.labels)


# layouts


def test_voc_to_coco_to_yolo_to_voc(tmp_path):
    """Whole-pixel boxes come back exactly, an image without boxes too."""
    truth = random_boxes()
    for image in truth:
        for place in ("voc/JPEGImages", "coco/images", "yolo/images", "again/JPEGImages"):
            save(tmp_path / place / image.name, image.size)
    write_voc(tmp_path / "voc/Annotations", truth, CLASSES)
    voc = Voc(tmp_path / "voc").read("train")
    assert_same(voc, truth)
    write_coco(tmp_path / "coco/annotations.json", boxes_of(voc), CLASSES)
    coco = Coco(tmp_path / "coco")
    assert coco.classes == CLASSES
    assert_same(coco.read("train"), truth)
    write_yolo(tmp_path / "yolo", boxes_of(coco.read("train")), CLASSES)
    yolo = Yolo(tmp_path / "yolo")
    assert yolo.classes == CLASSES
    found = yolo.read("train")
    assert_same(found, truth)
    sizes = [Boxes(a.name, t.size, a.boxes, a.labels) for a, t in zip(found.annotations, truth, strict=True)]
    write_voc(tmp_path / "again/Annotations", sizes, CLASSES)
    again = Voc(tmp_path / "again").read("train")
    assert all(torch.equal(a.boxes, t.boxes) for a, t in zip(again.annotations, truth, strict=True))
    for path in (tmp_path / "voc/Annotations").iterdir():
        assert path.read_text() == (tmp_path / "again/Annotations" / path.name).read_text()


def test_voc_counts_pixels_from_1_or_edges_from_0(tmp_path):
    truth = [Boxes("0.png", (48, 64), torch.tensor([[0.0, 0.0, 64.0, 48.0]]), torch.tensor([1]))]
    save(tmp_path / "JPEGImages/0.png", (48, 64))
    write_voc(tmp_path / "Annotations", truth, CLASSES)
    assert "<xmin>1</xmin>" in (tmp_path / "Annotations/0.xml").read_text()
    assert Voc(tmp_path).read("train").annotations[0].boxes.tolist() == [[0, 0, 64, 48]]
    assert Voc(tmp_path, inclusive=False).read("train").annotations[0].boxes.tolist() == [[1, 1, 64, 48]]


def test_voc_splits_come_from_its_lists_and_difficult_objects_are_crowds(tmp_path):
    truth = random_boxes()
    write_voc(tmp_path / "VOCdevkit/VOC2007/Annotations", truth, CLASSES)
    home = tmp_path / "VOCdevkit/VOC2007"
    for image in truth:
        save(home / "JPEGImages" / image.name, image.size)
    (home / "ImageSets/Main").mkdir(parents=True)
    (home / "ImageSets/Main/train.txt").write_text("0\n")
    (home / "ImageSets/Main/val.txt").write_text("1\n2\n")
    text = (home / "Annotations/0.xml").read_text()
    (home / "Annotations/0.xml").write_text(text.replace("<difficult>0", "<difficult>1", 1))
    reader = Voc(tmp_path)
    assert reader.read("train").names == ["0.png"]
    assert reader.read("val").names == ["1.png", "2.png"]
    assert reader.read("test") is None
    assert reader.read("train").annotations[0].iscrowd.tolist() == [1, 0, 0]


def test_voc_images_with_spaces_are_listed_and_what_has_no_partner_is_told(tmp_path, caplog):
    reader = voc_folder(tmp_path, {"a b": xml("5 5 20 25"), "c": xml("5 5 20 25"), "d": xml("5 5 20 25")})
    (tmp_path / "JPEGImages/c.png").unlink()
    (tmp_path / "Annotations/d.xml").unlink()
    with caplog.at_level(logging.WARNING, "lightloom"):
        assert reader.read("train").names == ["a b.png"]
    said = [record.getMessage().removeprefix(f"{tmp_path}: ") for record in caplog.records]
    assert said == ["1 XML files without an image are left out (c)", "1 images without an XML file are left out (d)"]
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/val.txt").write_text("a b\n")
    assert Voc(tmp_path).read("val").names == ["a b.png"]


def test_voc_boxes_of_less_than_a_pixel_have_one(tmp_path):
    boxes = [[10.2, 10.2, 10.4, 10.4], [0, 0, 0.3, 0.3], [63.8, 47.8, 64, 48]]
    write_voc(tmp_path / "Annotations", [Boxes("0.png", (48, 64), torch.tensor(boxes), torch.ones(3).long())], CLASSES)
    save(tmp_path / "JPEGImages/0.png", (48, 64))
    found = Voc(tmp_path).read("train").annotations[0].boxes.tolist()
    assert found == [[9, 9, 10, 10], [0, 0, 1, 1], [63, 47, 64, 48]]


def test_coco_ids_may_have_gaps_and_masks_come_as_polygons_and_run_lengths(tmp_path):
    save(tmp_path / "train2017/a.jpg", (40, 60))
    square = [[10, 5, 30, 5, 30, 25, 10, 25]]
    mask = torch.zeros(40, 60, dtype=torch.uint8)
    mask[5:25, 10:30] = 1
    packed = coco_mask.encode(np.asfortranarray(mask.numpy()))
    packed["counts"] = packed["counts"].decode() if isinstance(packed["counts"], bytes) else packed["counts"]
    objects = [
        {
            "id": i,
            "image_id": 77,
            "category_id": c,
            "bbox": [10, 5, 20, 20],
            "area": 400,
            "iscrowd": crowd,
            "segmentation": s,
        }
        for i, (c, crowd, s) in enumerate([(90, 0, square), (7, 1, encode(mask)), (90, 0, packed)])
    ]
    content = {
        "images": [{"id": 77, "file_name": "a.jpg", "height": 40, "width": 60}],
        "categories": [{"id": 90, "name": "zebra"}, {"id": 7, "name": "ape"}],
        "annotations": objects,
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_train2017.json").write_text(json.dumps(content))
    reader = Coco(tmp_path)
    assert reader.classes == ["ape", "zebra"]
    assert reader.has_masks
    _, target = reader.read("train")[0]
    assert target["labels"].tolist() == [2, 1, 2]
    assert target["iscrowd"].tolist() == [0, 1, 0]
    assert int(target["image_id"]) == 77
    assert all(torch.equal(found, mask) for found in target["masks"])
    assert target["boxes"].tolist() == [[10, 5, 30, 25]] * 3


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_are_those_of_coco(seed):
    mask = (torch.rand(9, 14, generator=torch.Generator().manual_seed(seed)) < 0.5).to(torch.uint8)
    assert np.array_equal(decode(encode(mask), (9, 14)), mask.numpy())
    reference = coco_mask.frPyObjects(encode(mask), 9, 14)
    assert int(coco_mask.area(reference)) == int(mask.sum())


def test_coco_written_from_masks_is_read_back(tmp_path):
    masks = torch.zeros(2, 48, 64, dtype=torch.uint8)
    masks[0, 3:9, 4:20] = masks[1, 20:40, 30:31] = 1
    boxes = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])
    save(tmp_path / "images/0.png", (48, 64))
    truth = [Boxes("0.png", (48, 64), boxes, torch.tensor([1, 3]), masks=masks)]
    write_coco(tmp_path / "coco.json", truth, CLASSES)
    _, target = Coco(tmp_path).read("train")[0]
    assert torch.equal(target["masks"], masks)
    assert target["area"].tolist() == [96, 20]


def test_yolo_splits_polygons_and_images_without_file(tmp_path):
    for split, names in {"train": "ab", "valid": "c"}.items():
        for name in names:
            save(tmp_path / split / "images" / f"{name}.jpg", (50, 100))
    (tmp_path / "train/labels").mkdir()
    (tmp_path / "train/labels/a.txt").write_text("1 0.5 0.5 0.2 0.4\n0 0.1 0.2 0.3 0.2 0.3 0.6\n")
    (tmp_path / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnc: 2\nnames: [cat, dog]\n")
    reader = Yolo(tmp_path)
    a, b = reader.read("train").annotations
    assert a.boxes.round(decimals=3).tolist() == [[40, 15, 60, 35], [10, 10, 30, 30]]
    assert a.labels.tolist() == [2, 1]
    assert len(b.boxes) == 0
    assert reader.read("val").names == ["c.jpg"]
    assert reader.read("test") is None


@pytest.mark.parametrize("text", ["cat\ndog", "cat\ndog\n"])
def test_a_list_of_classes_may_end_without_a_line_break(tmp_path, text):
    (tmp_path / "classes.txt").write_text(text)
    save(tmp_path / "a.jpg", (48, 64))
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert Yolo(tmp_path).classes == ["cat", "dog"]


@pytest.mark.parametrize(
    "text", ["nan 0.5 0.5 0.2 0.2", "inf 0.5 0.5 0.2 0.2", "0.5 0.5 0.5 0.2 0.2", "cat 0.5 0.5 1 1"]
)
def test_a_line_that_is_no_box_is_named(tmp_path, text):
    save(tmp_path / "images/a.jpg", (48, 64))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text(text)
    with pytest.raises(UserError, match=r"a\.txt, line 1: "):
        Yolo(tmp_path).read("train")


def test_a_byte_order_mark_is_no_text_and_other_encodings_are_told(tmp_path):
    save(tmp_path / "images/a.jpg", (48, 64))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-8-sig")
    (tmp_path / "data.yaml").write_text("names: [Käse]\n", encoding="utf-8-sig")
    assert Yolo(tmp_path).classes == ["Käse"]
    assert Yolo(tmp_path).read("train").annotations[0].labels.tolist() == [1]
    (tmp_path / "data.yaml").write_text("names: [Käse]\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"data\.yaml: .*; save it as UTF-8"):
        Yolo(tmp_path).read("train")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_instance_maps_of_8_and_16_bits(tmp_path, dtype):
    numbers = np.zeros((40, 50), dtype)
    numbers[2:9, 3:20] = 200
    numbers[12:30, 25:41] = np.iinfo(dtype).max
    save(tmp_path / "PNGImages/x.png", (40, 50), "L")
    (tmp_path / "PedMasks").mkdir()
    Image.fromarray(numbers).save(tmp_path / "PedMasks/x_mask.png")
    reader = InstanceMaps(tmp_path, images="PNGImages", maps="PedMasks", suffix="_mask", class_name="pedestrian")
    image, target = reader.read("train")[0]
    assert image.shape == (3, 40, 50)
    assert target["boxes"].tolist() == [[3, 2, 20, 9], [25, 12, 41, 30]]
    assert torch.equal(masks_to_boxes(target["masks"]) + torch.tensor([0, 0, 1, 1]), target["boxes"])
    assert target["area"].tolist() == [7 * 17, 18 * 16]


def test_a_map_without_background_has_its_objects():
    assert extents(np.array([[4, 4], [9, 9]])) == ([4, 9], [[0, 0, 2, 1], [0, 1, 2, 2]])
    assert extents(np.zeros((3, 3), np.int64)) == ([], [])


def test_csv_has_a_row_per_box(tmp_path):
    truth = random_boxes()
    write_csv(tmp_path / "boxes.csv", truth, CLASSES)
    rows = (tmp_path / "boxes.csv").read_text().splitlines()
    assert rows[0] == "image,class,score,x1,y1,x2,y2"
    assert len(rows) == 1 + sum(len(t.labels) for t in truth)
    assert rows[1].split(",")[3:] == [f"{v:g}" for v in truth[0].boxes[0].tolist()]


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16"])
def test_images_of_any_mode_have_three_channels(tmp_path, mode):
    path = tmp_path / "images" / ("x.tif" if mode == "CMYK" else "x.png")
    save(path, (48, 64), "L" if mode == "I;16" else mode)
    if mode == "I;16":
        Image.fromarray(np.full((48, 64), 0x8000, np.uint16)).save(path)
    path.with_suffix(".txt").write_text("0 0.5 0.5 0.2 0.2\n")
    image, _ = Yolo(tmp_path).read("train")[0]
    assert image.shape == (3, 48, 64)
    assert mode != "I;16" or image.unique().tolist() == [128]


def turned(path: Path, size: tuple[int, int]) -> None:
    """An image that EXIF turns by 90 degrees, of this height and width before."""
    exif = Image.Exif()
    exif[0x0112] = 6
    save(path, size, exif=exif)


def test_boxes_are_those_of_the_upright_image(tmp_path):
    turned(tmp_path / "images/x.jpg", (40, 80))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/x.txt").write_text("0 0.5 0.25 1 0.5\n")
    split = Yolo(tmp_path).read("train")
    assert split[0][0].shape == (3, 80, 40)
    assert split.annotations[0].boxes.tolist() == [[0, 0, 40, 40]]


# the look

GOOD = [5.0, 5.0, 20.0, 25.0]
FAULTS = {
    "no_area": ([5.0, 5.0, 5.0, 25.0], 1),
    "outside": ([70.0, 5.0, 80.0, 25.0], 1),
    "clipped": ([-3.0, 5.0, 20.0, 50.0], 1),
    "not_finite": ([float("nan"), 5.0, 20.0, 25.0], 1),
    "label": ([5.0, 30.0, 20.0, 40.0], 4),
    "duplicate": ([5.0, 5.0, 20.0, 25.5], 2),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_of_a_box_is_counted_under_its_name_alone(kind):
    box, label = FAULTS[kind]
    images = [annotation("good", Path("good"), [GOOD], [2]), annotation("bad", Path("bad"), [GOOD, box], [2, label])]
    mended, faults = look(images, 3, [File(48, 64)] * 2)
    assert faults.found == {kind: ["bad"]}
    assert torch.equal(mended[0].boxes, images[0].boxes)
    expected = {"no_area": [GOOD], "outside": [GOOD], "clipped": [GOOD, [0, 5, 20, 48]]}
    if kind in expected:
        assert mended[1].boxes.tolist() == expected[kind]


def test_an_infinite_box_is_not_finite():
    _, faults = look([annotation("a", Path("a"), [[0.0, 0.0, float("inf"), 5.0]], [1])], 1, [File(9, 9)])
    assert faults.found == {"not_finite": ["a"]}


@pytest.mark.parametrize(
    ("kind", "size", "file"),
    [
        ("size", (30, 30), File(48, 64)),
        ("turned", (64, 48), File(48, 64, turned=True)),
        ("unreadable", (48, 64), File(error="broken")),
    ],
)
def test_each_fault_of_an_image_is_named(kind, size, file):
    _, faults = look([annotation("a", Path("a"), [GOOD], [1], size=size)], 1, [file])
    assert faults.found == {kind: ["a"]}


def test_good_annotations_have_no_faults():
    images = [
        annotation(t.name, Path(t.name), t.boxes.tolist(), t.labels.tolist(), size=t.size) for t in random_boxes()
    ]
    mended, faults = look(images, 3, [File(*size) for size in SIZES])
    assert faults.found == {"negative": ["2.png"]}
    assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(images, mended, strict=True))


def voc_folder(root: Path, objects: dict[str, str]) -> Voc:
    """An image of 64x48 for each name, with the text of its XML."""
    for name, text in objects.items():
        save(root / "JPEGImages" / f"{name}.png", (48, 64))
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{name}.xml").write_text(text)
    return Voc(root, inclusive=False)


def xml(*corners: str, name: str = "cat") -> str:
    sides = ("xmin", "ymin", "xmax", "ymax")
    texts = ("".join(f"<{s}>{v}</{s}>" for s, v in zip(sides, c.split(), strict=True)) for c in corners)
    objects = (f"<object><name>{name}</name><bndbox>{text}</bndbox></object>" for text in texts)
    return f"<annotation>{''.join(objects)}</annotation>"


def test_what_is_mended_is_told_in_one_line_per_kind(tmp_path, caplog):
    good = xml("5 5 20 25")
    reader = voc_folder(
        tmp_path,
        {"a": good, "b": xml("5 5 5 5", "6 6 6 9"), "c": xml("5 5 5 5"), "d": "", "e": xml("50 5 90 25"), "f": good},
    )
    with caplog.at_level(logging.INFO, "lightloom"):
        data = datamodule(reader)
        data.setup("fit")
    assert [record.getMessage() for record in caplog.records] == [
        "mine train: empty annotation files, whose images are kept as negatives: 1 (d.png)",
        "mine train: boxes of no area, dropped: 3 (b.png, c.png)",
        "mine train: boxes that leave their image, clipped: 1 (e.png)",
        "mine train: images without boxes, kept as negatives: 3 (b.png, c.png, d.png)",
    ]
    assert len(data.split("train")) + len(data.split("val")) == 6


WRONG = {
    "normalised": (xml("0.1 0.2 0.5 0.9"), "boxes in [0, 1] where pixels are expected: 1 (b.png); multiply"),
    "nan": (xml("nan 5 20 25"), "boxes with NaN or infinite corners: 1 (b.png)"),
    "no number": (xml("five 5 20 25"), "b.xml: bndbox/xmin is 'five'; expected a number"),
    "half a file": ("<annotation><object>", "b.xml: is no whole XML"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_remains_wrong_stops_the_run(tmp_path, kind):
    text, words = WRONG[kind]
    data = datamodule(voc_folder(tmp_path, {"a": xml("5 5 20 25"), "b": text}))
    with pytest.raises(UserError) as caught:
        data.setup("fit")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_that_is_wrong_comes_together(tmp_path):
    folder = tmp_path / "images"
    for name in "abc":
        save(folder / f"{name}.jpg", (48, 64))
    (folder / "a.jpg").write_bytes((folder / "a.jpg").read_bytes()[:500])
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/b.txt").write_text("0 32 24 10 10\n")
    (tmp_path / "labels/c.txt").write_text("7 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    with pytest.raises(UserError) as caught:
        datamodule(Yolo(tmp_path)).setup("fit")
    unreadable, in_pixels, label = str(caught.value).splitlines()
    assert "images that cannot be read: 1 (a.jpg)" in unreadable
    assert "boxes beyond [0, 1] where shares of the image are expected: 1 (b.jpg)" in in_pixels
    assert "boxes of a class that is none of the data's: 1 (c.jpg)" in label


def coco_folder(root: Path, **more) -> Coco:
    save(root / "images/a.png", (48, 64))
    box = {"id": 1, "image_id": 1, "category_id": 5, "bbox": [5, 5, 15, 20], "area": 300, "iscrowd": 0}
    content = {"images": [{"id": 1, "file_name": "a.png", "height": 48, "width": 64}]}
    content |= {"categories": [{"id": 5, "name": "cat"}], "annotations": [box]}
    (root / "coco.json").write_text(json.dumps(content | more))
    return Coco(root)


WRONG_COCO = {
    "no boxes": ({"annotations": []}, "none of its 1 training images has a box; check the annotations"),
    "unknown class": ({"annotations": [{"id": 1, "image_id": 1, "category_id": 6, "bbox": [5, 5, 15, 20]}]},
                      "boxes of a class that is none of the data's: 1 (a.png); name all classes"),
    "unknown image": ({"annotations": [{"id": 1, "image_id": 9, "category_id": 5, "bbox": [5, 5, 15, 20]}]},
                      "annotation 1 is of image 9, which is not listed"),
    "three numbers": ({"annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [5, 5, 15]}]},
                      "annotations[0].bbox is a list of 3; expected a list of 4 numbers, [x, y, width, height]"),
    "normalised": ({"annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [0.1, 0.2, 0.3, 0.4]}]},
                   "boxes in [0, 1] where pixels are expected: 1 (a.png); multiply"),
    "no file": ({"images": [{"id": 1}]}, "images[0] is an object of 1; expected an object that has file_name too"),
    "no name": ({"categories": [{"id": 5}]}, "categories[0] is an object of 1; expected an object that has name too"),
    "no images": ({"images": [{"id": 1, "file_name": "b.png"}]}, "coco.json: 1 of 1 images are missing (b.png)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_COCO)
def test_what_is_wrong_in_a_coco_file_stops_the_run_in_one_message(tmp_path, kind):
    more, words = WRONG_COCO[kind]
    with pytest.raises(UserError) as caught:
        datamodule(coco_folder(tmp_path, **more)).setup("fit")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_coco_file_that_is_none_is_named(tmp_path, text):
    (tmp_path / "coco.json").write_text(text)
    with pytest.raises(
        UserError,
        match=r"coco\.json: (is no whole JSON|its content is a list of 0; expected an object with images, categories)",
    ):
        datamodule(Coco(tmp_path)).setup("fit")


def test_a_truncated_image_of_a_voc_folder_is_named(tmp_path):
    data = datamodule(voc_folder(tmp_path, {"a": xml("5 5 20 25"), "b": xml("5 5 20 25")}))
    path = tmp_path / "JPEGImages/b.png"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match=r"images that cannot be read: 1 \(b\.png\); replace") as caught:
        data.setup("fit")
    assert "\n" not in str(caught.value)


def test_annotations_without_any_box_cannot_be_learned(tmp_path):
    for name in "abc":
        save(tmp_path / "images" / f"{name}.jpg", (48, 64))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("")
    (tmp_path / "data.yaml").write_text("names: [cat]\n")
    with pytest.raises(UserError, match="none of its 3 training images has a box"):
        datamodule(Yolo(tmp_path)).setup("fit")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    for reader in (Voc(tmp_path / "x"), Coco(tmp_path / "x"), Yolo(tmp_path / "x"), InstanceMaps(tmp_path / "x")):
        with pytest.raises(UserError, match=r"data set x: .*data\.root.*paths\.data_dir"):
            reader.read("train")


def test_what_was_seen_is_remembered_until_a_file_changes(tmp_path):
    path, cache = tmp_path / "x.png", tmp_path / "cache"
    save(path, (48, 64))
    assert open_files([path], cache_dir=cache) == [File(48, 64)]
    content, state = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert open_files([path], cache_dir=cache) == [File(48, 64)]
    save(path, (30, 20))
    assert open_files([path], cache_dir=cache) == [File(30, 20)]


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "3", "null", '{"files": []}', "[" * 100_000, '[{"height": 1, "width": 2}]'),
        '{"files": [{"height": 1, "width": 2, "turned": false, "error": ""}], "sha256": "0"}',
        '{"files": [{"height": "1", "width": 2, "turned": 0, "error": null}], "sha256": "0"}',
    ],
)
def test_what_somebody_put_into_the_memory_is_not_believed(tmp_path, content):
    path, cache = tmp_path / "x.png", tmp_path / "cache"
    save(path, (48, 64))
    open_files([path], cache_dir=cache)
    (entry,) = cache.iterdir()
    entry.write_text(content)
    assert open_files([path], cache_dir=cache) == [File(48, 64)]


# where images may lie


def linked(root: Path, layout: str, name: str) -> DetectionDataModule:
    """A data set in `root` whose annotations name the image `name`."""
    save(root / "images/a.png", SIZES[0])
    labels = root / "labels/a.txt"
    labels.parent.mkdir(exist_ok=True)
    labels.write_text("0 0.5 0.5 0.2 0.2\n")
    if layout == "coco":
        boxes = [{"image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9]} for i in range(2)]
        images = [{"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": name}]
        content = {"images": images, "categories": [{"id": 1, "name": "x"}], "annotations": boxes}
        (root / "coco.json").write_text(json.dumps(content))
        return datamodule(Coco(root))
    (root / "list.txt").write_text(f"images/a.png\n{name}\n")
    (root / "data.yaml").write_text("train: list.txt\nnames: [x]\n")
    return datamodule(Yolo(root))


OUTSIDE = ("../../other/x.png", "{other}/x.png", "images/../../../other/x.png", "./../other/../../x.png", "/etc/passwd")


@pytest.mark.parametrize("layout", ["coco", "yolo"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_annotations_name_no_image_outside_of_their_folder(tmp_path, layout, name):
    root, other = tmp_path / "set", tmp_path / "other"
    save(other / "x.png", SIZES[0])
    with pytest.raises(
        UserError, match=r"1 of its 2 images lie outside .*set data\.root to the folder that holds both"
    ):
        linked(root, layout, name.format(other=other)).setup("fit")


@pytest.mark.parametrize("layout", ["coco", "yolo"])
def test_a_link_and_a_detour_inside_of_it_are_fine(tmp_path, layout):
    root, other = tmp_path / "set", tmp_path / "other"
    save(other / "x.png", SIZES[0])
    (root / "images").mkdir(parents=True)
    (root / "images/there").symlink_to(other)
    name = "there/../there/x.png" if layout == "coco" else "images/there/x.png"
    linked(root, layout, name).setup("fit")


def test_yolo_s_own_path_may_lie_beside_the_folder(tmp_path, caplog):
    save(tmp_path / "other/images/x.png", SIZES[0])
    (tmp_path / "other/labels").mkdir()
    (tmp_path / "other/labels/x.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/data.yaml").write_text("path: ../other\ntrain: images\nnames: [x]\n")
    read = Yolo(tmp_path / "set").read("train")
    assert read.names == ["x.png"]
    assert f"may lie elsewhere too, in the path of its data.yaml ({tmp_path / 'other'})" in caplog.text
    (tmp_path / "set/data.yaml").write_text("train: ../../other/images\nnames: [x]\n")
    with pytest.raises(UserError, match="lie outside"):
        Yolo(tmp_path / "set").read("train")


@pytest.mark.parametrize("side", [6400, 30_000])
def test_a_small_file_of_many_pixels_is_not_decoded(tmp_path, monkeypatch, side):
    path = tmp_path / "a.png"
    Image.new("1", (side, 6400)).save(path)
    assert path.stat().st_size < 200_000
    (file,) = open_files([path])
    for read in (lambda: read_image(path, 3, 8), lambda: read_whole(path, 3), lambda: read_map(path)):
        with pytest.raises(
            UserError, match=rf"has {side} x 6400 pixels, more than the 40,000,000 .*MAX_PIXELS={side * 6400}"
        ):
            read()
    assert "MAX_PIXELS" in file.error
    monkeypatch.setenv("LIGHTLOOM_MAX_PIXELS", "41_000_000")
    with pytest.raises(UserError, match="expected a whole number"):
        read_image(path, 1, 8)
    if side == 6400:
        monkeypatch.setenv("LIGHTLOOM_MAX_PIXELS", "41000000")
        assert read_image(path, 1, 8).shape == (1, 8, 8)


# real data


def test_bccd_has_two_boxes_of_no_area_and_8_pairs_alike():
    data = datamodule(Voc(real("bccd"), inclusive=False), name="bccd")
    data.setup("fit")
    data.setup("test")
    found = [data.faults[split].found for split in ("train", "val", "test")]
    dropped = [name for faults in found for name in faults.get("no_area", [])]
    assert sorted(dropped) == ["BloodImage_00338.jpg", "BloodImage_00343.jpg"]
    assert sum(len(faults["duplicate"]) for faults in found) == 8
    assert {kind for faults in found for kind in faults} == {"no_area", "duplicate"}
    boxes = [a.labels for split in ("train", "val", "test") for a in data.split(split).annotations]
    assert torch.cat(boxes).bincount().tolist() == [0, 361, 4155 - 2, 372]
    assert data.classes == ["Platelets", "RBC", "WBC"]


def test_coco128_says_the_same_in_both_layouts():
    yolo = Yolo(real("coco128")).read("train")
    coco = Coco(real("coco128"), train="annotations/boxes_train2017.json").read("train")
    by_name = {a.name: a for a in coco.annotations}
    assert len(yolo) == len(coco) == 128
    for known in yolo.annotations:
        assert torch.allclose(known.boxes, by_name[known.name].boxes, atol=0.01)
        assert torch.equal(known.labels, by_name[known.name].labels)


def test_nuclei_are_all_found():
    nuclei = InstanceMaps(real("dsb2018")).read("train")
    assert len(nuclei) == 334
    assert sum(len(a.labels) for a in nuclei.annotations) == 9543
