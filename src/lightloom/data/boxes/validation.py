"""A look at annotated images before training: a detector crashes on an infinite box, raises deep inside on one of no
area, and learns silently from one that is NaN or outside. What can be mended is, counted and named; the rest stops.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from lightloom.core.errors import raise_all
from lightloom.core.limits import check_pixels
from lightloom.core.run_dir import read_json
from lightloom.core.schema import SIDE, entries, exactly, items, one_of, text
from lightloom.core.text import first_of
from lightloom.data.boxes.annotations import Annotation
from lightloom.data.cache import fingerprint
from lightloom.data.images.decode import plain_file

log = logging.getLogger("lightloom")

SHOWN = 3  # names in a message
ALIKE = 0.8  # IoU from which two boxes of a class are reported as one object drawn twice
NEAR_ONE = 1.5  # within which corners that are no whole numbers are shares of the image
MISSING = "there is no such file"
ROUNDING = 0.02  # pixels by which a box may leave its image and be clipped without a word
SEEN = {"height": SIDE, "width": SIDE, "turned": one_of(True, False), "error": one_of("")}
REMEMBERED = entries({"files": items(exactly(SEEN)), "sha256": text()}, {})
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)

# Kinds of fault, in the order in which they are reported, and what is done about them or is to be done.
MENDED = {
    "empty": "empty annotation files, whose images are kept as negatives: {}",
    "size": "images of another size than their annotation states, boxes are taken as the file's pixels: {}",
    "reversed": "boxes whose corners were in reverse order, turned round: {}",
    "no_area": "boxes of no area, dropped: {}",
    "outside": "boxes outside their image, dropped: {}",
    "clipped": "boxes that leave their image, clipped: {}",
    "flat_outline": "objects whose outline has fewer than three points, dropped: {}",
    "difficult": "objects marked as difficult or as crowds, not trained on and not counted as missed: {}",
    "duplicate": f"pairs of boxes of one class that are alike (IoU of {ALIKE} or more), kept: {{}}",
    "negative": "images without boxes, kept as negatives: {}",
}
WRONG = {
    "missing": "images that are not there: {}; add the files or strike them from the annotations.",
    "unreadable": "images that cannot be read: {}; replace the files or delete them.",
    "normalised": "boxes in [0, 1] where pixels are expected: {}; multiply x by the width and y by the height.",
    "in_pixels": "boxes beyond [0, 1] where shares of the image are expected: {}; divide by the width or height.",
    "turned": "boxes for the sides that an image had before EXIF turned it: {}; draw them on the upright image.",
    "mask_size": "masks of another size than their image: {}; export them again.",
    "not_finite": "boxes with NaN or infinite corners: {}; correct the annotation.",
    "label": "boxes of a class that is none of the data's: {}; name all classes or correct the annotation.",
}


@dataclass(frozen=True)
class File:
    """An image file: its upright height and width, is it EXIF that turns it sideways, or what is wrong with it."""

    height: int = 0
    width: int = 0
    turned: bool = False
    error: str = ""


@dataclass
class Faults:
    """kind -> names of images, one for each box or image with that fault."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, names: Sequence[str]) -> None:
        if names:
            self.found.setdefault(kind, []).extend(names)

    def counts(self, kinds: Mapping[str, str]) -> dict[str, int]:
        """kind -> how many, of those kinds that were met, in their order."""
        return {kind: len(self.found[kind]) for kind in kinds if self.found.get(kind)}

    def lines(self, kinds: dict[str, str]) -> Iterator[str]:
        """One line per kind: what, how many, and the first files."""
        for kind, sentence in kinds.items():
            names = list(dict.fromkeys(self.found.get(kind, ())))
            if names:
                yield sentence.format(f"{len(self.found[kind])} ({first_of(names, SHOWN)})")


def look(annotations: Sequence[Annotation], num_classes: int, files: Sequence[File]) -> tuple[list[Annotation], Faults]:
    """The annotations with mended boxes and the size of their files, and what was found. A pure function."""
    faults = Faults()
    mended = [replace(a, size=(f.height, f.width)) for a, f in zip(annotations, files, strict=True)]
    for known, file in zip(annotations, files, strict=True):
        for kind in _image_faults(known, file):
            faults.add(kind, [known.name])
    readable = [i for i, f in enumerate(files) if not f.error]
    for index in _faulty(annotations, files, readable, num_classes):
        mended[index] = _mended(mended[index], num_classes, faults)
    faults.add("difficult", [a.name for a in mended for _ in range(int(a.iscrowd.sum()))])
    faults.add("negative", [a.name for a in mended if not len(a.labels)])
    for index in readable:
        pairs = _duplicates(mended[index])
        faults.add("duplicate", [mended[index].name] * pairs)
    if all(not len(a.labels) for a in mended):
        faults.found.pop("negative", None)
    return mended, faults


def mended(faults: Mapping[str, Faults]) -> list[str]:
    """What was mended in all splits, a phrase with its count for each kind."""
    counts = [found.counts(MENDED) for found in faults.values()]
    total = {kind: sum(count.get(kind, 0) for count in counts) for kind in MENDED}
    return [MENDED[kind].format(f"{count:,}") for kind, count in total.items() if count]


def report(faults: Faults, where: str) -> None:
    """One UserError for all that is wrong, or else one log line per kind that was mended."""
    raise_all(f"{where}: {line}" for line in faults.lines(WRONG))
    for line in faults.lines(MENDED):
        log.info("%s: %s", where, line)


def _image_faults(known: Annotation, file: File) -> Iterator[str]:
    yield from known.notes
    if file.error:
        yield "missing" if file.error == MISSING else "unreadable"
        return
    stated, size = known.size, (file.height, file.width)
    if _normalised(known.boxes):
        yield "normalised"
    if stated in (None, size, (0, 0)):
        return
    if file.turned and stated == size[::-1]:
        yield "turned"
    else:
        yield "mask_size" if known.masks is not None else "size"


def _normalised(boxes: Tensor) -> bool:
    """Corners about [0, 1] (down to -1 where pixels counted from 1 were shifted) that are not all whole numbers."""
    return bool(len(boxes) and boxes.abs().max() <= NEAR_ONE and (boxes != boxes.round()).any())


def _faulty(
    annotations: Sequence[Annotation], files: Sequence[File], readable: list[int], num_classes: int
) -> list[int]:
    """The images with a box that is not right, found in all boxes at once."""
    if not readable:
        return []
    boxes = torch.cat([annotations[i].boxes for i in readable])
    labels = torch.cat([annotations[i].labels for i in readable])
    counts = torch.tensor([len(annotations[i].labels) for i in readable])
    limits = torch.tensor([[files[i].width, files[i].height] for i in readable]).repeat_interleave(counts, 0)
    right = (boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= limits).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    right &= (labels >= 1) & (labels <= num_classes)
    owners = torch.arange(len(readable)).repeat_interleave(counts)
    return [readable[i] for i in owners[~right].unique().tolist()]


def _mended(known: Annotation, num_classes: int, faults: Faults) -> Annotation:
    """Boxes clipped and dropped; what is not finite or of no class is left, it stops the run."""
    assert known.size is not None
    height, width = known.size
    boxes, turned = _in_order(known.boxes)
    finite = boxes.isfinite().all(1)
    area = (boxes[:, 2:] > boxes[:, :2]).all(1)
    clipped = torch.minimum(boxes.clamp(min=0), torch.tensor([width, height, width, height], dtype=boxes.dtype))
    inside = (clipped[:, 2:] > clipped[:, :2]).all(1)
    moved = (clipped - boxes).abs().amax(1) > ROUNDING
    wrong_label = (known.labels < 1) | (known.labels > num_classes)
    kinds = {
        "reversed": finite & turned,
        "not_finite": ~finite,
        "no_area": finite & ~area,
        "outside": finite & area & ~inside,
        "clipped": finite & area & inside & moved,
        "label": wrong_label,
    }
    for kind, which in kinds.items():
        faults.add(kind, [known.name] * int(which.sum()))
    return replace(known, boxes=clipped).pick((area & inside).nonzero().flatten())


def _in_order(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) with the lesser corner first, and which of them, (N,), had it last."""
    low, high = torch.minimum(boxes[:, :2], boxes[:, 2:]), torch.maximum(boxes[:, :2], boxes[:, 2:])
    return torch.cat([low, high], 1), (boxes[:, 2:] < boxes[:, :2]).any(1)


def _duplicates(known: Annotation) -> int:
    """Pairs of boxes of one class that are alike, crowds left out."""
    single = known.iscrowd == 0
    if single.sum() < 2:
        return 0
    boxes, labels = known.boxes[single], known.labels[single]
    alike = (box_iou(boxes, boxes) >= ALIKE) & (labels[:, None] == labels)
    return int(alike.triu(1).sum())


# --- files


def open_files(paths: Sequence[Path], decode: bool = True, cache_dir: Path | str | None = None) -> list[File]:
    """What the image files are like, in their order. decode: read all pixels, which finds the truncated ones.

    Remembered below `cache_dir` for as long as no file's name, size or time changes.
    """
    cache = Path(cache_dir) / f"{fingerprint(paths, decode)}.json" if cache_dir else None
    if cache and cache.is_file():
        remembered = read_json(cache, {}, REMEMBERED)
        files = [File(**file) for file in remembered.get("files", [])]
        if len(files) == len(paths) and remembered["sha256"] == _digest(remembered["files"]):
            return files
    with ThreadPoolExecutor() as pool:
        files = list(pool.map(lambda path: _open(path, decode), paths))
    if cache and decode and not any(file.error for file in files):
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            temporary = cache.with_name(f".{torch.randint(2**62, ()).item()}-{cache.name}")
            seen = [asdict(file) for file in files]
            temporary.write_text(json.dumps({"files": seen, "sha256": _digest(seen)}), encoding="utf-8")
            temporary.replace(cache)
        except OSError as error:
            log.debug("%s: what was seen of the images is not remembered (%s)", cache, error)
    return files


def _digest(files: Sequence[dict[str, Any]]) -> str:
    """By which half a file, or one of another kind, is known."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _open(path: Path, decode: bool) -> File:
    try:
        with Image.open(plain_file(path)) as image:
            turned = image.getexif().get(_ORIENTATION) in _SIDEWAYS
            width, height = image.size[::-1] if turned else image.size
            if decode:
                check_pixels(path, *image.size)
                image.load()
            return File(height, width, turned)
    except FileNotFoundError:
        return File(error=MISSING)
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        return File(error=f"{type(error).__name__}: {error}")
