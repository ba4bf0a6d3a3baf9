"""The index of shards: `index.json` says which there are, and a file for each part where in them its samples lie.

So a sample is read alone, at any step of a run, without what lies before it; and one that is damaged is told.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from lightloom.core.discovery import discover
from lightloom.core.documents import parse_json
from lightloom.core.errors import UserError
from lightloom.core.limits import MOST_BYTES, limit
from lightloom.core.schema import Fault, anything, check, entries, exactly, items, table, text, whole
from lightloom.core.text import megabytes
from lightloom.data.identity import Identity, chained, named_bytes
from lightloom.data.sampling import Blocks
from lightloom.data.shards.store import Store, open_store
from lightloom.data.shards.tar import members

INDEX, VERSION, MOST_INDEX = "index.json", 1, 50_000_000  # bytes of index.json, where a line is a shard
UNKNOWN = -1  # the label of a sample that has none
RECORD = np.dtype([("first", "<i8"), ("count", "<u4"), ("check", "<u4"), ("label", "<i4")])  # bytes, CRC-32
NAME = re.compile(r"[A-Za-z0-9][\w-]*\.tar")


def _shard_name(value: Any) -> Fault | None:
    fits = isinstance(value, str) and NAME.fullmatch(value)
    return None if fits else Fault("", value, "the name of a .tar file beside the index, of letters, digits, - and _")


def _count(value: Any) -> Fault | None:
    """A whole number that is written as one: places are counted by it."""
    return whole(1)(value) if isinstance(value, int) else Fault("", value, "a whole number of at least 1")


SHARD = exactly({"name": _shard_name, "samples": _count, "bytes": _count})
PART = entries({"sha256": text(64), "shards": items(SHARD, 1, of="shards")}, {})
SCHEMA = entries(
    {"version": whole(1), "kind": text(), "classes": items(text()), "parts": table(text(), PART)},
    {"facts": table(text(), anything)},
)
REMEDY = "write the shards anew with tools/make_shards.py"


class File(io.BytesIO):
    """A member of a sample, as a file that says its name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Sample:
    """name: for messages. members: what follows the first dot of a file's name in the tar, `jpg` -> its bytes."""

    name: str
    members: dict[str, bytes]

    def file(self, *endings: str) -> File:
        """The first member with one of these endings; UserError where there is none."""
        ending = next((ending for ending in self.members if ending in endings), None)
        if ending is None:
            raise UserError(f"{self.name}: has no {endings[0]} ({', '.join(self.members)}); {REMEDY}.")
        return File(self.members[ending], self.name)


@dataclass(frozen=True, eq=False)
class Shards:
    """Samples: those of the index at these `rows`. names: of the shards. ends: int64, for each shard the number of
    samples in it and in those before. window: shards whose samples an epoch mixes together.
    """

    store: Store
    names: Sequence[str]
    ends: np.ndarray
    records: np.ndarray
    digest: str
    window: int
    rows: np.ndarray
    fetched: dict[int, tuple[bytes, int, int, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Tensor | None:
        """int64 (N,); None where one is unknown."""
        labels = torch.from_numpy(self.records["label"][self.rows].astype(np.int64))
        return None if bool((labels == UNKNOWN).any()) else labels

    @property
    def blocks(self) -> Blocks:
        """In which shard each sample lies, for an order that reads few shards at a time."""
        return Blocks(torch.from_numpy(np.searchsorted(self.ends, self.rows, side="right")), self.window)

    def identity(self) -> Identity:
        """The SHA-256 of the index, in which stands a checksum of each sample."""
        return Identity("index of shards", chained([named_bytes(self.digest)], [self.rows.tobytes()]))

    def pick(self, indices: Tensor) -> Shards:
        return replace(self, rows=self.rows[indices.numpy()], fetched={})

    def fetch(self, indices: Sequence[int]) -> None:
        """Bring these samples, several at a time, and keep each until it is asked for, or others are brought."""
        rows = np.unique(self.rows[list(indices)])
        places, records = np.searchsorted(self.ends, rows, side="right").tolist(), self.records[rows]
        names, counts = [self.names[place] for place in places], records["count"].tolist()
        contents = self.store.read(list(zip(names, records["first"].tolist(), counts, strict=True)))
        self.fetched.clear()
        known = zip(contents, counts, records["check"].tolist(), places, strict=True)
        self.fetched.update(zip(rows.tolist(), known, strict=True))

    def __getitem__(self, index: int) -> Sample:
        """A sample, whole; UserError where its bytes are not those that were written."""
        row = int(self.rows[index])
        if row not in self.fetched:
            return self._alone(index)
        content, count, check, shard = self.fetched.pop(row)
        name = f"{self.store}/{self.names[shard]}, sample {row - (int(self.ends[shard - 1]) if shard else 0)}"
        if len(content) < count:
            raise UserError(f"{name}: the shard ends before the end of this sample; copy the shard again.")
        if zlib.crc32(content) != check:
            raise UserError(f"{name}: is damaged (its checksum is another); copy the shard again.")
        return Sample(name, members(content, name))

    def _alone(self, index: int) -> Sample:
        """One that was not fetched, or is asked for again; what was stays."""
        alone = replace(self, fetched={})
        alone.fetch([index])
        return alone[index]


def together(parts: Sequence[Shards]) -> Shards:
    """Several parts of one set as one."""
    sizes = [np.diff(part.ends, prepend=0) for part in parts]
    begins = np.cumsum([0, *(len(part.records) for part in parts)])
    return replace(
        parts[0],
        names=[name for part in parts for name in part.names],
        ends=np.cumsum(np.concatenate(sizes)),
        records=np.concatenate([part.records for part in parts]),
        digest=" ".join(part.digest for part in parts),
        rows=np.concatenate([part.rows + begin for part, begin in zip(parts, begins, strict=False)]),
        fetched={},
    )


@dataclass(frozen=True)
class Index:
    """index.json, read. facts: what else a kind of data has to say of itself. parts: of each its index and shards."""

    store: Store
    classes: list[str]
    facts: dict[str, Any]
    parts: dict[str, Any]

    def part(self, name: str, window: int) -> Shards | None:
        """The samples of a part; None where there is none. UserError where the shards are not those of the index."""
        if name not in self.parts:
            return None
        known = self.parts[name]
        shards = known["shards"]
        ends = np.cumsum([shard["samples"] for shard in shards])
        where, records = f"{self.store}/{name}.index", self._records(name, int(ends[-1]), known["sha256"])
        for shard in shards:
            size = self.store.size(shard["name"])
            if size not in (None, shard["bytes"]):
                raise UserError(
                    f"{self.store}/{shard['name']}: has {size:,} bytes, not the {shard['bytes']:,} of the index; copy "
                    f"the shard again."
                )
        room = np.repeat([shard["bytes"] for shard in shards], [shard["samples"] for shard in shards])
        first, count = records["first"], records["count"].astype(np.int64)
        if not ((first >= 0) & (first <= room) & (count <= room - first)).all():
            raise UserError(f"{where}: has a sample that is not within its shard; {REMEDY}.")
        if not -1 <= records["label"].min() <= records["label"].max() < max(len(self.classes), 1):
            raise UserError(f"{where}: has a label that is none of {len(self.classes)} classes; {REMEDY}.")
        names = [shard["name"] for shard in shards]
        return Shards(self.store, names, ends, records, known["sha256"], window, np.arange(len(records)))

    def _records(self, name: str, count: int, sha256: str) -> np.ndarray:
        where, size = f"{self.store}/{name}.index", count * RECORD.itemsize
        if size > limit(MOST_BYTES):
            raise UserError(
                f"{where}: {megabytes(size)}, more than is read; set the environment variable {MOST_BYTES}."
            )
        content = self.store.whole(f"{name}.index", size)
        if content is None or len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise UserError(f"{where}: is not the file that {INDEX} was written with; copy it again, or {REMEDY}.")
        return np.frombuffer(content, RECORD)


def open_index(root: str, kind: str) -> Index:
    """The index of the shards at `data.root`; UserError where there is none, or one of other data."""
    store = open_store(root)
    where, content = f"{store}/{INDEX}", store.whole(INDEX, MOST_INDEX)
    if content is None:
        raise UserError(f"{where}: there is no such file; set data.root to shards, or {REMEDY}.")
    try:
        found = check(parse_json(content.decode(), where), SCHEMA, where)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: is no text in UTF-8; {REMEDY}.") from error
    if found["version"] != VERSION:
        raise UserError(f"{where}: is of version {found['version']}, and version {VERSION} is read; {REMEDY}.")
    if found["kind"] != kind:
        use = next((f"use data={other.CHOICE}" for other in kinds() if found["kind"] == other.KIND), REMEDY)
        raise UserError(f"{where}: the shards hold data of kind {found['kind']}, not {kind}; {use}.")
    return Index(store, found["classes"], found.get("facts", {}), found["parts"])


def index_text(kind: str, classes: Sequence[str], facts: dict[str, Any], parts: dict[str, Any]) -> str:
    """What stands in index.json."""
    content = {"version": VERSION, "kind": kind, "classes": list(classes), "facts": facts, "parts": parts}
    return json.dumps(content, indent=1) + "\n"


class Kind(Protocol):
    """The `shards.py` beside the datamodule of a kind that can be in shards. KIND: of the data. CHOICE: the `data=`
    that reads it. facts: of a datamodule, what a reader cannot see in samples. samples: what is written of a split.
    """

    KIND: str
    CHOICE: str

    def facts(self, datamodule: Any) -> dict[str, Any]: ...

    def samples(self, split: Any) -> Iterable[tuple[Mapping[str, bytes], int | None]]: ...


def kinds() -> list[Kind]:
    """Those that can be in shards."""
    return cast(list[Kind], discover("lightloom.data", "*/shards.py"))
