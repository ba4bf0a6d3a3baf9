"""Annotation files and other files of foreign origin, mutated: each is read, or refused in one message.

`KINDS` has a function for each kind of file, which yields cases. An attempt writes the files into a folder of its own
and reads them as a run does, pixels and masks included; it returns where the file was read, raises UserError where it
was refused, and anything else is a fault. All is a function of the seed; an attempt costs some milliseconds.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import random
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml
from attacks.watch import Baits, Case
from PIL import Image

from lightloom.core import cells
from lightloom.core.errors import UserError
from lightloom.data.auto import recognise
from lightloom.data.boxes.coco import Coco
from lightloom.data.boxes.cvat import Cvat
from lightloom.data.boxes.datamodule import DetectionDataModule
from lightloom.data.boxes.instance_maps import InstanceMaps
from lightloom.data.boxes.label_studio import LabelStudio
from lightloom.data.boxes.labelme import Labelme
from lightloom.data.boxes.validation import open_files
from lightloom.data.boxes.via import Via
from lightloom.data.boxes.voc import Voc
from lightloom.data.boxes.yolo import Yolo
from lightloom.data.images.decode import read_image
from lightloom.data.images.readers import KaggleCsv, read_idx
from lightloom.reporting import card, facts, page
from lightloom.tracking.mot import read_tracks

QUICK = 25  # cases of each kind in a quick look
SIZE = (24, 32)  # height and width of the images
DEEP = 200_000
FOREIGN: list[Any] = [
    *(None, True, False, "", " ", "x", "\0", "\ud800", "a\nb", "../../../etc/passwd", "/etc/passwd", "x" * 10_000),
    *(0, -1, 1, 2, 3.5, -1e308, 1e308, float("inf"), float("-inf"), float("nan"), 2**31, 2**63, -(2**63), 10**400),
    *(
        [],
        {},
        [[]],
        [None],
        [1, 2, 3],
        {"a": None},
        {"": 1},
        "1",
        "1e3",
        "nan",
        "${oc.env:HOME}",
        "[b]",
        "=1+1",
        "\u0663",
    ),
    [[[[[[[[1]]]]]]]],
    {"counts": "0" * 1000, "size": [24, 32]},
    {"counts": [10**9, 1], "size": [24, 32]},
    {"counts": "P" * 50, "size": list(SIZE)},
    {"counts": [-5, 773], "size": list(SIZE)},
    {"counts": "\x7f\x80é", "size": list(SIZE)},
    {"counts": [24 * 32], "size": [10**6, 10**6]},
    [[1e9, 1e9, -1e9, 1e9, 0, 0]],
    [[0, 0, 1e6, 1e6, 0, 1e6] * 500],
    [[1, 2, 3]],
    [[float("nan")] * 6],
]


# --- mutations


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of each value in nested plain data, the root's left out."""
    items: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from places(child, (*path, key))


def mutated(content: Any, rng: random.Random) -> Any:
    """The content with one to three values replaced, removed, repeated, renamed or wrapped."""
    root = [copy.deepcopy(content)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = rng.choice(list(places(root)))
        holder = root
        for key in path[:-1]:
            holder = holder[key]
        key, change = path[-1], rng.randrange(8)
        if change == 0 and len(path) > 1:
            del holder[key]
        elif change == 1 and isinstance(holder, list) and len(path) > 1:
            holder.append(copy.deepcopy(holder[key]))
        elif change == 2 and isinstance(holder, dict):
            holder[str(rng.choice(FOREIGN))[:50]] = holder.pop(key)
        elif change == 3:
            holder[key] = [holder[key]]
        elif change == 4:
            holder[key] = str(holder[key])
        else:
            holder[key] = copy.deepcopy(rng.choice(FOREIGN))
    return root[0]


def damaged(text: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut, repeated, or put in."""
    change, where = rng.randrange(6), rng.randrange(len(text) + 1)
    if change == 0:
        return text[:where]
    if change == 1:
        return text[:where] + bytes([rng.randrange(256)]) + text[where + 1 :]
    if change == 2:
        return text[:where] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 20))) + text[where:]
    if change == 3:
        return text.decode().encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")))
    if change == 4:
        return text[:where] + text[where // 2 :]
    return rng.choice((b"", b"\0" * 100, b"null", b"3", b"[]", b"{}", b'"', b"\xff\xfe", b"<", b"---\n...\n---\n"))


# --- what is read


@cache
def picture(number: int = 0) -> bytes:
    """A PNG of noise."""
    pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def attempt(files: dict[str, bytes], read: Callable[[Path], object]) -> object:
    """Write the files into a folder and read it."""
    log = logging.getLogger("lightloom")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what is mended is told, and is no matter here
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return read(Path(folder))
    finally:
        log.setLevel(level)


def detection(reader: Callable[[Path], Any], root: Path) -> int:
    """All splits of a data set with boxes, each image and mask of them."""
    facts = {"num_classes": None, "classes": None, "has_masks": None, "name": "x", "kind": "detection"}
    sizes = {"channels": 3, "image_size": 32, "batch_size": 1, "eval_batch_size": 1, "val_fraction": 0.4}
    data = DetectionDataModule(reader=reader(root), **facts, **sizes)
    data.setup("fit")
    data.setup("test")
    return sum(len(split[i][1]["labels"]) for split in data.splits.values() for i in range(len(split)))


def _cases(
    count: int, make: Callable[[random.Random], tuple[str, Callable[[], object]]], chance: random.Random
) -> Iterator[Case]:
    for _ in range(count):
        yield Case(*make(random.Random(chance.random())))


# --- the kinds

BOX = [2.0, 3.0, 10.0, 8.0]
POLYGON = [[2.0, 3.0, 12.0, 3.0, 12.0, 11.0, 2.0, 11.0]]
COCO = {
    "images": [{"id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]} for i in range(3)],
    "categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": BOX, "area": 80.0, "iscrowd": 0, "segmentation": POLYGON},
        {
            "id": 2, "image_id": 1, "category_id": 7, "bbox": BOX, "area": 80.0, "iscrowd": 1,
            "segmentation": {"size": list(SIZE), "counts": [24 * 2, 24, 24 * 29]},
        },
        {
            "id": 3, "image_id": 1, "category_id": 7, "bbox": BOX, "area": 9, "iscrowd": 0,
            "segmentation": {"size": list(SIZE), "counts": "`1h0he0"},
        },
    ],
}  # fmt: skip
PICTURES = {f"images/{i}.png": i for i in range(3)}


def _pictures(folder: str = "images") -> dict[str, bytes]:
    return {f"{folder}/{i}.png": picture(i) for i in range(3)}


def coco(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """COCO's JSON."""

    def make(rng: random.Random) -> Case:
        if rng.random() < 0.75:
            text = json.dumps(mutated(COCO, rng)).encode()
        elif rng.random() < 0.8:
            text = damaged(json.dumps(COCO).encode(), rng)
        else:
            text = rng.choice(
                (b"[" * DEEP, b'{"a":' * DEEP, b"1" * DEEP, b'{"images":' + b"[" * 900 + b"]" * 900 + b"}")
            )
        return text[:60].decode(errors="replace"), partial(
            attempt, {**_pictures(), "coco.json": text}, partial(detection, Coco)
        )

    return _cases(count, make, chance)


YOLO = {"path": ".", "train": "images", "val": "images", "names": {0: "cat", 1: "dog"}, "nc": 2}
LABELS = {f"labels/{i}.txt": f"{i % 2} 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.3 0.1 0.3 0.3\n".encode() for i in range(3)}


def bomb(line: str, first: str, last: str) -> str:
    """What each line names is several of what the line before it names: a few hundred bytes of a billion values."""
    return first + "".join(line.format(before=a, now=b) for a, b in pairwise("abcdefghi")) + last


YAML_TRICKS = (
    bomb("{now}: &{now} [" + "*{before}," * 8 + "*{before}]\n", "a: &a [x,x,x,x,x,x,x,x,x]\n", "names: *i\n"),
    "names: &a [*a]\n", "names: &a {0: *a}\n", "names: !!python/object/apply:os.system [x]\n", "names: !!binary x\n",
    "names: !!timestamp x\n", "names: [2020-13-45]\n", "names: !!int x\n", "names: !!float x\n", "names: !!bool x\n",
    "? [a]\n: b\n", "names: !!set {a, b}\n", "names: !!omap [a: b]\n", "<<: *a\n", "<<: [1]\n", "names: " + "[" * 5000,
    "names: " + "{a: " * 5000, "a: " * 1000, "names: 3\n", "names:\n" + " - x\n" * 5000, "- " * 3000, "!!python/none x",
    "names: 1:60:60\n", "names: 0b\n", "names: .nan\n", "%YAML 9.9\n---\nnames: [a]\n", "names: [a]\n---\nnames: [b]\n",
    "names: !<tag:yaml.org,2002:js/function> x\n", "names: \"\\ud800\"\n", "train: ../../../../etc\nnames: [a]\n",
    "path: /\ntrain: etc/passwd\nnames: [a]\n", "train: [images, images]\nnames: [1, 2.5, yes]\n", "x" * 600_000,
)  # fmt: skip


def yolo(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """YOLO's data.yaml."""

    def make(rng: random.Random) -> Case:
        change = rng.random()
        if change < 0.6:
            text = yaml.safe_dump(mutated(YOLO, rng), allow_unicode=False).encode(errors="replace")
        elif change < 0.8:
            text = damaged(yaml.safe_dump(YOLO).encode(), rng)
        else:
            text = rng.choice(YAML_TRICKS).encode(errors="replace")
        return text[:60].decode(errors="replace"), partial(
            attempt, {**_pictures(), **LABELS, "data.yaml": text}, partial(detection, Yolo)
        )

    return _cases(count, make, chance)


WORDS = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-1",
    "99",
    "1e300",
    "x",
    "0x1",
    "1_0",
    "",
    "\0",
    "0.5",
    "2",
    "1.5",
    "\ud83d",
    "\uff19",
)


def labels(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """YOLO's text files, and the lists of images."""

    def make(rng: random.Random) -> Case:
        if rng.random() < 0.6:
            lines = [line.split() for line in LABELS["labels/0.txt"].decode().splitlines()]
            for _ in range(rng.choice((1, 2))):
                line = rng.choice(lines)
                line[rng.randrange(len(line))] = rng.choice(WORDS)
            text = "\n".join(map(" ".join, lines)).encode(errors="replace")
        else:
            text = damaged(LABELS["labels/0.txt"], rng)
        files = {**_pictures(), **LABELS, "labels/0.txt": text, "data.yaml": yaml.safe_dump(YOLO).encode()}
        if rng.random() < 0.3:
            entries = rng.choice(
                ("../../../etc/passwd", "/etc/passwd", "images/0.png\0", "images", "images/9.png", "\n\n", "~")
            )
            files |= {
                "list.txt": entries.encode() + b"\nimages/1.png",
                "data.yaml": b"train: list.txt\nnames: [a, b]\n",
            }
        return text[:60].decode(errors="replace"), partial(attempt, files, partial(detection, Yolo))

    return _cases(count, make, chance)


VOC = """<annotation><filename>{0}.png</filename><size><width>32</width><height>24</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>11</ymax></bndbox>
</object></annotation>"""
XML_TRICKS = (
    bomb('<!ENTITY {now} "' + "&{before};" * 10 + '">', '<!DOCTYPE a [<!ENTITY a "x">', "]><a>&i;</a>"),
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><object><name>&x;</name></object></annotation>',
    "<a>" * 50_000, "<a>" * 5000 + "</a>" * 5000,
    '<?xml version="1.0" encoding="no"?><a/>', "<a/><b/>", "<annotation/>",
    '<?xml version="1.0" encoding="utf-7"?><a/>', '<?xml version="1.0" encoding="utf-32"?><a/>',
)  # fmt: skip


def voc(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Pascal VOC's XML, and its lists."""

    def make(rng: random.Random) -> Case:
        change = rng.random()
        if change < 0.6:
            root = ElementTree.fromstring(VOC.format(0))
            for _ in range(rng.choice((1, 2))):
                parent = rng.choice([node for node in root.iter() if len(node)])
                child = rng.choice(list(parent))
                if rng.random() < 0.3:
                    parent.remove(child)
                elif rng.random() < 0.2:
                    parent.append(copy.deepcopy(child))
                else:
                    child.text = "".join(c for c in str(rng.choice(FOREIGN))[:500] if c.isprintable())
                if not any(len(node) for node in root.iter()):
                    break
            text = ElementTree.tostring(root)
        elif change < 0.85:
            text = damaged(VOC.format(0).encode(), rng)
        else:
            text = rng.choice(XML_TRICKS).encode()
        files = {f"Annotations/{i}.xml": VOC.format(i).encode() for i in range(3)}
        files |= {**_pictures("JPEGImages"), "Annotations/0.xml": text}
        if rng.random() < 0.2:
            lines = rng.choice(("0\n../1", "0 1\n1 -1", "\0", "9", "", "   \n0", "0\n0\n0\n1"))
            files["ImageSets/Main/train.txt"] = lines.encode()
        return text[:60].decode(errors="replace"), partial(attempt, files, partial(detection, Voc))

    return _cases(count, make, chance)


VIA_FILE = {
    f"{i}": {"filename": f"{i}.png", "regions": [
        {"shape_attributes": {"name": "rect", "x": 2, "y": 3, "width": 9, "height": 8}, "region_attributes": {}},
        {"shape_attributes": {"name": "polygon", "all_points_x": [2, 9, 9], "all_points_y": [2, 2, 9]},
         "region_attributes": {"c": {"dog": True}}},
    ]}
    for i in range(3)
}  # fmt: skip
SHAPES = [
    {"label": "cat", "points": [[2, 3], [12, 11]], "shape_type": "rectangle"},
    {"label": "dog", "points": [[2, 3], [12, 3], [12, 11]], "shape_type": "polygon"},
]
LABELME_FILE = {"shapes": SHAPES, "imagePath": "0.png", "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
REGION = {"x": 10, "y": 10, "width": 50, "height": 40, "rotation": 5, "rectanglelabels": ["cat"]}
TASKS = [
    {"data": {"image": f"/data/upload/{i}.png"}, "annotations": [
        {"result": [{"value": REGION, "original_width": SIZE[1], "original_height": SIZE[0]}]},
    ]}
    for i in range(3)
]  # fmt: skip
CVAT_FILE = "<annotations>{}</annotations>".format(
    "".join(
        f'<image id="{i}" name="{i}.png" width="{SIZE[1]}" height="{SIZE[0]}">'
        '<box label="cat" xtl="2" ytl="3" xbr="12" ybr="11"/><polygon label="dog" points="2,3;12,3;12,11"/></image>'
        for i in range(3)
    )
)
JSONS: list[tuple[Any, str, Any]] = [
    (Via, "via.json", VIA_FILE),
    (Labelme, "0.json", LABELME_FILE),
    (LabelStudio, "p.json", TASKS),
]


def annotators(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """JSON and XML of other programs for annotation; `data=auto` looks at each too."""

    def look_and_read(reader: Any, root: Path) -> int:
        with contextlib.suppress(UserError):
            recognise(root)
        return detection(reader, root)

    def make(rng: random.Random) -> Case:
        reader, name, content = rng.choice([*JSONS, (Cvat, "a.xml", CVAT_FILE)])
        if isinstance(content, str):
            text = damaged(content.encode(), rng)
        else:
            changed = mutated(content, rng) if rng.random() < 0.75 else content
            text = json.dumps(changed).encode()
            text = text if changed is not content else damaged(text, rng)
        files = {**_pictures(), name: text}
        if reader is Labelme:  # the one of a file for each image
            files |= {f"{i}.json": json.dumps(LABELME_FILE).encode() for i in (1, 2)}
        return text[:60].decode(errors="replace"), partial(attempt, files, partial(look_and_read, reader))

    return _cases(count, make, chance)


def tables(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """A competition's csv, and true tracks."""
    kaggle, tracks = b"id,label\n0,cat\n1,dog\n2,cat\n", b"frame,track,x1,y1,x2,y2\n1,1,0,0,5,5\n2,1,1,1,6,6\n"
    mot = b"1,1,1,1,5,5,1,-1,-1,-1\n2,1,2,2,5,5,1,-1,-1,-1\n"

    def labelled(root: Path) -> object:
        reader = KaggleCsv(root)
        return reader.classes, reader.read("train")

    def make(rng: random.Random) -> Case:
        base, read, name = rng.choice(
            ((kaggle, labelled, "trainLabels.csv"), (tracks, None, "t.csv"), (mot, None, "t.txt"))
        )
        if rng.random() < 0.5:
            rows = [line.split(",") for line in base.decode().splitlines()]
            row = rng.choice(rows)
            row[rng.randrange(len(row))] = rng.choice((*WORDS, '"', '"a', "=1", "1e308", "9" * 400))
            text = "\n".join(map(",".join, rows)).encode(errors="replace")
        else:
            text = damaged(base, rng)
        files = {**_pictures("train"), name: text}
        return text[:60].decode(errors="replace"), partial(
            attempt, files, read or (lambda root: read_tracks(root / name))
        )

    return _cases(count, make, chance)


@cache
def _map() -> bytes:
    """Two objects."""
    numbers = np.zeros(SIZE, np.uint8)
    numbers[2:9, 3:12], numbers[12:20, 15:30] = 1, 7
    file = io.BytesIO()
    Image.fromarray(numbers).save(file, "png")
    return file.getvalue()


def _sides(png: bytes, width: int, height: int) -> bytes:
    """The PNG with a header that states other sides."""
    chunk = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + png[24:29]
    return png[:12] + chunk + zlib.crc32(chunk).to_bytes(4) + png[33:]


LARGE = ((7000, 7000), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (1, 40_000_001), (0, 5), (6000, 6000))


def pictures(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Images, maps of instances, and idx files."""
    idx = b"\0\0\x08\x01\0\0\0\x04abcd"

    def instances(root: Path) -> object:
        return detection(InstanceMaps, root)

    def whole(root: Path) -> object:
        path = root / "images/0.png"
        faults = [file.error for file in open_files([path])]
        return faults, read_image(path, 3, 8)

    def make(rng: random.Random) -> Case:
        kind = rng.randrange(3)
        if kind == 0:
            text = damaged_binary(idx, rng)
            return "idx", partial(attempt, {"a-idx1-ubyte": text}, lambda root: read_idx(root / "a-idx1-ubyte"))
        large = rng.random() < 0.1
        text = _sides(picture(), *rng.choice(LARGE)) if large else damaged_binary(picture(), rng)
        if kind == 1:
            return f"image {text[16:24].hex()}", partial(attempt, {"images/0.png": text}, whole)
        text = text if large else damaged_binary(_map(), rng)
        maps = {f"labels/{i}.png": _map() for i in range(3)}
        return "map", partial(attempt, {**_pictures(), **maps, "labels/1.png": text}, instances)

    return _cases(count, make, chance)


def damaged_binary(content: bytes, rng: random.Random) -> bytes:
    """As `damaged`, of what is no text."""
    where = rng.randrange(len(content))
    change = rng.randrange(3)
    if change == 0:
        return content[:where]
    middle = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 8)))
    return content[:where] + middle + content[where + (len(middle) if change == 1 else 0) :]


RUN = {
    "config.yaml": {
        "run_name": "x",
        "task": "classification",
        "seed": 0,
        "monitor": {"metric": "val/acc", "mode": "max"},
        "model": {
            "_target_": "a.B",
            "network": {"_target_": "a.C"},
            "optimizer": {"_target_": "torch.optim.Adam", "lr": 1},
        },
        "data": {
            "name": "d",
            "num_classes": 2,
            "classes": ["a", "b"],
            "channels": 3,
            "image_size": 8,
            "augment": {"flip": True},
        },
    },
    "results.json": {"best val/acc": 0.5, "test/acc": 0.4, "epochs": 1, "steps": 5, "train_seconds": 1.0},
    "run.json": {
        "starts": [
            {
                "time": "now",
                "command": "x",
                "git": None,
                "versions": {"python": "3", "torch": "2"},
                "parameters": 5,
                "origin": None,
                "hardware": {
                    "system": "s",
                    "processor": "p",
                    "cores": 1,
                    "threads": 1,
                    "gpus": [],
                    "cuda": None,
                    "device": "cpu",
                    "processes": 1,
                    "precision": "32",
                },
                "data": {"name": "d", "splits": {"train": {"count": 3, "sha256": "ab" * 32, "of": "values"}}},
                "finished": True,
                "train_seconds": 1.0,
            }
        ]
    },
    "overlays.json": [
        {
            "image": "o.png",
            "size": [32, 24],
            "truth": [{"box": BOX, "name": "cat", "label": 1}],
            "found": [{"box": BOX, "name": "cat", "label": 1, "score": 0.5}],
        }
    ],
    "pr_curves.json": {
        "iou": 0.5,
        "curves": [{"name": "cat", "average_precision": 0.5, "recall": [0.5, 1.0], "precision": [1.0, 0.5]}],
    },
    "misclassified.json": {"columns": 20, "images": [{"true": 0, "predicted": 1, "confidence": 0.5}]},
}


def runs(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """The folder of somebody's run, which report.py reads."""

    def report(root: Path) -> object:
        read = facts.read(root)
        return len(page.html(read)), len(card.text(read))

    def make(rng: random.Random) -> Case:
        chosen = rng.choice((*RUN, "metrics.csv", "confusion_matrix.csv", "misclassified.png"))
        table = io.StringIO(newline="")
        cells.Writer(table).write(["true", "a", "b"], ["a", 1, 2], ["b", 0, 3])
        texts = {
            name: (json.dumps(content) if name != "config.yaml" else yaml.safe_dump(content))
            for name, content in RUN.items()
        }
        texts |= {
            "metrics.csv": "epoch,step,val/acc\n0,1,0.1\n1,2,0.2\n",
            "confusion_matrix.csv": table.getvalue(),
            "overrides.txt": "a=1\n",
        }
        files = {name: text.encode() for name, text in texts.items()} | {
            "misclassified.png": picture(),
            "o.png": picture(1),
        }
        if chosen in RUN and rng.random() < 0.7:
            changed = mutated(RUN[chosen], rng)
            text = json.dumps(changed) if chosen != "config.yaml" else yaml.safe_dump(changed)
            files[chosen] = text.encode(errors="replace")
        else:
            files[chosen] = (
                damaged(files[chosen], rng) if not chosen.endswith(".png") else damaged_binary(files[chosen], rng)
            )
        return f"{chosen} {files[chosen][:40]!r}", partial(attempt, files, report)

    return _cases(count, make, chance)


KINDS: dict[str, Callable[..., Iterator[Case]]] = {
    "coco": coco,
    "yolo": yolo,
    "labels": labels,
    "voc": voc,
    "annotators": annotators,
    "tables": tables,
    "pictures": pictures,
    "runs": runs,
}
