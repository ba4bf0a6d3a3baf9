"""Where a data set's images come from. A reader knows a layout on disk; loading batches and augmenting are not its job.

A constructor touches no disk. `read` gives None for a split that the data set does not have.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from lightloom.core.documents import read_bytes, read_text, unpacked
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.schema import check, entries, items, text
from lightloom.data import identity
from lightloom.data.cache import ImageCache
from lightloom.data.images.decode import read_image
from lightloom.data.images.layout import (
    PARTS,
    SUFFIXES,
    Layout,
    SplitName,
    find_layout,
    folders,
    image_files,
    left_out,
)
from lightloom.data.images.peculiarities import peculiarities
from lightloom.data.images.pixels import HEIF
from lightloom.data.images.unpickling import unpickled
from lightloom.data.sampling import Blocks
from lightloom.data.shards.index import File, Sample, Shards, together
from lightloom.ops.network import patience

VIDEO_SUFFIXES = {".avi", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts"}
VIDEO_SUFFIXES |= {".webm", ".wmv"}
LABELLED = entries({"id": text(), "label": text()}, {})  # a row of a csv
UNLABELLED = "images"  # the class of images that lie in no class folder
_AGAIN = "Delete the file and add data.download=true, or copy it again"
ANOTHER = 3600.0  # seconds for another process to download the same
_MEGABYTES = {"MNIST": 11, "FashionMNIST": 30, "CIFAR10": 170, "CIFAR100": 169}

T = TypeVar("T")


@dataclass(frozen=True)
class Split:
    """Images in memory, uint8 (N, C, H, W), as files, or in shards; labels int64 (N,), None where unknown; ids name
    files.

    cache: where decoded files are kept, if anywhere. notes: what was left out in reading, and what else to know.
    """

    images: Tensor | None = None
    paths: list[Path] | None = None
    labels: Tensor | None = None
    ids: list[str] | None = None
    cache: ImageCache | None = None
    notes: tuple[str, ...] = ()
    shards: Shards | None = None

    @property
    def labelled(self) -> bool:
        return self.labels is not None

    def __len__(self) -> int:
        return len(next((held for held in (self.images, self.shards) if held is not None), self.paths or []))

    @property
    def blocks(self) -> Blocks | None:
        """In which shard each image lies, where they lie in shards."""
        return None if self.shards is None else self.shards.blocks

    def sources(self, indices: Sequence[int]) -> Iterator[Path | File]:
        """What these images are read from, of files or shards."""
        if self.shards is not None:
            self.shards.fetch(indices)
        for i in indices:
            yield image_of(self.shards[i]) if self.shards is not None else (self.paths or [])[i]

    def identity(self) -> identity.Identity:
        """The values of what is in memory, names and sizes of files; with either the labels."""
        known = () if self.labels is None else (self.labels,)
        if self.images is not None:
            return identity.of_values(self.images, *known)
        if self.shards is not None:
            return self.shards.identity()
        return identity.of_files(self.paths or [], *known)

    def pick(self, indices: Tensor) -> Split:
        """The images at these indices, int64 (N,)."""
        return Split(
            images=None if self.images is None else self.images[indices],
            paths=_picked(self.paths, indices),
            labels=None if self.labels is None else self.labels[indices],
            ids=_picked(self.ids, indices),
            cache=None if self.cache is None else self.cache.pick(indices),
            shards=None if self.shards is None else self.shards.pick(indices),
        )


def image_of(sample: Sample) -> File:
    """The member of a sample that is its image; UserError where it has none."""
    return sample.file(*(suffix[1:] for suffix in sorted(SUFFIXES)))


def joined(splits: Sequence[Split]) -> Split:
    """The images of several splits of one reader, which all have labels, as one."""
    if len(splits) == 1:
        return splits[0]
    labels = torch.cat(_present(split.labels for split in splits))
    if shards := _present(split.shards for split in splits):
        return Split(shards=together(shards), labels=labels)
    if all(split.images is not None for split in splits):
        return Split(images=torch.cat(_present(split.images for split in splits)), labels=labels)
    return Split(paths=[path for split in splits for path in split.paths or []], labels=labels)


def _present(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]


def _picked(values: list | None, indices: Tensor) -> list | None:
    return None if values is None else [values[i] for i in indices.tolist()]


class Reader(Protocol):
    """What reads the files of one layout: an object of `data.reader`."""

    @property
    def classes(self) -> list[str]: ...

    def read(self, split: SplitName) -> Split | None: ...


@part
class Digits:
    """1,797 handwritten digits, 8x8, carried by scikit-learn; every fifth of a class is for the test."""

    def __init__(self) -> None:
        self.classes = [str(digit) for digit in range(10)]

    def read(self, split: SplitName) -> Split | None:
        if split == "val":
            return None
        rows = read_digits()
        images = torch.from_numpy(np.rint(rows[:, :-1] * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
        labels = torch.from_numpy(rows[:, -1]).long()
        chosen = torch.full((len(labels),), split == "train")
        chosen[labels.argsort(stable=True)[::5]] = split == "test"
        return Split(images=images[chosen], labels=labels[chosen])


@part
class Idx:
    """MNIST and its kin: four idx files, gzipped or not, anywhere below `root`.

    source: the class in torchvision.datasets that knows the classes and can download the files into `root`.
    """

    def __init__(self, root: str | Path, source: str, download: bool = False) -> None:
        self.root, self.source, self.download = Path(root), source, download

    @property
    def classes(self) -> list[str]:
        return list(_torchvision(self.source).classes)

    def read(self, split: SplitName) -> Split | None:
        """Images uint8 (N, 1, H, W) with labels int64 (N,); None for val, which the files do not have.

        Raises UserError where a file is missing or damaged, or the two have other lengths.
        """
        if split == "val":
            return None
        names = [f"{stem}-{part}-ubyte" for stem in ("train", "t10k") for part in ("images-idx3", "labels-idx1")]
        _ensure(self.root, self.source, self.download, lambda: all(self._find(name) for name in names))
        files = [self._find(name)[0] for name in (names[:2] if split == "train" else names[2:])]
        images, labels = (read_idx(file) for file in files)
        if len(images) != len(labels):
            raise UserError(f"{files[0]}: {len(images)} images, but {len(labels)} labels in {files[1].name}. {_AGAIN}")
        return Split(images=images.unsqueeze(1), labels=labels.long())

    def _find(self, name: str) -> list[Path]:
        return sorted(path for suffix in ("", ".gz") for path in self.root.rglob(name + suffix))


@part
class Cifar:
    """CIFAR-10 or CIFAR-100 in the python version: `root`/cifar-10-batches-py or `root`/cifar-100-python.

    source: CIFAR10 or CIFAR100, the class in torchvision.datasets that knows the files and can download them.
    """

    def __init__(self, root: str | Path, source: str, download: bool = False) -> None:
        self.root, self.source, self.download = Path(root), source, download

    @cached_property
    def classes(self) -> list[str]:
        meta = _torchvision(self.source).meta
        names = self._load(meta["filename"], meta["key"])[0]
        return list(check(names, items(text(), 1), self.root / meta["filename"], meta["key"]))

    def read(self, split: SplitName) -> Split | None:
        if split == "val":
            return None
        source = _torchvision(self.source)
        label_key = "labels" if source.base_folder == "cifar-10-batches-py" else "fine_labels"
        files = [name for name, _ in (source.train_list if split == "train" else source.test_list)]
        rows, labels = zip(*(self._load(file, "data", label_key) for file in files), strict=True)
        for file, values, numbers in zip(files, rows, labels, strict=True):
            if not _fits(values, numbers):
                raise UserError(
                    f"{self.root / source.base_folder / file}: not a whole batch of {self.source}. {_AGAIN}"
                )
        images = torch.from_numpy(np.concatenate(rows)).view(-1, 3, 32, 32)
        return Split(images=images, labels=torch.tensor([label for batch in labels for label in batch]))

    def _load(self, name: str, *keys: str) -> list[Any]:
        source = _torchvision(self.source)
        folder = self.root / source.base_folder
        files = [file for file, _ in source.train_list + source.test_list] + [source.meta["filename"]]
        _ensure(self.root, self.source, self.download, lambda: all((folder / file).is_file() for file in files))
        try:
            content = unpickled(read_bytes(folder / name))
            return [content[key] if key in content else content[key.encode()] for key in keys]
        except Exception as error:  # a pickle raises what it pleases
            raise UserError(f"{folder / name}: not a whole batch of {self.source} ({error}). {_AGAIN}") from error


@part
class ImageFolder:
    """One folder per class, `root`/<class>/*.png, or so below parts, `root`/train and, where they exist, val and test.

    Parts may be called otherwise (`layout.part_named`). Images without class folders are all of one class, `images`,
    which is enough for models that need no labels; beside a part with classes they have no labels. in_memory: decode
    all images at once into one tensor.
    """

    def __init__(self, root: str | Path, channels: int, image_size: int | None, in_memory: bool = False) -> None:
        self.root, self.channels, self.image_size, self.in_memory = Path(root), channels, image_size or 0, in_memory

    @cached_property
    def layout(self) -> Layout:
        return find_layout(self.root)

    @cached_property
    def classes(self) -> list[str]:
        folder = next((self.layout.parts[part] for part in PARTS if part in self.layout.parts), None)
        names = [path.name for path in folders(folder)] or [UNLABELLED] * bool(folder and image_files(folder))
        if not names:
            raise UserError(
                f"{folder or self.root}: no class folders; expected {self.root}/<class>/*.png or "
                f"{self.root}/train/<class>/*.png (or {self.root}/*.png for images without classes), or "
                f"{_elsewhere(self.root)}"
            )
        return names

    def read(self, split: SplitName) -> Split | None:
        folder = self.layout.parts.get(split)
        if folder is None:
            return None
        found = {path.name: image_files(path) for path in folders(folder)}
        if not found and split == "test" and self.classes != [UNLABELLED]:
            return self._unlabelled(folder)
        found = found or {UNLABELLED: image_files(folder)}
        self._check(folder, found)
        paths = [path for files in found.values() for path in files]
        labels = torch.tensor([self.classes.index(name) for name, files in found.items() for _ in files])
        ids = [path.relative_to(folder).as_posix() for path in paths]
        split_ = Split(paths=paths, labels=labels, ids=ids, notes=self._notes(split, folder, paths))
        return _decoded(split_, self.channels, self.image_size) if self.in_memory else split_

    def _unlabelled(self, folder: Path) -> Split:
        paths = image_files(folder)
        ids = [path.relative_to(folder).as_posix() for path in paths]
        note = f"{folder.name}/ has no class folders: {len(paths):,} images without labels"
        return Split(paths=paths, ids=ids, notes=(note, *left_out(folder, paths)))

    def _notes(self, split: SplitName, folder: Path, paths: list[Path]) -> tuple[str, ...]:
        where = f"{split}: " if self.layout.divided else ""
        own = [f"{where}{note}" for note in (*left_out(folder, paths), *peculiarities(paths))]
        return (*(self.layout.notes if split == "train" else ()), *own)

    def _check(self, folder: Path, found: dict[str, list[Path]]) -> None:
        unknown = sorted(set(found) - set(self.classes))
        if unknown:
            alike = {name.casefold().strip() for name in self.classes} & {name.casefold().strip() for name in unknown}
            raise UserError(
                f"{folder}: classes {unknown} are not in {self.layout.parts['train']}; rename or delete them"
                f"{' (capital letters and spaces count)' if alike else ''}"
            )
        empty = [name for name, files in found.items() if not files]
        if empty or not found:
            known, rest = (
                " ".join(sorted(SUFFIXES - HEIF)),
                "; ".join(left_out(folder, [p for f in found.values() for p in f])),
            )
            raise UserError(
                f"{folder}: no images ({known}) in {empty or 'it'}{f' ({rest})' if rest else ''}; add some or delete "
                f"the folder"
            )


@part
class KaggleCsv:
    """A Kaggle competition: `root`/train/<id>.png with a csv of id,label, and `root`/test/<id>.png without labels.

    Ids may have the files' suffix; those of the test then have it too. Both splits are in the order of their ids,
    numeric where ids are numbers.
    """

    submission = ("id", "label")  # the header of the file that the competition takes

    def __init__(self, root: str | Path, labels: str = "trainLabels.csv") -> None:
        self.root, self.labels = Path(root), labels

    @property
    def classes(self) -> list[str]:
        return sorted(set(self._rows.values()))

    def read(self, split: SplitName) -> Split | None:
        if split == "val":
            return None
        found = image_files(self.root / split)
        by_stem, by_name = ({path.stem: path for path in found}, {path.name: path for path in found})
        has_suffixes = any(Path(id_).suffix.lower() in SUFFIXES for id_ in self._rows)
        files = by_name if has_suffixes else by_stem
        if split == "test":
            ids = sorted(files, key=_numeric)
            return Split(paths=[files[id_] for id_ in ids], ids=ids) if ids else None
        missing = [id_ for id_ in self._rows if id_ not in files]
        if missing:
            raise UserError(
                f"{self.root / self.labels}: {len(missing)} of {len(self._rows)} rows name no image in "
                f"{self.root / split}, the first is {missing[0]!r}; unpack the training images there"
            )
        ids = sorted(self._rows, key=_numeric)
        numbers = {name: number for number, name in enumerate(self.classes)}
        labels = torch.tensor([numbers[self._rows[id_]] for id_ in ids])
        return Split(paths=[files[id_] for id_ in ids], labels=labels, ids=ids)

    @cached_property
    def _rows(self) -> dict[str, str]:
        """id -> label, as the csv has them."""
        path = self.root / self.labels
        if not path.is_file():
            raise UserError(f"data set {self.root.name}: no {path}; {_elsewhere(self.root)}")
        try:
            rows = list(csv.DictReader(read_text(path).splitlines()))
        except csv.Error as error:
            raise UserError(f"{path}: is no CSV ({error}); write it again") from error
        if not rows or None in rows[0].values() or not {"id", "label"} <= rows[0].keys():
            raise UserError(f"{path}: expected a first line `id,label` and then one row per image")
        for number, row in enumerate(rows, 2):
            check(row, LABELLED, path, f"row {number}")
        return {row["id"]: row["label"] for row in rows}


def read_digits() -> np.ndarray:
    """uint8 (1797, 65): 64 pixels from 0 to 16 and the label, from the file that scikit-learn carries.

    Read without importing scikit-learn, which would take a twelfth of the time that all other imports take.
    """
    package = find_spec("sklearn")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    return np.loadtxt(file, delimiter=",", dtype=np.uint8)


def read_idx(path: Path) -> Tensor:
    """A tensor of bytes from an idx file, .gz or plain: 0, 0, type 8, number of dimensions, sizes, values (LeCun)."""
    content = unpacked(path, _AGAIN) if path.suffix == ".gz" else read_bytes(path)
    if content[:3] != b"\0\0\x08" or len(content) < 4:
        raise UserError(f"{path}: starts with {content[:3].hex()}, not with 000008 as idx files of bytes do. {_AGAIN}")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[i : i + 4]) for i in range(4, start, 4)]
    stated = math.prod(shape)
    if len(content) - start != stated:
        raise UserError(f"{path}: {len(content) - start} bytes of values, not {stated} as it states. {_AGAIN}")
    return torch.frombuffer(bytearray(content[start:]), dtype=torch.uint8).view(shape)


def _fits(rows: Any, labels: Any) -> bool:
    """Are these images of 3 x 32 x 32 bytes, and a class for each?"""
    fits = isinstance(rows, np.ndarray) and rows.dtype == np.uint8 and rows.ndim == 2 and rows.shape[1] == 3072
    whole = isinstance(labels, list) and all(type(n) is int and 0 <= n < 1000 for n in labels)
    return fits and whole and len(rows) == len(labels)


def _torchvision(source: str) -> Any:
    import torchvision.datasets

    if source not in _MEGABYTES:  # whatever else is there is not looked up by a name from a file
        raise UserError(f"data.reader.source={source}: expected one of {', '.join(_MEGABYTES)}.")
    return getattr(torchvision.datasets, source)


def _ensure(root: Path, source: str, download: bool, complete: Callable[[], bool]) -> None:
    """Have torchvision download into `root` what is missing; one process does, the others wait."""
    lock = root / ".download.lock"
    if complete() and not (download and lock.exists()):
        return
    if not download:
        raise UserError(
            f"data set {root.name}: files of {source} are missing in {root}; add data.download=true to fetch them "
            f"({_MEGABYTES.get(source, '?')} MB), or {_elsewhere(root)}"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=ANOTHER), patience():
            if not complete():
                _torchvision(source)(root, download=True)
        lock.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"data set {root.name}: download of {source} to {root} failed ({error}); check the network and "
            f"the folder's permissions, or {_elsewhere(root)}"
        ) from error


def _elsewhere(root: Path) -> str:
    return f"set paths.data_dir to the folder that has {root.name}/"


def is_video(path: Path) -> bool:
    """Whether the path is a file with the name of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def _numeric(id_: str) -> tuple[int, int, str]:
    """2 comes before 10, and numbers before names."""
    return (0, int(id_), id_) if id_.isdecimal() else (1, 0, id_)


def _decoded(split: Split, channels: int, image_size: int) -> Split:
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda path: read_image(path, channels, image_size), split.paths or []))
    return replace(split, images=torch.stack(images), paths=None)
