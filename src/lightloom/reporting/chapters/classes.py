"""What was taken for what: the confusion matrix, and the images behind its numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lightloom.core import cells
from lightloom.core.errors import UserError
from lightloom.core.run_dir import read_json
from lightloom.core.schema import entries, items, text, whole
from lightloom.reporting import records
from lightloom.reporting.chapters.images import OfImages
from lightloom.reporting.contract import Section
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render

MOST_CLASSES = 30  # of a confusion matrix that is shown as one; of a larger one its MOST_PAIRS most frequent errors
MOST_PAIRS = 40
MARGIN = 2  # pixels between the images of a grid
WRONG_RULE = entries(
    {
        "columns": whole(1, 1000),
        "images": items(
            entries({"true": records.COUNT, "predicted": records.COUNT, "confidence": records.SHARE}, {"file": text()})
        ),
    },
    {},
)


class Classes(OfImages):
    """What classifiers leave, and detectors too."""

    place = 40
    tasks = ("classification",)
    pipeline = "image-classification"
    told = ("confusion_matrix.png", "misclassified.png")
    links = ("confusion_matrix.csv",)

    def sections(self, run: Run, album: Album) -> list[Section]:
        found = confusion(run.folder)
        if found is None:
            return []
        wrong = misclassified(run.folder, album)
        part = "validation" if run.judged_by_validation else "test"
        html = render("confusion.html.jinja", confusion=found, wrong=wrong, part=part)
        return [Section("confusion", "Confusion", html)]


def confusion(run: Path) -> dict[str, Any] | None:
    """classes, rows of (count, share of the true class), and the most frequent errors; None without a whole table."""
    try:
        with cells.open_csv(run / "confusion_matrix.csv") as file:
            (_, *classes), *rows = cells.rows(file)
        counts = [[int(n) for _, n in zip(classes, row[1:], strict=True)] for row in rows]
    except (OSError, ValueError, UserError):
        classes = []
    if not classes or len(counts) != len(classes):
        return None
    pairs = [(counts[i][j], i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j and counts[i][j]]
    return {
        "classes": classes,
        "rows": [[(n, n / max(sum(row), 1)) for n in row] for row in counts],
        "right": sum(counts[i][i] for i in range(len(classes))),
        "total": sum(map(sum, counts)),
        "pairs": sorted(pairs, key=lambda p: (-p[0], p[1:]))[:MOST_PAIRS],
        "small": len(classes) <= MOST_CLASSES,
    }


def misclassified(run: Path, album: Album) -> dict[str, Any] | None:
    """The sheet with the misclassified images, and where each lies on it, by (true, predicted)."""
    told = read_json(run / "misclassified.json", {}, WRONG_RULE)
    sheet = album.add("misclassified.png") if told.get("images") else None
    if sheet is None or sheet.source is None:
        return None
    columns = min(told["columns"], len(told["images"]))
    rows = math.ceil(len(told["images"]) / columns)
    cell = (sheet.size[0] - MARGIN) // columns, (sheet.size[1] - MARGIN) // rows
    scale = max(1, round(56 / max(cell)))
    groups: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for place, image in enumerate(told["images"]):
        x, y = (place % columns) * cell[0] + MARGIN, (place // columns) * cell[1] + MARGIN
        style = f"background-position:-{x * scale}px -{y * scale}px"
        groups.setdefault((image["true"], image["predicted"]), []).append({**image, "style": style})
    classes = confusion(run)
    if classes is None or max(map(max, groups)) >= len(classes["classes"]):
        return None
    every = [image for group in groups.values() for image in group]
    return {
        "sheet": sheet.source,
        "size": (sheet.size[0] * scale, sheet.size[1] * scale),
        "cell": ((cell[0] - MARGIN) * scale, (cell[1] - MARGIN) * scale),
        "groups": groups,
        "worst": sorted(every, key=lambda image: -image["confidence"])[:24],
    }
