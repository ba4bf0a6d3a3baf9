"""An index for tar files that another program wrote, as WebDataset has them: they are read where they lie.

Members that follow each other and have one name up to the first dot are a sample, whose class stands in its `.cls`.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from lightloom.core import atomic_io
from lightloom.core.errors import UserError
from lightloom.core.text import first_of
from lightloom.data.shards.index import INDEX, NAME, UNKNOWN, index_text
from lightloom.data.shards.tar import key_of, members
from lightloom.data.shards.writing import Record, written_records

CLASS, MOST_CLASSES = "cls", 1_000_000


def index(folder: Path, kind: str, parts: dict[str, list[Path]], classes: Sequence[str]) -> dict[str, int]:
    """Write index.json and the records beside the tar files. Of each part the number of samples.

    kind: of the data. parts: of each the tar files. classes: their names; none, and each is called by its number.

    Raises UserError where there is an index, or a file that is no such tar.
    """
    if (folder / INDEX).exists():
        raise UserError(f"{folder / INDEX}: is there already; delete it to write it anew.")
    found = {part: [(path, _records(path)) for path in paths] for part, paths in parts.items()}
    labels = {record[3] for shards in found.values() for _, records in shards for record in records}
    names = _names(labels - {UNKNOWN}, classes, folder)
    written = {part: _part(folder, part, shards) for part, shards in found.items()}
    atomic_io.write_text(folder / INDEX, index_text(kind, names, {}, written))
    return {part: sum(len(records) for _, records in shards) for part, shards in found.items()}


def _part(folder: Path, part: str, shards: Sequence[tuple[Path, list[Record]]]) -> dict[str, Any]:
    sizes = [{"name": path.name, "samples": len(records), "bytes": path.stat().st_size} for path, records in shards]
    return written_records(folder, part, sizes, [record for _, records in shards for record in records])


def _names(labels: set[int], classes: Sequence[str], folder: Path) -> list[str]:
    most = max(labels, default=-1)
    if classes and most >= len(classes):
        raise UserError(f"classes={','.join(classes)}: the tar files of {folder} have a class {most}; name them all.")
    return list(classes) or [str(number) for number in range(most + 1)]


def _records(path: Path) -> list[Record]:
    """Of each sample of a tar file the first byte, the number of bytes, their CRC-32 and the class."""
    if not NAME.fullmatch(path.name):
        raise UserError(f"{path}: is not called by letters, digits, - and _ alone, then .tar; rename it.")
    with path.open("rb") as file:
        found = list(_samples(file, path))
    if not found:
        raise UserError(f"{path}: has no sample; remove it, or copy it again.")
    return found


def _samples(file: Any, path: Path) -> Iterator[Record]:
    for key, first, end in _spans(path):
        file.seek(first)
        content = file.read(end - first)
        name = f"{path}, {key!r}"
        if len(content) < end - first:
            raise UserError(f"{name}: the tar file ends before the end of this sample; copy it again.")
        yield first, end - first, zlib.crc32(content), _label(members(content, name), name)


def _label(found: dict[str, bytes], name: str) -> int:
    if CLASS not in found:
        return UNKNOWN
    try:
        label = int(found[CLASS][:20])
    except ValueError:
        label = UNKNOWN
    if not 0 <= label < MOST_CLASSES:
        raise UserError(f"{name}: its .{CLASS} is {found[CLASS][:20]!r}; expected a whole number from 0.")
    return label


def _spans(path: Path) -> Iterator[tuple[str, int, int]]:
    """Of each sample its name, the first byte and the one after the last, headers included."""
    try:
        with tarfile.open(path, "r:") as archive:
            plain = [about for about in archive if not about.isdir()]
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: is no plain tar file ({error}); it may be compressed, or cut.") from error
    seen = set[str]()
    for key, group in groupby(plain, lambda about: key_of(about.name)):
        one = list(group)
        if key in seen:
            raise UserError(f"{path}: the files of {key!r} do not follow each other; write the tar file anew.")
        seen.add(key)
        if odd := [about.name for about in one if about.type != tarfile.REGTYPE]:
            raise UserError(f"{path}: {first_of(odd, 1)} is no plain file; write the tar file without it.")
        last = one[-1]
        blocks = -(-last.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        yield key, one[0].offset, last.offset_data + blocks
