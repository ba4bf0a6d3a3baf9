"""What identifies data: counts, and a hash of what was read, so that two runs can be told to have seen the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

MOST_BYTES, MOST_FILES = 1 << 28, 20_000  # of a split that is looked at


def fingerprints(datamodule: Any, known: Mapping[str, Any] = MappingProxyType({})) -> dict[str, dict[str, Any]]:
    """That of each split that has been read, where it is not known yet; of a datamodule without splits, none."""
    splits = getattr(datamodule, "splits", {})
    return {**known, **{name: fingerprint(split) for name, split in splits.items() if name not in known}}


def fingerprint(split: Any) -> dict[str, Any]:
    """count, and the SHA-256 of what identifies the items; `of` says in words what that is.

    Of a split in memory its values; of files their names and sizes; with them what is known of each: label or boxes.
    Of large splits so many items, evenly, as have MOST_BYTES, or MOST_FILES of them.
    """
    of, parts = _identity(split)
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part)
    return {"count": len(split), "sha256": hashed.hexdigest(), "of": of}


def _identity(split: Any) -> tuple[str, Iterator[bytes]]:
    images, labels = getattr(split, "images", None), getattr(split, "labels", None)
    known = [] if labels is None else [labels]
    if images is not None:
        size = max(1, images[0].numel() * images.element_size()) if len(images) else 1
        kept = images[:: max(1, -(-len(images) * size // MOST_BYTES))]
        return _share("values", len(kept), len(split), known), _bytes([kept, *known])
    paths = getattr(split, "paths", None)
    if paths is not None:
        kept = paths[:: max(1, -(-len(paths) // MOST_FILES))]
        told = (f"{p.parent.name}/{p.name} {p.stat().st_size}\n".encode() for p in map(Path, kept))
        return _share("names and sizes of files", len(kept), len(split), known), _chained(told, _bytes(known))
    annotations = _annotations(split)
    names = (f"{name}\n".encode() for name in ([a.name for a in annotations] or split.names))
    boxes = [values for a in annotations for values in (a.boxes, a.labels)]
    return "names of images" + (" and their boxes" if annotations else ""), _chained(names, _bytes(boxes))


def _annotations(split: Any) -> list[Any]:
    """Of a detection split that knows its boxes without drawing or decoding an image."""
    whole, indices = getattr(split, "whole", split), getattr(split, "indices", None)
    found = getattr(whole, "annotations", None) or []
    return [found[i] for i in indices] if found and indices is not None else list(found)


def _share(what: str, kept: int, count: int, known: list[Tensor]) -> str:
    share = "" if kept == count else f" of {kept:,} of {count:,} items"
    return f"{what}{share}{' and all labels' if known else ''}"


def _bytes(tensors: Iterable[Tensor]) -> Iterator[bytes]:
    for values in tensors:
        yield f"{values.dtype} {tuple(values.shape)}\n".encode()
        yield values.contiguous().numpy().data.cast("B") if values.numel() else b""  # type: ignore[misc]


def _chained(*parts: Iterable[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield from part
