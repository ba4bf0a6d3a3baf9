"""What is in a set of labelled images and what looks wrong with it: sizes, values, classes, doubles, outliers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from omegaconf import DictConfig
from torch import Tensor

from lightloom.core.figures import new_figure
from lightloom.core.findings import Findings
from lightloom.core.text import line
from lightloom.data.images import survey
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.survey import Look
from lightloom.ops.indices import evenly
from lightloom.predict import inspection
from lightloom.predict.classes import label_review, pages
from lightloom.predict.classes.pages import Item
from lightloom.predict.tables import Table

MOST_IMAGES = 20_000  # that are looked at, evenly from all parts
TOGETHER = 64  # images that are in memory at a time
CELL, pages.COLUMNS, MOST_CLASSES, MOST_PAIRS = 96, 8, 30, 12  # of the pages of pictures
FINDINGS, ISSUES = "findings.csv", "label_issues.csv"


def accepts(datamodule: pl.LightningDataModule) -> bool:
    """Has it images that lie in classes?"""
    return isinstance(datamodule, ImageDataModule)


def inspect(datamodule: ImageDataModule, cfg: DictConfig) -> Findings:
    """Tables of sizes, values, classes and doubles; a contact sheet; every finding in findings.csv."""
    found, folder = inspection.begin(datamodule, cfg), Path(cfg.paths.output_dir)
    inspection.add_splits(found, datamodule)
    add_classes(found, datamodule, folder)
    items = list(pages.items_of(datamodule))
    if len(items) > MOST_IMAGES:
        found.note(f"{MOST_IMAGES:,} of {len(items):,} images were looked at, evenly from all parts.")
        items = [items[i] for i in evenly(len(items), MOST_IMAGES)]
    looks = look_at(datamodule, items)
    add_sizes(found, looks, folder)
    add_values(found, looks)
    add_faults(found, Faults(datamodule, items, looks), folder)
    pages.sheet(found, datamodule, folder)
    if cfg.get("ckpt_path") is not None and getattr(datamodule, "kind", None) == "image":
        label_review.add_label_issues(found, datamodule, cfg, folder)
    return found


def look_at(datamodule: ImageDataModule, items: Sequence[Item]) -> list[Look]:
    """What each is like, in their order."""
    found: dict[tuple[str, int], Look] = {}
    for part in dict.fromkeys(item.part for item in items):
        split, places = datamodule.splits[part], [item.place for item in items if item.part == part]
        looks: list[Look] = []
        for first in range(0, len(places), TOGETHER):
            some = places[first : first + TOGETHER]
            if split.images is not None:
                looks += survey.look_at_tensor(split.images[some])
            else:
                looks += survey.look_at_files(list(split.sources(some)), datamodule.channels)
        found |= {(part, place): look for place, look in zip(places, looks, strict=True)}
    return [found[item.part, item.place] for item in items]


# --- tables


def add_classes(found: Findings, datamodule: ImageDataModule, folder: Path) -> None:
    """How often each class occurs in each part, and how uneven that is; with a figure."""
    labels = {name: split.labels for name, split in datamodule.splits.items() if split.labels is not None}
    classes = datamodule.classes or []
    if not classes:  # numbers are predicted
        return
    counts = {part: counted(values, len(classes)) for part, values in labels.items()}
    rows = [
        (name, *(f"{n:,}" for n in row)) for name, row in zip(classes, zip(*counts.values(), strict=True), strict=True)
    ]
    found.table("class", list(labels), rows, "images per class")
    sizes = counts.get("train") or next(iter(counts.values()), [])
    if len(sizes) > 1 and max(sizes) > 0:
        found.note(balance(classes, sizes))
    if len(classes) > 1 and len(classes) <= 200:
        figure = new_figure(figsize=(8, 3), layout="constrained")
        axes, bottom = figure.add_subplot(), np.zeros(len(classes))
        for part, values in counts.items():
            axes.bar(range(len(classes)), values, bottom=bottom, label=part)
            bottom += np.array(values)
        axes.set_xticks(range(len(classes)), [line(name)[:20] for name in classes], rotation=45, ha="right")
        axes.set_ylabel("images")
        figure.legend(loc="outside right upper")
        pages.save(found, figure, folder, "classes.png", "Images per class")


def counted(labels: Tensor, classes: int) -> list[int]:
    """How often each class occurs in labels (N,), or each tag in (N, classes), in which it is 1."""
    found = labels.gt(0).sum(0) if labels.ndim == 2 else labels.bincount(minlength=classes)
    return [int(n) for n in found]


def add_sizes(found: Findings, looks: Sequence[Look], folder: Path) -> None:
    """Widths and heights, and in which formats and modes the pixels are stored."""
    good = [look for look in looks if not look.error]
    if not good:
        return
    sides = np.array([look.size for look in good])
    rows = [
        (name, *np.percentile(sides[:, i], (0, 50, 100)).astype(int).tolist())
        for i, name in enumerate(("width", "height"))
    ]
    found.table("pixels", ["smallest", "median", "largest"], rows, "sizes")
    common = Counter(f"{w} x {h}" for w, h in sides.tolist()).most_common(5)
    found.table(
        "size",
        ["images"],
        [(size, f"{n:,}") for size, n in common],
        f"most common of {len({*map(tuple, sides.tolist())}):,} sizes",
    )
    forms = Counter(look.form for look in good).most_common()
    found.table("format and mode", ["images"], [(form, f"{n:,}") for form, n in forms], "files")
    if len({*map(tuple, sides.tolist())}) > 1:
        figure = new_figure(figsize=(4.5, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(sides[:, 0], sides[:, 1], ".", alpha=0.4)
        axes.set(xlabel="width, pixels", ylabel="height, pixels", xlim=(0, None), ylim=(0, None))
        pages.save(found, figure, folder, "sizes.png", "Sizes")


def add_values(found: Findings, looks: Sequence[Look]) -> None:
    """The mean and deviation of each channel, of images in [0, 1]: what `data.mean` and `data.std` may be set to."""
    colours = [look.colours for look in looks if not look.error]
    if not colours:
        return
    means = np.array([mean for mean, _ in colours])
    squares = np.array([np.square(mean) + np.square(std) for mean, std in colours])
    mean = means.mean(0)
    std = np.sqrt(squares.mean(0) - mean**2)
    names = ["red", "green", "blue"] if len(mean) == 3 else ["grey"]
    rows = [(n, f"{m / 255:.3f}", f"{s / 255:.3f}") for n, m, s in zip(names, mean, std, strict=True)]
    found.table("channel", ["mean", "deviation"], rows, "values in [0, 1]")


# --- what looks wrong


@dataclass
class Faults:
    """The doubles, outliers and unreadable files among images."""

    datamodule: ImageDataModule
    items: Sequence[Item]
    looks: Sequence[Look]

    def __post_init__(self) -> None:
        self.groups = survey.same(self.looks)
        self.pairs = survey.nearly_same(self.looks)
        self.outliers = survey.outliers(self.looks, self.groups)
        self.unreadable = {i: look.error for i, look in enumerate(self.looks) if look.error}

    def rows(self) -> Iterator[tuple[str, Item, str, str]]:
        """(kind, image, the other image or why, more)."""
        for group in self.groups:
            first = self.items[group[0]]
            yield from (("same", self.items[i], first.name, self._apart(i, group[0])) for i in group[1:])
        for i, j, levels in self.pairs:
            apart = "; ".join(filter(None, (f"{levels:.1f} levels apart", self._apart(i, j))))
            yield "nearly the same", self.items[j], self.items[i].name, apart
        yield from (("outlier", self.items[i], why, "") for i, why in self.outliers.items())
        yield from (("unreadable", self.items[i], why, "") for i, why in self.unreadable.items())

    def doubles(self) -> list[tuple[int, int]]:
        """Pairs of indices of the same picture, those of two parts first; placeholders are outliers."""
        same = [(group[0], i) for group in self.groups for i in group[1:] if i not in self.outliers]
        pairs = [*same, *((i, j) for i, j, _ in self.pairs)]
        return sorted(pairs, key=lambda pair: self.items[pair[0]].part == self.items[pair[1]].part)

    def leaks(self, pairs: Sequence[tuple[int, int]]) -> int:
        """Images of a later part that another part has too."""
        return len({j for i, j in pairs if self.items[i].part != self.items[j].part})

    def contradictions(self, pairs: Sequence[tuple[int, int]]) -> int:
        """Pairs with two labels."""
        return sum(self.items[i].label != self.items[j].label for i, j in pairs if self.items[i].label >= 0)

    def _apart(self, i: int, j: int) -> str:
        one, other = self.items[i], self.items[j]
        parts = f"in {other.part} and {one.part}" if one.part != other.part else ""
        return "; ".join(filter(None, (parts, "other class" if one.label != other.label else "")))


def add_faults(found: Findings, faults: Faults, folder: Path) -> None:
    """Counts of each kind, all of them in findings.csv, pictures of the first ones."""
    same = [(group[0], i) for group in faults.groups for i in group[1:]]
    near = [(i, j) for i, j, _ in faults.pairs]
    rows = [
        (kind, f"{len(pairs):,}", f"{faults.leaks(pairs):,}", f"{faults.contradictions(pairs):,}")
        for kind, pairs in (("same bytes", same), ("nearly the same", near))
    ]
    found.table("doubles", ["images", "across parts", "with another label"], rows, "doubles")
    if leaks := faults.leaks([*same, *near]):
        found.note(
            f"Leakage: {leaks:,} images of one part are in another part too; figures measured there are too good."
        )
    why = Counter(faults.outliers.values()).most_common(10)
    found.table("outliers", ["images"], [(reason, f"{n:,}") for reason, n in why], "outliers")
    for i, reason in list(faults.unreadable.items())[:1]:
        found.note(f"{len(faults.unreadable):,} of the images cannot be read, first {faults.items[i].name}: {reason}")
    classes = faults.datamodule.classes or []
    with Table(folder / FINDINGS, ("kind", "part", "class", "file", "other", "more")) as table:
        table.add(
            [
                (kind, item.part, classes[item.label] if item.label >= 0 else "", item.name, other, more)
                for kind, item, other, more in faults.rows()
            ]
        )
    if table.count:
        found.note(f"{table.count:,} findings: {table.path}")
    pairs = faults.doubles()[:MOST_PAIRS]
    double = [pages.pair(faults.datamodule, faults.items[i], faults.items[j]) for i, j in pairs]
    pages.add(found, folder, double, 3, "doubles.png", "Doubles; those of two parts first")
    strange = [pages.thumbnail(faults.datamodule, faults.items[i]) for i in list(faults.outliers)[: 2 * MOST_PAIRS]]
    pages.add(found, folder, strange, pages.COLUMNS, "outliers.png", "Outliers")


def balance(classes: Sequence[str], sizes: Sequence[int]) -> str:
    """How unequal the classes are, by their training images, of which there are some."""
    few, many = min(sizes), max(sizes)
    guess = f"always guessing one of the largest is right in {many / sum(sizes):.1%}"
    if few == many:
        return f"Classes: {many:,} training images of each; {guess}."
    share = f"{many / few:.1f} times as many as" if few else "and there are"
    least = line(classes[sizes.index(few)])
    return (
        f"Classes: {many:,} training images of {line(classes[sizes.index(many)])}, {share} {few:,} of {least}; {guess}."
    )
