"""Folders of data as each reader takes them, damaged: read as a command reads them, or refused in one message.

`LAYOUTS` has a whole folder for each reader of `configs/data`; a test sees to it that none is left out. A case mutates
one of the files, by its kind, or puts something else in its place; then all that a run does with the data is done: it
is read, looked at and told of before the first step, and every batch of every part is made.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import pickle
import random
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from attacks.annotations import (
    COCO,
    CVAT_FILE,
    LABELME_FILE,
    LABELS,
    TASKS,
    VIA_FILE,
    VOC,
    WORDS,
    YOLO,
    damaged,
    damaged_binary,
    mutated,
)
from attacks.watch import Baits, Case
from omegaconf import DictConfig
from PIL import Image

from lightloom.config import compose as config
from lightloom.config.foreign import as_config, plain
from lightloom.config.instantiate import build_datamodule
from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.data.shards.conversion import convert
from lightloom.engine import facts

Files = dict[str, bytes]
QUICK = 12
PARTS = {"train": 8, "val": 3, "test": 3}
SENTENCE = ("a good film", "no good film at all", "what a day", "rather long, and dull", "so it goes", "the end")


def png(number: int, size: tuple[int, int] = (24, 32), values: int = 256, mode: str = "RGB") -> bytes:
    """A picture of noise, or, with few values, a mask."""
    shape = size if mode == "L" else (*size, 3)
    pixels = np.random.default_rng(number).integers(0, values, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def table(*rows: tuple[Any, ...]) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


def by_part(make: Callable[[str, int], Files]) -> Files:
    """What `make` has of each part and each of its items."""
    return {name: text for part, n in PARTS.items() for i in range(n) for name, text in make(part, i).items()}


def lines(make: Callable[[int], str], name: str = "{part}.txt") -> Files:
    """A file of lines for each part."""
    return {name.format(part=part): "".join(f"{make(i)}\n" for i in range(n)).encode() for part, n in PARTS.items()}


def pictures(*folders: str, values: int = 256) -> Files:
    return {f"{folder}/{i}.png": png(i) for folder in folders for i in range(8)}


# --- the layouts


def preferences() -> Files:
    def entry(i: int) -> str:
        return json.dumps({"prompt": f"say {SENTENCE[i % 6]}: ", "chosen": SENTENCE[i % 5], "rejected": f"no {i}"})

    return lines(entry, "{part}.jsonl")


def answers() -> Files:
    found = lines(lambda i: json.dumps({"prompt": f"{i}? ", "answer": SENTENCE[i % 6]}), "{part}.jsonl")
    return {f"{name}.gz": gzip.compress(text, mtime=0) for name, text in found.items()}


def translations() -> Files:
    found = lines(lambda i: f"{SENTENCE[i % 6]} {i}", "{part}.en")
    return found | {f"{part}.de.gz": gzip.compress(found[f"{part}.en"].upper(), mtime=0) for part in PARTS}


def npz(**changed: Any) -> bytes:
    arrays = {
        "x": np.eye(20, 6, dtype=np.float32) + 0.1,
        "y": np.arange(20) % 3,
        "edge_index": np.array([list(range(19)), list(range(1, 20))]),
        "train_mask": np.arange(20) < 10,
        "val_mask": np.arange(20) // 5 == 2,
        "test_mask": np.arange(20) >= 15,
        "edge_weight": np.ones(19, np.float32),
        "classes": np.array(["a", "b", "c"]),
    }
    file = io.BytesIO()
    np.savez_compressed(file, **{name: value for name, value in {**arrays, **changed}.items() if value is not None})
    return file.getvalue()


def graph_table() -> Files:
    nodes = [(f"n{i}", "ab"[i % 2], "train" if i < 12 else "val" if i < 16 else "test", i, 0.5) for i in range(20)]
    edges = [(f"n{i}", f"n{i + 1}", 1.5) for i in range(19)]
    return {
        "nodes.csv": table(("id", "label", "split", "one", "two"), *nodes),
        "edges.csv": table(("source", "target", "weight"), *edges),
    }


def classes_of(make: Callable[[int], bytes], ending: str) -> Files:
    return by_part(lambda part, i: {f"{part}/{'ab'[i % 2]}/{i}.{ending}": make(i)})


def text_table() -> Files:
    return {
        f"{part}.csv": table(("text", "label"), *((f'"{SENTENCE[i % 6]}, {i}"', "ab"[i % 2]) for i in range(n)))
        for part, n in PARTS.items()
    }


def text_lines() -> Files:
    return {
        f"{part}/{name}.txt": "".join(f"{SENTENCE[i % 6]} {i}\n" for i in range(n)).encode()
        for part, n in PARTS.items()
        for name in "ab"
    }


def text_images() -> Files:
    def one(part: str, i: int) -> Files:
        return {f"{part}/{i}.png": png(i, (12, 40))}

    rows = {f"{part}/labels.csv": table(("file", "text"), *((f"{i}.png", f"ab{i}") for i in range(n)))
            for part, n in PARTS.items()}  # fmt: skip
    return by_part(one) | rows


def tags() -> Files:
    rows = [(f"{i}.png", ("red", "red|blue", "")[i % 3], ("train", "val", "test")[i // 4]) for i in range(12)]
    return {f"{i}.png": png(i) for i in range(12)} | {"tags.csv": table(("file", "tags", "split"), *rows)}


def values() -> Files:
    rows = [(f"{i}.png", 0.5 * i, i % 3, ("train", "val", "test")[i // 4]) for i in range(12)]
    return {f"{i}.png": png(i) for i in range(12)} | {"values.csv": table(("file", "one", "two", "split"), *rows)}


def masks() -> Files:
    def one(part: str, i: int) -> Files:
        return {f"{part}/images/{i}.png": png(i), f"{part}/masks/{i}.png": png(i, values=3, mode="L")}

    return by_part(one) | {"classes.txt": b"sky\nbank\nriver\n"}


def voc_masks() -> Files:
    found = lines(lambda i: f"p{i}", "ImageSets/Segmentation/{part}.txt")
    for i in range(8):
        found[f"JPEGImages/p{i}.jpg"] = png(i)  # Pillow goes by the content
        found[f"SegmentationClass/p{i}.png"] = png(i, values=3, mode="L")
    return found


def cityscapes() -> Files:
    def one(part: str, i: int) -> Files:
        place = f"{part}/a"
        return {
            f"leftImg8bit/{place}/{i}_leftImg8bit.png": png(i),
            f"gtFine/{place}/{i}_gtFine_labelIds.png": png(i, values=9, mode="L"),
        }

    return by_part(one)


def cifar() -> Files:
    def batch(n: int) -> bytes:
        return pickle.dumps({"data": np.zeros((n, 3072), np.uint8), "labels": [i % 10 for i in range(n)]}, 2)

    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    meta = pickle.dumps({"label_names": [f"c{i}" for i in range(10)]}, 2)
    folder = "cifar-10-batches-py"
    return {f"{folder}/{name}": batch(10) for name in names} | {f"{folder}/batches.meta": meta}


def idx(values: np.ndarray) -> bytes:
    sizes = b"".join(n.to_bytes(4) for n in values.shape)
    return b"\0\0\x08" + bytes([values.ndim]) + sizes + values.astype(np.uint8).tobytes()


def mnist() -> Files:
    found: Files = {}
    for stem, n in (("train", 20), ("t10k", 10)):
        found[f"raw/{stem}-images-idx3-ubyte.gz"] = gzip.compress(idx(np.zeros((n, 28, 28))), mtime=0)
        found[f"raw/{stem}-labels-idx1-ubyte"] = idx(np.arange(n) % 10)
    return found


def kaggle() -> Files:
    rows = table(("id", "label"), *((i, "ab"[i % 2]) for i in range(20)))
    return {f"train/{i}.png": png(i) for i in range(20)} | {"trainLabels.csv": rows, "test/0.png": png(0)}


def instance_maps() -> Files:
    return pictures("images") | {f"labels/{i}.png": png(i, values=2, mode="L") for i in range(8)}


def annotated(**files: bytes) -> Files:
    return {f"images/{i}.png": png(i) for i in range(8)} | {name.replace("__", "."): t for name, t in files.items()}


def voc() -> Files:
    return pictures("JPEGImages") | {f"Annotations/{i}.xml": VOC.format(i).encode() for i in range(8)}


def yolo() -> Files:
    return annotated() | {f"labels/{i}.txt": LABELS["labels/0.txt"] for i in range(8)} | {
        "data.yaml": json.dumps({**YOLO, "names": ["cat", "dog"]}).encode()
    }  # fmt: skip


def coco() -> Files:
    images = [{"id": i, "file_name": f"{i}.png", "height": 24, "width": 32} for i in range(8)]
    return annotated(coco__json=json.dumps({**COCO, "images": images}).encode())


LABELME = {f"images/{i}.json": json.dumps({**LABELME_FILE, "imagePath": f"{i}.png"}).encode() for i in range(8)}
LAYOUTS: dict[str, Callable[[], Files]] = {
    "preferences": preferences,
    "answers": answers,
    "prompts": answers,
    "translations": translations,
    "cora": lambda: {"cora.npz": npz()},
    "graph_table": graph_table,
    "image_folder": lambda: classes_of(png, "png"),
    "image_tags": tags,
    "image_values": values,
    "text_folder": lambda: classes_of(lambda i: f"{SENTENCE[i % 6]} {i}".encode(), "txt"),
    "text_lines": text_lines,
    "text_table": text_table,
    "text_images": text_images,
    "long_text": lambda: lines(lambda i: " ".join(SENTENCE) * 4),
    "shakespeare_passages": lambda: {"input.txt": (" ".join(SENTENCE) + "\n").encode() * 60},
    "masks": masks,
    "voc_segmentation": voc_masks,
    "cityscapes": cityscapes,
    "coco_masks": coco,
    "cifar10": cifar,
    "mnist": mnist,
    "kaggle_cifar10": kaggle,
    "instance_maps": instance_maps,
    "voc": voc,
    "yolo": yolo,
    "coco": coco,
    "via": lambda: annotated(via__json=json.dumps(VIA_FILE).encode()),
    "labelme": lambda: annotated() | LABELME,
    "label_studio": lambda: annotated(tasks__json=json.dumps(TASKS).encode()),
    "cvat": lambda: annotated(a__xml=CVAT_FILE.encode()),
    "shards": lambda: sharded("image_folder"),
    "shards_boxes": lambda: sharded("coco"),
    "shards_masks": lambda: sharded("masks"),
    "shards_text": lambda: sharded("text_lines"),
}
LESS = {  # of what the configurations of known sets state
    "shakespeare_passages": ("data.reader.train_size=8", "data.reader.val_size=4", "data.reader.test_size=4"),
    "long_text": ("data.block_size=8",),
    "cora": ("data.num_classes=null", "data.num_features=null"),
    "kaggle_cifar10": ("data.num_classes=2",),
}
COMMON = ("data.batch_size=2", "data.eval_batch_size=2", "data.num_workers=0", "data.image_size=16")
COMMON += ("data.height=16", "data.width=16", "data.val_fraction=0.4")


@cache
def whole(name: str) -> Files:
    """The files of a layout as they should be."""
    return LAYOUTS[name]()


@cache
def composed(name: str) -> DictConfig:
    """The configuration of `data=name`, of small pictures in small batches."""
    given = [f"data={name}", "data.root=ROOT/data", "paths.log_dir=ROOT/logs", *LESS.get(name, ())]
    known = config.compose("inspect_data", given).data
    common = [option for option in COMMON if option.removeprefix("data.").partition("=")[0] in known]
    return config.without_hydra(config.compose("inspect_data", [*given, *common]))


def sharded(name: str) -> Files:
    """A layout as shards."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "in")
        write(place / "data", whole(name))
        convert(built(name, place / "data"), Path(folder, "out"), 4, 1 << 20)
        return {path.name: path.read_bytes() for path in sorted(Path(folder, "out").iterdir())}


def write(root: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# --- what a command does with them


def _placed(value: Any, root: Path) -> Any:
    """The options with the folder that this case has."""
    if isinstance(value, dict):
        return {key: _placed(one, root) for key, one in value.items()}
    return value.replace("ROOT", str(root.parent)) if isinstance(value, str) else value


def built(name: str, root: Path) -> Any:
    """The datamodule of a folder, as a command has it."""
    datamodule = build_datamodule(as_config(_placed(plain(composed(name).data), root)))
    facts.prepare(datamodule)
    return datamodule


def before_training(datamodule: Any) -> list[str]:
    """What a run does with its data before the first step; the parts that it will use."""
    contract.facts(datamodule)
    contract.read_splits(datamodule)
    parts = ["train", "val"]
    if contract.can_be_tested(datamodule, False):
        datamodule.setup("test")
        datamodule.split("test")
        parts.append("test")
    if found := contract.unreadable(datamodule):
        raise UserError(str(found))
    str(contract.summary(datamodule))
    contract.describe(datamodule)
    return parts


def every_batch(datamodule: Any, parts: list[str]) -> int:
    """An epoch, and each part once."""
    batches = [datamodule.on_after_batch_transfer(batch, 0) for batch in datamodule.train_dataloader()]
    return len(batches) + sum(1 for part in parts for _ in datamodule.eval_loader(part))


def use(name: str, change: Callable[[Path], object], early: bool = False) -> object:
    """Write the folder, change it, read all of it. early: what is refused must be refused before the first step."""
    log = logging.getLogger("lightloom")
    log.setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")
        write(root, whole(name))
        change(root)
        datamodule = built(name, root)
        parts = before_training(datamodule)
        if not early:
            return every_batch(datamodule, parts)
        try:
            return every_batch(datamodule, parts)
        except UserError as error:
            raise AssertionError(f"said after training had begun: {error}") from error


# --- how they are changed


def other_text(content: bytes, rng: random.Random) -> bytes:
    """Cells, lines and letters changed."""
    rows = content.decode(errors="replace").split("\n")
    for _ in range(rng.choice((1, 1, 2, 5))):
        way, at = rng.randrange(6), rng.randrange(len(rows))
        if way == 0:
            del rows[at]
            rows = rows or [""]
        elif way == 1:
            rows.insert(at, rows[at])
        elif way == 2:
            rows[at] = ""
        elif way == 3:
            rows[at] += "," + rng.choice(WORDS)
        else:
            cells = rows[at].split(",")
            cells[rng.randrange(len(cells))] = rng.choice(
                (*WORDS, '"', '"a', "=1", "9" * 5000, "x" * 200_000, "../../etc/passwd", "\u2028", "/dev/zero")
            )
            rows[at] = ",".join(cells)
    return "\n".join(rows).encode(errors="replace")


def other_json(content: bytes, rng: random.Random) -> bytes:
    """A value in one of its lines, or in all of it."""
    text = content.decode()
    rows = text.split("\n") if not _is_json(text) else [text]
    places = [i for i, row in enumerate(rows) if _is_json(row)]
    at = rng.choice(places)
    rows[at] = json.dumps(mutated(json.loads(rows[at]), rng))
    return "\n".join(rows).encode(errors="surrogatepass")


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


ARRAYS: tuple[Any, ...] = (
    *(np.array(3), np.array("x"), np.array([]), np.array([[]]), np.zeros((3, 3, 3)), np.array(["a", "b"])),
    *(np.array([1 + 2j]), np.array(["2020-01-01"], "datetime64[D]"), np.zeros(20, np.longdouble)),
    *(np.zeros(20, [("a", "i4")]), np.full(20, np.nan), np.full((20, 6), np.inf), np.full((20, 6), -1.0)),
    *(np.array([2**62] * 20), np.array([2**40] * 20), np.array([-5] * 20), np.zeros(20, np.uint64) + 2**63),
    *(np.zeros((2, 0), int), np.zeros((0, 6)), np.zeros((20, 0)), np.zeros((20, 6), np.float16), np.ones(20, bool)),
    *(np.array([None] * 20), np.array([b"x"] * 20), np.zeros(20, bool), np.full((2, 19), 19), np.full((2, 19), 2**40)),
)


def other_npz(content: bytes, rng: random.Random) -> bytes:
    """An array of another kind, a header that promises more, or entries of other names."""
    name = rng.choice(("x", "y", "edge_index", "train_mask", "val_mask", "edge_weight", "classes"))
    way = rng.randrange(8)
    if way < 5:
        return npz(**{name: rng.choice((*ARRAYS, None))})
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            inside = old.read(entry)
            if entry == f"{name}.npy":
                shape = rng.choice(("(10000000000000,)", "(-5,)", "(3, 1000000000000)", "()", "(1.5,)", "None", "x"))
                header = f"{{'descr': {rng.choice(_DTYPES)}, 'fortran_order': False, 'shape': {shape}, }}"
                start = 10 + int.from_bytes(inside[8:10], "little")
                header = header.ljust(117) + "\n"
                inside = inside[:8] + len(header).to_bytes(2, "little") + header.encode() + inside[start:]
            new.writestr(rng.choice(("../x.npy", "x", "y")) if way == 5 and entry == "y.npy" else entry, inside)
    return file.getvalue()


_DTYPES = ("'<f4'", "'<i8'", "'|O'", "'<U1000000000'", "'<M8[s]'", "[('a', '<f4')]", "'<f16'", "3", "'nope'", "'|V0'")


def other_index(content: bytes, rng: random.Random) -> bytes:
    """Of a shard's records: other numbers."""
    numbers = bytearray(content)
    at = 20 * rng.randrange(len(numbers) // 20) + rng.choice((0, 8, 12, 16))
    numbers[at : at + 4] = rng.choice(
        (b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", rng.randbytes(4), b"\x01\0\0\0", b"\0\x02\0\0")
    )
    return bytes(numbers)


def changed_content(name: str, content: bytes, rng: random.Random) -> bytes:
    """A file's content, changed by what kind of file it is."""
    if name.endswith(".gz"):
        if rng.random() < 0.3:
            return damaged_binary(content, rng)
        return gzip.compress(changed_content(name.removesuffix(".gz"), gzip.decompress(content), rng), mtime=0)
    if rng.random() < 0.05:
        return b""
    ending = Path(name).suffix
    if ending in (".json", ".jsonl") and rng.random() < 0.8:
        return other_json(content, rng)
    if ending == ".npz" and rng.random() < 0.8:
        return other_npz(content, rng)
    if ending == ".index" and rng.random() < 0.8:
        return other_index(content, rng)
    if _is_text(content):
        return other_text(content, rng) if rng.random() < 0.6 else damaged(content, rng)
    return damaged_binary(content, rng)


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except ValueError:
        return False


def change_one(root: Path, rng: random.Random) -> str:
    """Change a file's content, or put something else in its place; what was done, in words."""
    path = rng.choice(sorted(path for path in root.rglob("*") if path.is_file()))
    name, way = path.relative_to(root).as_posix(), rng.randrange(12)
    if way == 0:
        path.unlink()
    elif way == 1:
        path.unlink()
        path.mkdir()
    elif way == 2:
        path.unlink()
        os.mkfifo(path)
    elif way == 3:
        path.unlink()
        path.symlink_to(rng.choice((path, Path("/dev/zero"), Path("/nowhere"), root, Path("/proc/self/mem"))))
    elif way == 4:
        content, strange = (
            path.read_bytes(),
            rng.choice(("a\nb", "${oc.env:LIGHTLOOM_ATTACK}", "\udcff", "x" * 200, " ")),
        )
        path.rename(path.with_name(f"{strange}{path.suffix}"))
        if rng.random() < 0.5:
            path.write_bytes(content)
    else:
        path.write_bytes(changed_content(path.name, path.read_bytes(), rng))
    whole_still = all(path.is_file() and not path.is_symlink() for path in root.iterdir())
    if whole_still and (root / "index.json").is_file() and rng.random() < 0.8:
        seal(root)
    return f"{name}, way {way}"


def seal(root: Path) -> None:
    """Let the index of shards say the checksums of what is there, as whoever damages them with intent would."""
    import hashlib

    try:
        known = json.loads((root / "index.json").read_text())
        for name, part in known["parts"].items():
            part["sha256"] = hashlib.sha256((root / f"{name}.index").read_bytes()).hexdigest()
            for shard in part["shards"]:
                shard["bytes"] = (root / shard["name"]).stat().st_size
        (root / "index.json").write_text(json.dumps(known))
    except (ValueError, KeyError, TypeError, OSError, AttributeError):
        pass


def folders(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Each layout in turn, with one file changed."""
    names = list(LAYOUTS)
    for i in range(count):
        name, seed = names[i % len(names)], chance.randrange(1 << 32)
        yield Case(f"{name} {seed}", partial(use, name, partial(change_one, rng=random.Random(seed))))


KINDS = {"folders of data": folders}
