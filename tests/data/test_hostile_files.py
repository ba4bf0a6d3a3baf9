"""Files of data that are none, or that promise more than they hold: refused in one message, and nothing waits."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from lightloom.core import cells, documents, limits
from lightloom.core.errors import UserError
from lightloom.data.boxes.validation import open_files
from lightloom.data.graphs.readers import NpzGraph
from lightloom.data.images.decode import read_image, read_whole
from lightloom.data.images.readers import read_idx
from lightloom.data.images.unpickling import unpickled
from lightloom.data.listing import list_folder
from lightloom.data.masks.decode import read_mask
from lightloom.data.masks.folders import MaskFolder
from lightloom.data.shards.index import RECORD, open_index

READERS = {
    "text": documents.read_text,
    "bytes": documents.read_bytes,
    "packed": documents.unpacked,
    "csv": lambda path: cells.open_csv(path).close(),
    "xml": documents.read_xml,
    "yaml": documents.read_yaml,
    "idx": read_idx,
    "image": lambda path: read_image(path, 3, 8),
    "whole image": lambda path: read_whole(path, 3),
    "mask": read_mask,
    "size": limits.check_bytes,
}
OTHERS = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a circle": lambda path: path.symlink_to(path),
    "a link to nowhere": lambda path: path.symlink_to(path.with_name("nowhere")),
}


@pytest.mark.parametrize("other", OTHERS)
def test_no_reader_waits_for_what_is_no_file(other, tmp_path):
    path = tmp_path / "a.png"
    OTHERS[other](path)
    for read in READERS.values():
        with pytest.raises(UserError, match=r"a\.png"):
            read(path)
    (found,) = open_files([path])
    assert found.error
    assert list_folder(tmp_path).files == ()


def test_what_is_not_there_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        documents.read_text(tmp_path / "a")


def npz(folder: Path, **changed: np.ndarray) -> NpzGraph:
    arrays = {"x": np.eye(3), "y": np.arange(3), "edge_index": np.array([[0, 1], [1, 2]])}
    np.savez_compressed(folder / "a.npz", **arrays | changed)
    return NpzGraph(str(folder), "a")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *(("x", np.array(values)) for values in ("a", ["a", "b", "c"], 3.0, [1 + 2j] * 3)),
        *(("y", np.array(values)) for values in (3, ["a", "b", "c"], [0, 1, 2**40], [[0], [1], [2]], [None] * 3)),
        *(("edge_weight", values) for values in (np.array("x"), np.array([1 + 2j] * 2), np.zeros(2, "M8[s]"))),
        *(("classes", values) for values in (np.array("a"), np.array([["a"]]))),
    ],
)  # fmt: skip
def test_arrays_of_another_kind_are_no_graph(name, values, tmp_path):
    """Of a label of 2**40 no list of as many names is made."""
    assert len(npz(tmp_path).read()) == 3
    with pytest.raises(UserError, match=r"a\.npz: "):
        npz(tmp_path, **{name: values}).read()


def test_a_damaged_npz_is_refused_or_whole(tmp_path):
    npz(tmp_path)
    path = tmp_path / "a.npz"
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with contextlib.suppress(UserError):
            NpzGraph(str(tmp_path), "a").read()


def shards(
    folder: Path, *, samples: object = 1, content: bytes | None = None, first: int = 0, count: int = 1024
) -> None:
    """An index of one sample of 1,024 bytes."""
    (folder / "a.tar").write_bytes(bytes(1024))
    records = np.array([(first, count, 0, 0)], RECORD).tobytes() if content is None else content
    (folder / "train.index").write_bytes(records)
    shard = {"name": "a.tar", "samples": samples, "bytes": 1024}
    part = {"sha256": hashlib.sha256(records).hexdigest(), "shards": [shard]}
    about = {"version": 1, "kind": "text", "classes": ["a"], "parts": {"train": part}}
    (folder / "index.json").write_text(json.dumps(about))


@pytest.mark.parametrize(
    "changed",
    [
        *({"first": -1}, {"first": 2**62}, {"first": 1000}, {"count": 4 << 29}, {"count": 1025}, {"first": 1025}),
        *({"samples": 1.0}, {"samples": True}, {"samples": 2**60}, {"content": bytes(7)}, {"content": b""}),
    ],
)
def test_an_index_that_points_beside_its_shard_is_refused(changed, tmp_path):
    shards(tmp_path)
    assert len(open_index(str(tmp_path), "text").part("train", 1)) == 1
    shards(tmp_path, **changed)
    with pytest.raises(UserError):
        open_index(str(tmp_path), "text").part("train", 1)


class Large:
    def __reduce__(self) -> object:
        return np.ndarray, ((1 << 40,), "u1")


@pytest.mark.parametrize(
    "content", [b"\x80\x02]r\xf0\xff\xff\x7f.", b"(lp999999999\n.", pickle.dumps({"a": Large()}, 2)], ids=str
)
def test_a_pickle_gets_no_more_memory_than_it_has_bytes(content):
    with pytest.raises(Exception, match=r"it numbers|it states|[Uu]nable to allocate"):
        unpickled(content)


@pytest.mark.parametrize("row", ["sky,300,0,0", "sky,-1,0,0", f"sky,{10**30},0,0", f"sky,{'x' * 200_000},0,0", "sky"])
def test_colours_are_levels(row, tmp_path):
    (tmp_path / "colours.csv").write_text(f"name,r,g,b\n{row}\n")
    with pytest.raises(UserError, match=r"colours\.csv"):
        _ = MaskFolder(tmp_path, colours="colours.csv").colours
