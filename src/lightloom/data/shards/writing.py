"""Write samples of any kind into shards with an index."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightloom.core import atomic_io
from lightloom.core.errors import UserError
from lightloom.data.shards.index import INDEX, RECORD, UNKNOWN, index_text
from lightloom.data.shards.tar import END, packed

Record = tuple[int, int, int, int]  # a row of the index
About = tuple[str, list[str], dict[str, Any]]  # kind, classes and facts
Packed = tuple[Mapping[str, bytes], int | None]  # what a sample holds, and its class where it has one


def write(
    out: Path,
    about: About,
    parts: Mapping[str, Iterable[Packed]],
    samples: int,
    size: int,
) -> None:
    """Shards of each part of at most so many samples and bytes, then the index, without which nothing is read.

    about: kind, classes and facts, as `index_text` takes them.

    Raises UserError where the folder has shards already.
    """
    if any(out.glob("*")):
        raise UserError(f"out={out}: is not empty; name a new folder, or delete it.")
    out.mkdir(parents=True, exist_ok=True)
    written = {name: _part(out, name, found, samples, size) for name, found in parts.items()}
    atomic_io.write_text(out / INDEX, index_text(*about, written))


def _part(out: Path, name: str, found: Iterable[Packed], samples: int, size: int) -> dict[str, Any]:
    shards, records = [], []
    for number, (content, its) in enumerate(_shards(found, samples, size)):
        shard = f"{name}-{number:06d}.tar"
        with atomic_io.replacing(out / shard) as file:
            file.write(content)
        shards.append({"name": shard, "samples": len(its), "bytes": len(content)})
        records += its
    return written_records(out, name, shards, records)


def written_records(
    out: Path, name: str, shards: Sequence[Mapping[str, Any]], records: Sequence[Record]
) -> dict[str, Any]:
    """Write where the samples of a part lie; what index.json says of the part."""
    table = np.array(records, RECORD).tobytes()
    with atomic_io.replacing(out / f"{name}.index") as file:
        file.write(table)
    return {"sha256": hashlib.sha256(table).hexdigest(), "shards": list(shards)}


def _shards(found: Iterable[Packed], samples: int, size: int) -> Iterator[tuple[bytes, list[Record]]]:
    """The bytes of each shard, and the records of its samples. One sample is never in two of them."""
    content, records = bytearray(), list[Record]()
    for number, (parts, label) in enumerate(found):
        sample = packed(f"{number:09d}", parts)
        if records and (len(records) == samples or len(content) + len(sample) + len(END) > size):
            yield bytes(content + END), records
            content, records = bytearray(), list[Record]()
        records.append((len(content), len(sample), zlib.crc32(sample), UNKNOWN if label is None else label))
        content += sample
    if records:
        yield bytes(content + END), records
