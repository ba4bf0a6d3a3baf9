"""What a run's page shows, part by part: each is read from the files that the run has left, or missing."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightloom.core.run_dir import read_json
from lightloom.reporting import facts
from lightloom.reporting.charts import COLOURS, Chart, Line, chart
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album, Picture
from lightloom.reporting.render import duration, figure

MOST_CLASSES = 30  # of a confusion matrix that is shown as one; of a larger one its MOST_PAIRS most frequent errors
MOST_PAIRS = 40
MOST_PAGES = 8  # of an epoch's samples, evenly over the run
SCENE_BYTES = 150_000  # of an image with boxes, of which there are several
MARGIN = 2  # pixels between the images of a grid
STAGES = ("train", "val", "test")


def headline(run: Run) -> list[tuple[str, str]]:
    """The figures to see first, with what they are."""
    best = run.best()
    cards = [(f"best {run.monitor}, epoch {best[1] + 1}", figure(best[0]))] if best else []
    tested = [(n, v) for n, v in run.metrics.items() if n.startswith("test/") and "_of_" not in n]
    monitored = run.monitor.rpartition("/")[2]
    tested.sort(key=lambda item: item[0] != f"test/{monitored}")
    cards += [(name, figure(value)) for name, value in tested[:3]]
    if run.train_seconds is not None:
        cards.append(("training time", duration(run.train_seconds)))
    return cards


# --- curves


def learning_curves(run: Run) -> list[Chart]:
    """One chart for each measure, with its stages; the monitored one first, what has one value left out."""
    groups: dict[str, dict[str, facts.Curve]] = {}
    for name, curve in run.curves.items():
        stage, _, measure = name.rpartition("/")
        if len(curve.values) > 1:
            groups.setdefault(measure, {})[stage] = curve
    first = run.monitor.rpartition("/")[2]
    order = sorted(groups, key=lambda measure: (measure != first, "loss" not in measure, measure == "lr", measure))
    return [chart(measure, _lines(groups[measure]), "step") for measure in order]


def _lines(stages: Mapping[str, facts.Curve]) -> list[Line]:
    known = sorted(stages, key=lambda s: (STAGES.index(s) if s in STAGES else len(STAGES), s))
    return [Line(stage, stages[stage].steps, stages[stage].values, _colour(stage, i)) for i, stage in enumerate(known)]


def _colour(stage: str, place: int) -> int:
    return STAGES.index(stage) if stage in STAGES else place + len(STAGES)


def precision_recall(run: Path) -> dict[str, Any] | None:
    """A detector's curves, and their mean."""
    told = read_json(run / "pr_curves.json", {})
    curves = [c for c in told.get("curves", []) if c["recall"]]
    if not curves:
        return None
    lines = [
        Line(
            f"{c['name']}: {c['average_precision']:.3f}",
            [0.0, *c["recall"]],
            [c["precision"][0], *c["precision"]],
            i,
            i >= COLOURS,
        )
        for i, c in enumerate(curves)
    ]
    mean = sum(c["average_precision"] for c in told["curves"]) / len(told["curves"])
    drawn = chart("precision over recall", lines, "recall", y_range=(0.0, 1.0))
    return {"chart": drawn, "iou": told["iou"], "mean": mean, "count": len(told["curves"])}


# --- what was taken for what


def confusion(run: Path) -> dict[str, Any] | None:
    """classes, rows of (count, share of the true class), and the most frequent errors; None without a whole table."""
    try:
        with (run / "confusion_matrix.csv").open(newline="", encoding="utf-8") as file:
            (_, *classes), *rows = csv.reader(file)
        counts = [[int(n) for _, n in zip(classes, row[1:], strict=True)] for row in rows]
    except (OSError, ValueError):
        classes = []
    if not classes:
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
    told = read_json(run / "misclassified.json", {})
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
    every = [image for group in groups.values() for image in group]
    return {
        "sheet": sheet.source,
        "size": (sheet.size[0] * scale, sheet.size[1] * scale),
        "cell": ((cell[0] - MARGIN) * scale, (cell[1] - MARGIN) * scale),
        "groups": groups,
        "worst": sorted(every, key=lambda image: -image["confidence"])[:24],
    }


def scenes(run: Path, album: Album) -> list[dict[str, Any]]:
    """A detector's test images with boxes for the page to draw."""
    scenes = read_json(run / "overlays.json", [])
    with_pictures = [{**scene, "picture": album.add(scene["image"], most=SCENE_BYTES)} for scene in scenes]
    return [scene for scene in with_pictures if scene["picture"] and scene["picture"].source]


def pages(run: Path, album: Album) -> list[Picture]:
    """Samples over the epochs, the last one among them; where a page fills up, the first ones are missing."""
    for kind in ("samples", "reconstructions", "overlays"):
        found = sorted((run / kind).glob("epoch-*.png"))
        if kind == "overlays" and (run / "overlays.json").is_file():
            continue
        if found:
            places = sorted({round(i * (len(found) - 1) / max(MOST_PAGES - 1, 1)) for i in range(MOST_PAGES)})
            added = [
                album.add(f"{kind}/{found[i].name}", f"{kind}, epoch {int(found[i].stem[6:])}") for i in places[::-1]
            ]
            return [p for p in added[::-1] if p and p.source]
    return []
