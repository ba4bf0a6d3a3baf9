"""Folders with boxes as programs and people make them: each is built here, and read right or refused in one line.

A row that is added to `READ` or `REFUSED` is tested by tests/data/boxes/test_folders.py without a test of its own; one
of `REFUSED` joins docs/errors.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from PIL import Image

from lightloom.config.compose import CONFIGS
from lightloom.config.instantiate import import_target
from lightloom.data.boxes.datamodule import DetectionDataModule

Objects = Sequence[tuple[str, tuple[int, int, int, int]]]
WIDTH, HEIGHT = 64, 48
IMAGES: dict[str, Objects] = {
    "a": (("cat", (5, 6, 20, 26)), ("dog", (30, 10, 50, 40))),
    "b": (("dog", (1, 2, 31, 42)),),
    "c": (("cat", (10, 12, 22, 20)),),
    "d": (("dog", (40, 4, 60, 24)), ("cat", (2, 30, 12, 44))),
}
CLASSES = ("cat", "dog")
ALL = {"train": "abcd"}
PARTS = {"train": "ab", "val": "c", "test": "d"}


# --- one image, one file


def picture(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (len(path.stem) * 20, 90, 40)).save(path)


def pictures(folder: Path, names: str = "abcd", suffix: str = ".jpg") -> None:
    for name in names:
        picture(folder / f"{name}{suffix}")


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def voc(objects: Objects, filename: str = "x.jpg", shift: int = 0, more: str = "", database: str = "Unknown") -> str:
    """As LabelImg writes it; shift: 1 where pixels count from 1."""
    items = "".join(
        f"<object><name>{name}</name>{more}<bndbox><xmin>{x1 + shift}</xmin><ymin>{y1 + shift}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2) in objects
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    source = f"<source><database>{database}</database></source>"
    return f"<annotation><filename>{filename}</filename>{source}{size}{items}</annotation>"


def xmls(folder: Path, names: str = "abcd", suffix: str = ".jpg") -> None:
    for name in names:
        write(folder / f"{name}.xml", voc(IMAGES[name], f"{name}{suffix}"))


def yolo(objects: Objects, first: int = 0, score: str = "", polygons: bool = False) -> str:
    lines = []
    for name, (x1, y1, x2, y2) in objects:
        number = CLASSES.index(name) + first
        if polygons:
            values = [
                x1 / WIDTH,
                y1 / HEIGHT,
                x2 / WIDTH,
                y1 / HEIGHT,
                x2 / WIDTH,
                y2 / HEIGHT,
                x1 / WIDTH,
                y2 / HEIGHT,
            ]
        else:
            values = [(x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT]
        lines.append(f"{number} {' '.join(f'{value:.9f}' for value in values)}{score}\n")
    return "".join(lines)


def labels(folder: Path, names: str = "abcd", **options: object) -> None:
    for name in names:
        write(folder / f"{name}.txt", yolo(IMAGES[name], **options))  # type: ignore[arg-type]


def coco(names: str = "abcd", called: str = "{}.jpg", **more: object) -> dict:
    images = [{"id": i, "file_name": called.format(n), "width": WIDTH, "height": HEIGHT} for i, n in enumerate(names)]
    boxes = [(i, name, box) for i, image in enumerate(names) for name, box in IMAGES[image]]
    annotations = [
        {"id": number, "image_id": i, "category_id": CLASSES.index(name) + 1, "iscrowd": 0,
         "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        for number, (i, name, (x1, y1, x2, y2)) in enumerate(boxes)
    ]  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, 1)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories, **more}


def labelme(name: str, called: str | None = None, polygons: bool = False) -> dict:
    shapes = []
    for label, (x1, y1, x2, y2) in IMAGES[name]:
        points = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]] if polygons else [[x2, y2], [x1, y1]]
        kind = "polygon" if polygons else "rectangle"
        shapes.append({"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}})
    called = called or f"{name}.jpg"
    facts = {"imagePath": called, "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
    return {"version": "5.0.1", "flags": {}, "shapes": shapes, **facts}


def via(names: str = "abcd", attribute: str | None = "class", as_list: bool = True, polygons: bool = False) -> dict:
    found = {}
    for image in names:
        regions = []
        for name, (x1, y1, x2, y2) in IMAGES[image]:
            box = {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
            around = {"name": "polygon", "all_points_x": [x1, x2, x2, x1], "all_points_y": [y1, y1, y2, y2]}
            named = {attribute: name} if attribute else {}
            regions.append({"shape_attributes": around if polygons else box, "region_attributes": named})
        content = regions if as_list else {str(i): region for i, region in enumerate(regions)}
        found[f"{image}.jpg123"] = {"filename": f"{image}.jpg", "size": 123, "regions": content, "file_attributes": {}}
    return found


def cvat(names: str = "abcd", polygons: bool = False, called: str = "{}.jpg", subset: Mapping[str, str] = {}) -> str:
    text = ""
    for i, image in enumerate(names):
        items = "".join(
            f'<polygon label="{name}" points="{x1},{y1};{x2},{y1};{x2},{y2};{x1},{y2}"/>'
            if polygons
            else f'<box label="{name}" occluded="0" xtl="{x1}.00" ytl="{y1}.00" xbr="{x2}.00" ybr="{y2}.00"/>'
            for name, (x1, y1, x2, y2) in IMAGES[image]
        )
        part = f' subset="{subset[image]}"' if image in subset else ""
        text += f'<image id="{i}" name="{called.format(image)}"{part} width="{WIDTH}" height="{HEIGHT}">{items}</image>'
    return f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{text}</annotations>'


def label_studio(names: str = "abcd", called: str = "{}.jpg", brief: bool = False) -> list[dict]:
    tasks = []
    for image in names:
        values = [
            {"x": 100 * x1 / WIDTH, "y": 100 * y1 / HEIGHT, "width": 100 * (x2 - x1) / WIDTH,
             "height": 100 * (y2 - y1) / HEIGHT, "rotation": 0, "rectanglelabels": [name]}
            for name, (x1, y1, x2, y2) in IMAGES[image]
        ]  # fmt: skip
        sides = {"original_width": WIDTH, "original_height": HEIGHT}
        if brief:
            tasks.append({"image": called.format(image), "id": 1, "label": [{**value, **sides} for value in values]})
        else:
            results = [{"type": "rectanglelabels", "value": value, **sides} for value in values]
            task = {"id": 1, "data": {"image": called.format(image)}, "annotations": [{"id": 1, "result": results}]}
            tasks.append(task)
    return tasks


# --- folders that are read


@dataclass(frozen=True)
class Read:
    """A folder that `build` makes, and how it is to be read. choice: the `data=` that `data=auto` finds;
    told: words of what is said about it; boxes: where they are not those of IMAGES.
    """

    build: Callable[[Path], object]
    choice: str
    parts: Mapping[str, str] = field(default_factory=lambda: ALL)
    classes: Sequence[str] = CLASSES
    options: Mapping[str, object] = field(default_factory=dict)
    told: Sequence[str] = ()
    has_masks: bool = False
    boxes: Mapping[str, Objects] = field(default_factory=dict)


def _each(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [step(folder) for step in steps]


def _in(place: str, make: Callable[..., object], *args: object, **options: object) -> Callable[[Path], object]:
    return lambda folder: make(folder / place, *args, **options)


def _text(place: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda folder: write(folder / place, content)


def _json(place: str, content: object) -> Callable[[Path], object]:
    return _text(place, json.dumps(content))


def _split(images: str, annotations: str, make: Callable[..., object], names: Mapping[str, str]) -> Callable:
    """The parts' images and files in places with the part's name for `{}`."""
    return _each(
        *(_in(images.format(words), pictures, PARTS[part]) for part, words in names.items()),
        *(_in(annotations.format(words), make, PARTS[part]) for part, words in names.items()),
    )


USUAL = {"train": "train", "val": "val", "test": "test"}
ROBOFLOW = {"train": "train", "val": "valid", "test": "test"}
LOUD = {"train": "Training", "val": "Validation", "test": "Testing"}


def _named(names: str) -> str:
    return "".join(f"{name}\n" for name in names)


def _linked(folder: Path) -> None:
    pictures(folder.parent / "elsewhere")
    labels(folder / "labels")
    (folder / "images").symlink_to(folder.parent / "elsewhere")


def _of_their_own(make: Callable[[str], object], place: str) -> Callable[[Path], object]:
    return lambda folder: [write(folder / place.format(n), json.dumps(make(n))) for n in IMAGES]


def _raw(objects: Objects, shift: int) -> str:
    return voc(objects, shift=shift, database="The VOC2007 Database")


NAMES_YAML = "names: [cat, dog]\n"
READ = {
    # Pascal VOC's XML
    "voc: JPEGImages, Annotations": Read(_each(_in("JPEGImages", pictures), _in("Annotations", xmls)), "voc"),
    "voc: raccoon, images and annotations": Read(_each(_in("images", pictures), _in("annotations", xmls)), "voc"),
    "voc: kangaroo, images and annots": Read(_each(_in("images", pictures), _in("annots", xmls)), "voc"),
    "voc: images and Annotations": Read(_each(_in("images", pictures), _in("Annotations", xmls)), "voc"),
    "voc: LabelImg, beside the images": Read(_each(_in("", pictures), _in("", xmls)), "voc"),
    "voc: in a folder of a folder": Read(_each(_in("a/b/img", pictures), _in("a/b/xml", xmls)), "voc"),
    "voc: Roboflow, train valid test": Read(_split("{}", "{}", xmls, ROBOFLOW), "voc", PARTS),
    "voc: parts in capital letters": Read(_split("{}/images", "{}/annotations", xmls, LOUD), "voc", PARTS),
    "voc: images/train, annotations/train": Read(_split("images/{}", "annotations/{}", xmls, USUAL), "voc", PARTS),
    "voc: parts of the annotations alone": Read(
        _each(_in("images", pictures), *(_in(f"Annotations/{p}", xmls, names) for p, names in PARTS.items())),
        "voc", PARTS,
    ),
    "voc: VOCdevkit with lists": Read(
        _each(
            _in("VOCdevkit/VOC2012/JPEGImages", pictures), _in("VOCdevkit/VOC2012/Annotations", xmls),
            *(_text(f"VOCdevkit/VOC2012/ImageSets/Main/{part}.txt", _named(n)) for part, n in PARTS.items()),
        ),
        "voc", PARTS,
    ),
    "voc: lists with suffixes": Read(
        _each(
            _in("JPEGImages", pictures), _in("Annotations", xmls),
            *(_text(f"ImageSets/Main/{part}.txt", "".join(f"{x}.jpg\n" for x in n)) for part, n in PARTS.items()),
        ),
        "voc", PARTS,
    ),
    "voc: lists with folders, beside all": Read(
        _each(
            _in("images", pictures), _in("annotations", xmls),
            *(_text(f"{part}.txt", "".join(f"images/{x}.jpg\r\n" for x in n)) for part, n in PARTS.items()),
        ),
        "voc", PARTS,
    ),
    "voc: a list for validation alone": Read(
        _each(_in("JPEGImages", pictures), _in("Annotations", xmls), _text("ImageSets/Main/val.txt", "c\n")),
        "voc", {"train": "abd", "val": "c"},
    ),
    "voc: trainval and test": Read(
        _each(
            _in("JPEGImages", pictures), _in("Annotations", xmls),
            _text("ImageSets/Main/trainval.txt", "a\nb\nc\n"), _text("ImageSets/Main/test.txt", "d\n"),
        ),
        "voc", {"train": "abc", "test": "d"},
    ),
    "voc: segmentations of equal names": Read(
        _each(_in("JPEGImages", pictures), _in("Annotations", xmls), _in("SegmentationClass", pictures, "ab", ".png")),
        "voc",
    ),
    "voc: pixels count from 1": Read(
        _each(
            _in("JPEGImages", pictures),
            *(_text(f"Annotations/{n}.xml", _raw(objects, 1)) for n, objects in IMAGES.items()),
        ),
        "voc",
    ),
    "voc: file names that are not theirs": Read(
        _each(
            _in("images", pictures),
            *(_text(f"xml/0{n}.xml", voc(objects, f"{n}.jpg")) for n, objects in IMAGES.items()),
        ),
        "voc",
    ),
    "voc: another suffix in the XML": Read(_each(_in("images", pictures), _in("xml", xmls, "abcd", ".png")), "voc"),
    "voc: an absolute path of Windows": Read(
        _each(
            _in("images", pictures),
            *(_text(f"xml/0{n}.xml", voc(objects, f"C:\\me\\{n}.jpg")) for n, objects in IMAGES.items()),
        ),
        "voc",
    ),
    "voc: two suffixes, one stated": Read(
        _each(_in("images", pictures), _in("images", pictures, "a", ".png"), _in("xml", xmls)), "voc",
        told=["1 images without an XML file are left out"],
    ),
    "voc: an image and an XML file alone": Read(
        _each(_in("images", pictures, "abc"), _in("xml", xmls, "bcd")), "voc", {"train": "bc"},
        told=["1 XML files without an image are left out", "1 images without an XML file are left out"],
    ),
    "voc: a name with spaces around": Read(
        _each(
            _in("images", pictures),
            *(_text(f"xml/{n}.xml", voc([(f" {name}\n", box) for name, box in o])) for n, o in IMAGES.items()),
        ),
        "voc",
    ),
    "voc: Cat and cat": Read(
        _each(_in("images", pictures), _in("xml", xmls), _text("xml/b.xml", voc([("Dog", (1, 2, 31, 42))]))), "voc",
        classes=["Dog", "cat", "dog"], boxes={"b": [("Dog", (1, 2, 31, 42))]},
        told=["2 classes have names that differ in case or spaces only"],
    ),
    "voc: corners in reverse order": Read(
        _each(_in("images", pictures), _in("xml", xmls), _text("xml/b.xml", voc([("dog", (31, 42, 1, 2))]))), "voc",
        told=["boxes whose corners were in reverse order, turned round: 1 (b.jpg)"],
    ),
    "voc: some are difficult": Read(
        _each(
            _in("images", pictures), _in("xml", xmls),
            _text("xml/b.xml", voc(IMAGES["b"], more="<difficult>1</difficult>")),
        ),
        "voc", told=["objects marked as difficult or as crowds, not trained on and not counted as missed: 1 (b.jpg)"],
    ),
    "voc: all are difficult and used": Read(
        _each(
            _in("images", pictures),
            *(_text(f"xml/{n}.xml", voc(o, more="<difficult>1</difficult>")) for n, o in IMAGES.items()),
        ),
        "voc", options={"use_difficult": True},
    ),
    "voc: XML in GBK that says so": Read(
        _each(
            _in("images", pictures), _in("xml", xmls),
            _text("xml/b.xml", ('<?xml version="1.0" encoding="GBK"?>' + voc([("狗", (1, 2, 31, 42))])).encode("gbk")),
        ),
        "voc", classes=["cat", "dog", "狗"], boxes={"b": [("狗", (1, 2, 31, 42))]},
    ),
    "voc: folders that are named": Read(
        _each(_in("new", pictures), _in("old", pictures), _in("first", xmls, "ab"), _in("second", xmls)), "voc",
        options={"images": "new", "annotations": "second"},
    ),
    "voc: years, one of them": Read(
        _each(
            *(_in(f"VOCdevkit/VOC{y}/JPEGImages", pictures) for y in (2007, 2012)),
            *(_in(f"VOCdevkit/VOC{y}/Annotations", xmls) for y in (2007, 2012)),
        ),
        "voc", options={"year": 2012},
    ),
    # YOLO's text
    "yolo: images, labels, data.yaml": Read(
        _each(_in("images", pictures), _in("labels", labels), _text("data.yaml", NAMES_YAML)), "yolo"
    ),
    "yolo: images/train, labels/train": Read(
        _each(_split("images/{}", "labels/{}", labels, USUAL), _text("data.yaml", NAMES_YAML)), "yolo", PARTS
    ),
    "yolo: Roboflow, train/images": Read(
        _each(
            _split("{}/images", "{}/labels", labels, ROBOFLOW),
            _text("data.yaml", f"train: ../train/images\nval: ../valid/images\ntest: ../test/images\n{NAMES_YAML}"),
        ),
        "yolo", PARTS,
    ),
    "yolo: a path of another machine": Read(
        _each(
            _split("{}/images", "{}/labels", labels, USUAL),
            _text("data.yaml", f"train: /content/set/train/images\nval: /content/set/val/images\n{NAMES_YAML}"),
        ),
        "yolo", {"train": "ab", "val": "c"},
    ),
    "yolo: lists of images": Read(
        _each(
            _in("images", pictures), _in("labels", labels),
            _text("data.yaml", f"train: train.txt\nval: val.txt\n{NAMES_YAML}"),
            _text("train.txt", "./images/a.jpg\n./images/b.jpg\n"), _text("val.txt", "./images/c.jpg\n"),
        ),
        "yolo", {"train": "ab", "val": "c"},
    ),
    "yolo: darknet's lists of absolute paths": Read(
        _each(
            _in("obj", pictures), _in("obj", labels), _text("obj.names", "cat\ndog\n"),
            _text("data.yaml", "train: train.txt\n"), _text("train.txt", "/home/me/obj/a.jpg\n/home/me/obj/b.jpg\n"),
        ),
        "yolo", {"train": "ab"},
    ),
    "yolo: images is a link": Read(_each(_linked, _text("data.yaml", NAMES_YAML)), "yolo"),
    "yolo: LabelImg, beside the images": Read(
        _each(_in("", pictures), _in("", labels), _text("classes.txt", "cat\ndog\n")), "yolo"
    ),
    "yolo: classes.txt with the labels": Read(
        _each(_in("images", pictures), _in("labels", labels), _text("labels/classes.txt", "cat\ndog")), "yolo"
    ),
    "yolo: beside the images, in parts": Read(
        _each(_split("{}", "{}", labels, ROBOFLOW), _text("train/classes.txt", "cat\ndog\n")), "yolo", PARTS
    ),
    "yolo: names count from 1": Read(
        _each(
            _in("images", pictures), _in("labels", labels, first=1), _text("data.yaml", "names: {1: cat, 2: dog}\n")
        ),
        "yolo", told=["2 names do not count from 0"],
    ),
    "yolo: nobody knows the names": Read(
        _each(_in("images", pictures), _in("labels", labels)), "yolo", classes=["0", "1"],
        boxes={n: [(str(CLASSES.index(name)), box) for name, box in o] for n, o in IMAGES.items()},
        told=["2 classes have no names"],
    ),
    "yolo: an image without labels": Read(
        _each(_in("images", pictures), _in("labels", labels, "abc"), _text("data.yaml", NAMES_YAML)), "yolo",
        boxes={"d": []}, told=["images without boxes, kept as negatives: 1 (d.jpg)"],
    ),
    "yolo: scores of predictions": Read(
        _each(_in("images", pictures), _in("labels", labels, score=" 0.87"), _text("data.yaml", NAMES_YAML)), "yolo",
        told=["6 scores, in a sixth column"],
    ),
    "yolo: polygons are masks": Read(
        _each(_in("images", pictures), _in("labels", labels, polygons=True), _text("data.yaml", NAMES_YAML)), "yolo",
        has_masks=True,
    ),
    "yolo: polygons and boxes": Read(
        _each(
            _in("images", pictures), _in("labels", labels, polygons=True), _in("labels", labels, "c"),
            _text("data.yaml", NAMES_YAML),
        ),
        "yolo", told=["1 objects have no outline, so those of the others are read as boxes"],
    ),
    "yolo: data.yaml in a folder": Read(
        _each(
            _in("set/images/train", pictures), _in("set/labels/train", labels),
            _text("set/data.yaml", f"path: .\ntrain: images/train\n{NAMES_YAML}"),
        ),
        "yolo",
    ),
    "yolo: the labels' folder is named": Read(
        _each(_in("pics", pictures), _in("txt", labels), _text("data.yaml", NAMES_YAML)), "yolo",
        options={"images": "pics", "annotations": "txt"},
    ),
    # COCO's JSON
    "coco: annotations/instances_train2017": Read(
        _each(
            *(_in(f"{part}2017", pictures, names) for part, names in PARTS.items()),
            *(_json(f"annotations/instances_{part}2017.json", coco(names)) for part, names in PARTS.items()),
        ),
        "coco", PARTS,
    ),
    "coco: Roboflow": Read(
        _each(
            *(_in(words, pictures, PARTS[part]) for part, words in ROBOFLOW.items()),
            *(_json(f"{words}/_annotations.coco.json", coco(PARTS[part])) for part, words in ROBOFLOW.items()),
        ),
        "coco", PARTS,
    ),
    "coco: Roboflow's kind of all classes": Read(
        _each(
            _in("train", pictures),
            _json("train/_annotations.coco.json", coco(categories=[
                {"id": 0, "name": "pets", "supercategory": "none"},
                {"id": 1, "name": "cat", "supercategory": "pets"}, {"id": 2, "name": "dog", "supercategory": "pets"},
            ])),
        ),
        "coco",
    ),
    "coco: one file, parts by folders": Read(
        _each(
            *(_in(part, pictures, names) for part, names in PARTS.items()), _json("labels.json", coco()),
        ),
        "coco", PARTS,
    ),
    "coco: result.json with \\": Read(
        _each(_in("images", pictures), _json("result.json", coco(called="images\\{}.jpg"))), "coco"
    ),
    "coco: absolute paths of another machine": Read(
        _each(_in("images", pictures), _json("result.json", coco(called="/home/me/pets/{}.jpg"))), "coco"
    ),
    "coco: two categories of one name": Read(
        _each(
            _in("images", pictures),
            _json("coco.json", coco(categories=[
                {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "cat "},
            ])),
        ),
        "coco", told=["1 categories have the name of another"],
    ),
    "coco: negative width": Read(
        _each(_in("images", pictures), _json("coco.json", coco("b", annotations=[
            {"id": 1, "image_id": 0, "category_id": 2, "bbox": [31, 42, -30, -40]},
        ]))),
        "coco", {"train": "b"}, told=["boxes whose corners were in reverse order, turned round: 1 (b.jpg)"],
    ),
    "coco: outlines of one and two points": Read(
        _each(_in("images", pictures), _json("coco.json", coco("c", annotations=[
            {"id": i, "image_id": 0, "category_id": 1, "bbox": [10, 12, 12, 8], "segmentation": [outline]}
            for i, outline in enumerate([[10, 12, 22, 12, 22, 20, 10, 20], [10, 12, 22, 20], [10, 12]])
        ]))),
        "coco", {"train": "c"}, has_masks=True,
        told=["objects whose outline has fewer than three points, dropped: 2 (c.jpg)"],
    ),
    "coco: the file is named": Read(
        _each(_in("images", pictures), _json("a/x.json", coco()), _json("a/y.json", coco("ab"))), "coco",
        {"train": "ab"}, options={"annotations": "a/y.json"},
    ),
    # others
    "labelme: beside the images": Read(_each(_in("", pictures), _of_their_own(labelme, "{}.json")), "labelme"),
    "labelme: paths of Windows": Read(
        _each(_in("img", pictures), _of_their_own(lambda n: labelme(n, f"..\\img\\{n}.jpg"), "json/{}.json")), "labelme"
    ),
    "labelme: polygons, an image without file": Read(
        _each(_in("", pictures), _of_their_own(lambda n: labelme(n, polygons=True), "{}.json")), "labelme",
        has_masks=True,
    ),
    "labelme: points and lines": Read(
        _each(_in("", pictures), _of_their_own(labelme, "{}.json"), _json("c.json", {**labelme("c"), "shapes": [
            *labelme("c")["shapes"], {"label": "x", "points": [[1, 1]], "shape_type": "point"},
            {"label": "x", "points": [[1, 1], [2, 2]], "shape_type": "polygon"},
        ]})),
        "labelme", told=["2 points, lines and shapes of fewer than three points are left out"],
    ),
    "via: balloon, train and val": Read(
        _each(
            *(_in(p, pictures, PARTS[p]) for p in ("train", "val")),
            *(_json(f"{p}/via_region_data.json", via(PARTS[p], None, polygons=True)) for p in ("train", "val")),
        ),
        "via", {"train": "ab", "val": "c"}, classes=["object"], has_masks=True,
        boxes={n: [("object", box) for _, box in o] for n, o in IMAGES.items()},
        told=["4 regions name no class"],
    ),
    "via: a project": Read(
        _each(_in("images", pictures), _json("via_project.json", {
            "_via_settings": {}, "_via_img_metadata": via(as_list=False), "_via_attributes": {}
        })),
        "via",
    ),
    "via: an attribute that is named": Read(
        _each(_in("", pictures), _json("via.json", via(attribute="animal"))), "via", options={"attribute": "animal"}
    ),
    "cvat: boxes": Read(_each(_in("images", pictures), _text("annotations.xml", cvat())), "cvat"),
    "cvat: polygons": Read(
        _each(_in("images", pictures), _text("annotations.xml", cvat(polygons=True))), "cvat", has_masks=True
    ),
    "cvat: subsets and paths": Read(
        _each(
            _in("images", pictures),
            _text("annotations.xml", cvat(called="task 1/{}.jpg", subset={"c": "Validation", "d": "Test"})),
        ),
        "cvat", PARTS,
    ),
    "label_studio: uploads": Read(
        _each(_in("images", pictures), _json("project.json", label_studio(called="/data/upload/1/0a1b2c3d-{}.jpg"))),
        "label_studio",
    ),
    "label_studio: local files": Read(
        _each(_in("images", pictures), _json("p.json", label_studio(called="/data/local-files/?d=pets%2F{}.jpg"))),
        "label_studio",
    ),
    "label_studio: JSON-MIN": Read(
        _each(_in("images", pictures), _json("p.json", label_studio(called="C:\\pets\\{}.jpg", brief=True))),
        "label_studio",
    ),
}  # fmt: skip


# --- folders that are refused


@dataclass(frozen=True)
class Refused:
    """A folder that `build` makes, the `data=` that reads it, and words of the one line that refuses it."""

    build: Callable[[Path], object]
    choice: str
    says: Sequence[str]
    options: Mapping[str, object] = field(default_factory=dict)


_XML = _each(_in("images", pictures), _in("xml", xmls))
_TXT = _each(_in("images", pictures), _in("labels", labels), _text("data.yaml", NAMES_YAML))


def _boxes_of(content: dict, *boxes: Sequence[float]) -> dict:
    objects = [{"id": i, "image_id": 0, "category_id": 1, "bbox": list(box)} for i, box in enumerate(boxes)]
    return {**content, "annotations": objects}


REFUSED = {
    "voc: no annotations": Refused(
        _in("images", pictures), "voc", ["no XML annotations in", "images/ (4 .jpg)", "data.annotations="]
    ),
    "voc: XML of no image": Refused(
        _each(_in("images", pictures, "a"), _in("xml", xmls, "bcd")), "voc", ["no image for any of its 3 XML files"]
    ),
    "voc: a folder that is not there": Refused(
        _XML, "voc", ["data.images=imgs: there is no", "images/ (4 .jpg)"], {"images": "imgs"}
    ),
    "voc: a folder elsewhere": Refused(_XML, "voc", ["lies outside", "set data.root"], {"annotations": "../x"}),
    "voc: an empty name": Refused(
        _each(_XML, _text("xml/b.xml", voc([(" ", (1, 2, 31, 42))]))), "voc", ["object without a class (b.xml)"]
    ),
    "voc: all difficult": Refused(
        _each(
            _in("images", pictures),
            *(_text(f"xml/{n}.xml", voc(o, more="<difficult>1</difficult>")) for n, o in IMAGES.items()),
        ),
        "voc", ["all objects of its 4 training images are marked as difficult", "data.reader.use_difficult=true"],
    ),
    "voc: two images for one XML": Refused(
        _each(_XML, _in("images", pictures, "a", ".png"), _text("xml/a.xml", voc(IMAGES["a"], ""))), "voc",
        ["xml/a.xml: a may be images/a.jpg, images/a.png; rename or delete one"],
    ),
    "voc: a list of images that are missing": Refused(
        _each(_XML, _text("ImageSets/Main/train.txt", "a\nx\n")), "voc", ["1 of 2 images are missing (x)", "looked"]
    ),
    "voc: GBK that does not say so": Refused(
        _each(_XML, _text("xml/b.xml", voc([("狗", (1, 2, 31, 42))]).encode("gbk"))), "voc",
        ["xml/b.xml: is no text in UTF-8", "encoding"],
    ),
    "voc: an encoding that nobody knows": Refused(
        _each(_XML, _text("xml/b.xml", '<?xml version="1.0" encoding="klingon"?><annotation/>')), "voc", ["klingon"]
    ),
    "voc: shares where pixels are expected": Refused(
        _each(_XML, _text("xml/b.xml", voc([("dog", (0.1, 0.2, 0.5, 0.9))]))), "voc",  # type: ignore[list-item]
        ["boxes in [0, 1] where pixels are expected: 1 (b.jpg)"],
    ),
    "voc: years": Refused(
        _each(
            *(_in(f"VOCdevkit/VOC{y}/JPEGImages", pictures) for y in (2007, 2012)),
            *(_in(f"VOCdevkit/VOC{y}/Annotations", xmls) for y in (2007, 2012)),
        ),
        "voc", ["holds VOC2007, VOC2012; choose with data.reader.year"],
    ),
    "voc: images of testing only": Refused(
        _each(_in("test", pictures), _in("test", xmls)), "voc", ["has images of test only", "set data.root"]
    ),
    "yolo: images without labels": Refused(
        _in("images", pictures), "yolo", ["no label file", "beside the image", "images/ (4 .jpg)"]
    ),
    "yolo: class ids count from 1": Refused(
        _each(_in("images", pictures), _in("labels", labels, first=1), _text("data.yaml", NAMES_YAML)), "yolo",
        ["class ids in its labels run from 1 to 2", "names count from 0"],
    ),
    "yolo: two images for one label file": Refused(
        _each(_TXT, _in("images", pictures, "a", ".png")), "yolo", ["a.txt: a.jpg, a.png share these labels"]
    ),
    "yolo: a list of images that are missing": Refused(
        _each(_TXT, _text("data.yaml", f"train: train.txt\n{NAMES_YAML}"), _text("train.txt", "images/x.jpg\n")),
        "yolo", ["train.txt: 1 of 1 images are missing (images/x.jpg)"],
    ),
    "yolo: a folder that YAML names and is not there": Refused(
        _each(_TXT, _text("data.yaml", f"train: pics/train\n{NAMES_YAML}")), "yolo",
        ["its YAML says train: pics/train, which does not exist"],
    ),
    "yolo: two lists of names": Refused(
        _each(_in("", pictures), _in("", labels), _text("classes.txt", "cat\ndog"), _text("x/classes.txt", "a\nb")),
        "yolo", ["classes.txt, x/classes.txt name classes, and not the same"],
    ),
    "yolo: a class without a name": Refused(
        _each(_TXT, _text("data.yaml", "names: [cat, ' ']\n")), "yolo", ["one of the classes has an empty name"]
    ),
    "yolo: pixels where shares are expected": Refused(
        _each(_TXT, _text("labels/a.txt", "0 32 24 10 10\n")), "yolo",
        ["boxes beyond [0, 1] where shares of the image are expected: 1 (a.jpg)"],
    ),
    "coco: none": Refused(_in("images", pictures), "coco", ["no JSON of COCO for training", "data.reader.train=..."]),
    "coco: several that may be it": Refused(
        _each(_in("images", pictures), _json("x.json", coco()), _json("y.json", coco())), "coco",
        ["x.json, y.json may be the file of train; choose with data.reader.train="],
    ),
    "coco: some images are missing": Refused(
        _each(_in("images", pictures, "abc"), _json("coco.json", coco())), "coco",
        ["coco.json: 1 of 4 images are missing (d.jpg)", "add them or strike them"],
    ),
    "coco: a name that two images have": Refused(
        _each(_in("x", pictures, "a"), _in("y", pictures, "a"), _json("coco.json", coco("a", "/home/me/{}.jpg"))),
        "coco", ["may be x/a.jpg, y/a.jpg; rename or delete one"],
    ),
    "coco: two images of one id": Refused(
        _each(_in("images", pictures), _json("coco.json", coco(images=[
            {"id": 7, "file_name": "a.jpg"}, {"id": 7, "file_name": "b.jpg"},
        ], annotations=[]))),
        "coco", ["two of its images have the id 7"],
    ),
    "coco: a category without a name": Refused(
        _each(_in("images", pictures), _json("coco.json", coco(categories=[
            {"id": 1, "name": "cat"}, {"id": 2, "name": " "},
        ]))),
        "coco", ["one of the classes has an empty name"],
    ),
    "coco: normalised boxes": Refused(
        _each(
            _in("images", pictures),
            _json("coco.json", _boxes_of(coco(), (0.1, 0.2, 0.3, 0.9), (0.1, 0.2, 1.4, 0.9))),
        ),
        "coco", ["boxes in [0, 1] where pixels are expected: 1 (a.jpg); multiply"],
    ),
    "coco: other classes in validation": Refused(
        _each(
            *(_in(p, pictures, PARTS[p]) for p in ("train", "val")), _json("train.json", coco("ab")),
            _json("val.json", coco("c", categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "cow"}])),
        ),
        "coco", ["its categories cow are not those of train.json"],
    ),
    "labelme: images elsewhere": Refused(
        _each(_in("x", pictures, "a"), _json("b.json", labelme("b"))), "labelme", ["no image for any of its 1"]
    ),
    "via: an image that is missing": Refused(
        _each(_in("", pictures, "abc"), _json("via.json", via())), "via", ["1 of 4 images are missing (d.jpg)"]
    ),
    "cvat: of a video": Refused(
        _each(_in("", pictures), _text("a.xml", '<annotations><track id="0" label="cat"/></annotations>')), "cvat",
        ["a.xml: is of a video", "CVAT for images"],
    ),
    "cvat: no number": Refused(
        _each(_in("", pictures), _text("a.xml", cvat().replace('xtl="5.00"', 'xtl="five"'))), "cvat",
        ["a.xml: xtl is 'five'; expected a number"],
    ),
    "label_studio: no image": Refused(
        _each(_in("", pictures), _json("p.json", label_studio(called="{}"))), "label_studio", ["[0] names no image"]
    ),
    "an image that is no image": Refused(
        _each(_XML, _text("images/a.jpg", b"x")), "voc", ["images that cannot be read: 1 (a.jpg)"]
    ),
}  # fmt: skip


# --- how they are read


def datamodule(root: Path, choice: str, options: Any) -> DetectionDataModule:
    """Of the reader that configs/data/<choice>.yaml names, with options of `data.reader`."""
    target = OmegaConf.load(CONFIGS / f"data/{choice}.yaml").reader._target_
    reader = import_target(target)(root, **options)
    facts = {"num_classes": None, "classes": None, "channels": 3, "image_size": 32, "has_masks": None}
    sizes = {"batch_size": 1, "eval_batch_size": 1, "val_fraction": 0.5}
    return DetectionDataModule(reader=reader, name=choice, kind="detection", **facts, **sizes)
