"""Hostile names of classes in every kind of data: what is recorded, restored and shown has them as they are."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import torch
import yaml
from attacks import folders
from attacks.annotations import COCO, CVAT_FILE, LABELME_FILE, LABELS, TASKS, VIA_FILE, VOC, YOLO
from attacks.folders import SENTENCE, Files, annotated, built, by_part, composed, pictures, png, write
from attacks.names import SECRETS, name
from attacks.tasks import command
from attacks.watch import Baits, Case
from omegaconf import OmegaConf

from lightloom.config.foreign import as_config, literal, plain
from lightloom.data import contract
from lightloom.engine import checkpoint, evaluate, facts
from lightloom.engine.checkpoint import RECORD, RunRecord
from lightloom.predict import inspection
from lightloom.reporting import inspected

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
from hostile import NAMES

QUICK = 0  # tests/engine/test_foreign_names.py
Two = Sequence[str]


def in_folders(make: Callable[[int], bytes], ending: str) -> Callable[[Two], Files]:
    return lambda names: by_part(lambda part, i: {f"{part}/{names[i % 2]}/{i}.{ending}": make(i)})


def in_lines(names: Two) -> Files:
    return {f"{part}/{one}.txt": f"{SENTENCE[0]}\n{SENTENCE[1]} {one}\n".encode(errors="replace")
            for part in folders.PARTS for one in names}  # fmt: skip


def cells_of(*rows: Sequence[Any]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue().encode(errors="surrogatepass")


def in_table(names: Two) -> Files:
    return {f"{part}.csv": cells_of(("text", "label"), *((SENTENCE[i % 6], names[i % 2]) for i in range(n)))
            for part, n in folders.PARTS.items()}  # fmt: skip


def in_tags(names: Two) -> Files:
    parts = ("train", "val", "test")
    rows = [(f"{i}.png", (names[0], names[1], "|".join(names))[i % 3], parts[i // 4]) for i in range(12)]
    return {f"{i}.png": png(i) for i in range(12)} | {"tags.csv": cells_of(("file", "tags", "split"), *rows)}


def in_graph(names: Two) -> Files:
    split = ["train"] * 12 + ["val"] * 4 + ["test"] * 4
    nodes = cells_of(("id", "label", "split", "one"), *((f"n{i}", names[i % 2], split[i], i) for i in range(20)))
    return {**folders.graph_table(), "nodes.csv": nodes}


def in_masks(names: Two) -> Files:
    return {**folders.masks(), "classes.txt": "\n".join([*names, "river"]).encode(errors="surrogatepass")}


def in_arrays(names: Two) -> Files:
    return {"cora.npz": folders.npz(classes=np.array([*names, "c"]))}


def in_coco(names: Two) -> Files:
    images = [{"id": i, "file_name": f"{i}.png", "height": 24, "width": 32} for i in range(8)]
    kinds = [{"id": number, "name": one} for number, one in zip((1, 7), names, strict=True)]
    return annotated(coco__json=json.dumps({**COCO, "images": images, "categories": kinds}).encode())


def in_yolo(names: Two) -> Files:
    labels = {f"labels/{i}.txt": LABELS["labels/0.txt"] for i in range(8)}
    return annotated() | labels | {"data.yaml": json.dumps({**YOLO, "names": list(names)}).encode()}


def in_voc(names: Two) -> Files:
    files = {}
    for i in range(8):
        files[f"Annotations/{i}.xml"] = VOC.format(i).replace(">cat<", f">{escape(names[i % 2])}<").encode()
    return pictures("JPEGImages") | files


def replaced(text: str, names: Two) -> bytes:
    """JSON with other names in place of "cat" and "dog"."""
    for old, new in zip(("cat", "dog"), names, strict=True):
        text = text.replace(f'"{old}"', json.dumps(new))
    return text.encode()


def in_labelme(names: Two) -> Files:
    return annotated() | {
        f"images/{i}.json": replaced(json.dumps({**LABELME_FILE, "imagePath": f"{i}.png"}), names) for i in range(8)
    }


def in_cvat(names: Two) -> Files:
    text = CVAT_FILE
    for old, new in zip(("cat", "dog"), names, strict=True):
        text = text.replace(f'"{old}"', quoteattr(new))
    return annotated(a__xml=text.encode())


WAYS: dict[str, Callable[[Two], Files]] = {
    "image_folder": in_folders(png, "png"),
    "text_folder": in_folders(lambda i: SENTENCE[i % 6].encode(), "txt"),
    "text_lines": in_lines,
    "text_table": in_table,
    "image_tags": in_tags,
    "graph_table": in_graph,
    "masks": in_masks,
    "cora": in_arrays,
    "coco": in_coco,
    "coco_masks": in_coco,
    "yolo": in_yolo,
    "voc": in_voc,
    "labelme": in_labelme,
    "cvat": in_cvat,
    "via": lambda names: annotated(via__json=replaced(json.dumps(VIA_FILE), names)),
    "label_studio": lambda names: annotated(tasks__json=replaced(json.dumps(TASKS), names)),
}


def used(layout: str, names: Two) -> str:
    """All that is written of the data, and what was read again; AssertionError where a name has become another."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "data")
        write(root, WAYS[layout](names))
        data = built(layout, root)
        contract.read_splits(data)
        cfg = as_config({**plain(composed(layout)), "run_name": names[0], "model": {}, "callbacks": {}})
        cfg.data.update(literal(plain(data_options(cfg, root))))
        cfg.data.update(literal({"name": contract.name(data), **contract.facts(data)}))
        classes = plain(cfg.data.classes)
        text = OmegaConf.to_yaml(cfg, resolve=True)
        assert yaml.safe_load(text)["data"]["classes"] == classes
        path = Path(scratch, "a.ckpt")
        kept = {"state_dict": {}, "global_step": 0, "epoch": 0}
        torch.save({**kept, RECORD: RunRecord(plain(cfg), contract.state(data)).content()}, path)
        content = checkpoint.load(path)
        trained = checkpoint.config_of(content, path)
        assert plain(trained.data.classes) == classes
        again = evaluate.test_data(command("eval", path, Path(scratch), batch_size=2), trained)
        assert contract.facts(again)["classes"] == classes
        asked = as_config({**plain(composed(layout)), "paths": {"output_dir": scratch}})
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            found = inspection.choose(data)(data, asked)
            page = inspected.write(found, Path(scratch, "page")).read_text() if found is not None else ""
        assert "<img src=x onerror" not in page, "a name is HTML in the page"
        return f"{text} {content} {said.getvalue()} {page} {facts.shown(contract.facts(data))} {contract.summary(data)}"


def data_options(cfg: Any, root: Path) -> Any:
    return folders._placed(plain(cfg.data), root)


def foreign(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Each kind of data in turn, with two classes of hostile names."""
    logging.getLogger("lightloom").setLevel(logging.ERROR)
    for i in range(count):
        layout, rng = list(WAYS)[i % len(WAYS)], random.Random(chance.random())
        names = [f"{secret}{rng.choice(NAMES)}".replace("/", "") for secret in rng.sample(SECRETS, 1)] + [
            rng.choice([one for one in NAMES if "/" not in one and "\0" not in one]) if rng.random() < 0.7 else
            name(rng).replace("/", "")[:60]
        ]  # fmt: skip
        yield Case(f"{layout}: {names}", partial(used, layout, names))


KINDS = {"names in each kind of data": foreign}
