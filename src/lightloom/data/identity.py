"""What identifies a split: a count, and a hash of what was read, by which two runs are known to have seen the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

MOST_BYTES, MOST_FILES = 1 << 28, 20_000  # of a split that are hashed
MOST_OPENED, BEGINNING = 2_000, 1 << 14  # of those files, how many are read, and how many bytes of each


@dataclass(frozen=True)
class Identity:
    """`of` says in words what `parts`, the bytes to hash, are."""

    of: str
    parts: Iterable[bytes]

    def sha256(self) -> str:
        """Reads all parts."""
        hashed = hashlib.sha256()
        for part in self.parts:
            hashed.update(part)
        return hashed.hexdigest()


def of_values(values: Tensor, *known: Tensor) -> Identity:
    """A split in memory: values of its items, evenly as many as have MOST_BYTES, and all that is `known` of them."""
    size = max(1, values[0].numel() * values.element_size()) if len(values) else 1
    kept = values[:: max(1, -(-len(values) * size // MOST_BYTES))]
    return Identity(_share("values", len(kept), len(values), bool(known)), tensor_bytes([kept, *known]))


def of_files(paths: Sequence[Path | str], *known: Tensor) -> Identity:
    """A split on disk: names and sizes of its files, evenly MOST_FILES of them, and all that is `known` of them.

    Of MOST_OPENED of these the beginning too: images that change places keep name and size.
    """
    kept = paths[:: max(1, -(-len(paths) // MOST_FILES))]
    named = (named_bytes(f"{p.parent.name}/{p.name} {p.stat().st_size}") for p in map(Path, kept))
    opened = map(_beginning, kept[:: max(1, -(-len(kept) // MOST_OPENED))])
    words = _share("names, sizes and beginnings of files", len(kept), len(paths), bool(known))
    return Identity(words, chained(named, opened, tensor_bytes(known)))


def _beginning(path: Path | str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(BEGINNING)


def named_bytes(name: str) -> bytes:
    """A line with a name, which may have bytes that are no text, as file systems have them."""
    return f"{name}\n".encode("utf-8", "surrogateescape")


def of_text(text: str) -> Identity:
    """A text, or the part of one that a split is."""
    return Identity("text", [text.encode()])


def tensor_bytes(tensors: Iterable[Tensor]) -> Iterator[bytes]:
    """dtype, shape and values of each."""
    for values in tensors:
        yield f"{values.dtype} {tuple(values.shape)}\n".encode()
        yield values.contiguous().cpu().numpy().tobytes() if values.numel() else b""


def chained(*parts: Iterable[bytes]) -> Iterator[bytes]:
    """All of the first, then all of the second, and so on."""
    for part in parts:
        yield from part


def describe_split(split: Any) -> dict[str, Any]:
    """count, and the SHA-256 of what identifies the items with `of`, what that is, where the split has an identity."""
    known: dict[str, Any] = {"count": len(split)} if hasattr(split, "__len__") else {}
    if hasattr(split, "identity"):
        identity: Identity = split.identity()
        known |= {"sha256": identity.sha256(), "of": identity.of}
    return known


def digest_of_state(state: Any) -> str:
    """The SHA-256 of plain data: what stands in the configuration for facts that are too big for it."""
    hashed = hashlib.sha256()
    for part in _plain_bytes(state):
        hashed.update(part)
    return hashed.hexdigest()


def _plain_bytes(value: Any) -> Iterator[bytes]:
    """Each value with its type, so that no two states have the same bytes; dictionaries in the order of their keys."""
    if isinstance(value, Tensor):
        yield from tensor_bytes([value])
    elif isinstance(value, dict):
        yield f"dict {len(value)}\n".encode()
        for key in sorted(value, key=repr):
            yield from chained(_plain_bytes(key), _plain_bytes(value[key]))
    elif isinstance(value, list | tuple):
        yield f"list {len(value)}\n".encode()
        yield from chained(*map(_plain_bytes, value))
    else:
        yield f"{value!r}\n".encode()


def _share(what: str, kept: int, count: int, labelled: bool) -> str:
    share = "" if kept == count else f" of {kept:,} of {count:,} items"
    return f"{what}{share}{' and all labels' if labelled else ''}"
