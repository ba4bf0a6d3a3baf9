"""Labelled images in shards."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count
from lightloom.data.images.layout import WORDS, SplitName
from lightloom.data.images.readers import Split
from lightloom.data.shards.indexing import index
from lightloom.data.shards.reading import ShardReader
from lightloom.data.shards.writing import Packed
from lightloom.ops.images import grid

KIND, CHOICE = "image", "shards"


@part
class ShardedImages(ShardReader):
    """Images in shards, each with its class. root: a folder or address. window: shards that an epoch mixes together."""

    kind = KIND

    def __init__(self, root: str, window: Count = 8) -> None:
        super().__init__(root, window)

    def read(self, split: SplitName) -> Split | None:
        found = self.index.part(split, self.window)
        return None if found is None else Split(shards=found, labels=found.labels)


def index_others(folder: Path, classes: Sequence[str] = ()) -> dict[str, int]:
    """Write an index for the tar files of another program in a folder; of each part the number of samples.

    Its part is a word of a file's name, `imagenet-val-0003.tar`; others are for training. classes: their names.
    UserError as `indexing.index` raises it, and where there is no tar file.
    """
    parts = dict[str, list[Path]]()
    for path in sorted(folder.glob("*.tar")):
        words = re.split(r"[\W_\d]+", path.stem.lower())
        parts.setdefault(next((WORDS[word] for word in words if word in WORDS), "train"), []).append(path)
    if not parts:
        raise UserError(f"{folder}: has no .tar file to index.")
    return index(folder, KIND, parts, classes)


def facts(datamodule: Any) -> dict[str, Any]:
    """Nothing: options say what the images are like."""
    return {}


def samples(split: Split) -> Iterator[Packed]:
    """Each image of a split as its file, or as PNG, with its class."""
    labels = [None] * len(split) if split.labels is None else split.labels.tolist()
    for i, label in enumerate(labels):
        yield {**_file(split, i), **({} if label is None else {"cls": str(label).encode()})}, label


def _file(split: Split, index: int) -> dict[str, bytes]:
    if split.shards is not None:
        raise UserError("these images lie in shards already; copy the folder.")
    return written(split.images[index] if split.images is not None else (split.paths or [])[index])


def written(content: Tensor | Path) -> dict[str, bytes]:
    """An image, uint8 (C, H, W), as PNG, or its file as it is."""
    if isinstance(content, Path):
        return {content.suffix[1:].lower(): content.read_bytes()}
    return {"png": png(content)}


def png(image: Tensor) -> bytes:
    """uint8 (C, H, W), C 1 or 3, without loss."""
    file = io.BytesIO()
    grid.to_pil(image).save(file, "PNG")
    return file.getvalue()
