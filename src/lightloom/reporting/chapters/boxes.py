"""Detections on the test images, and precision over recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightloom.core.run_dir import read_json
from lightloom.core.schema import anything, entries, items, number, text, whole
from lightloom.reporting import records
from lightloom.reporting.chapters.images import OfImages
from lightloom.reporting.charts import COLOURS, Line, chart
from lightloom.reporting.contract import Section
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render

SCENE_BYTES = 150_000  # of an image with boxes, of which there are several
SCENES = "overlays.json"
BOX = items(number(-1e7, 1e7), 4, 4)
ONE = {"box": BOX, "label": records.COUNT, "name": anything}
SCENES_RULE = items(
    entries(
        {
            "image": text(),
            "size": items(whole(1, 100_000), 2, 2),
            "truth": items(entries(ONE, {})),
            "found": items(entries({**ONE, "score": records.SHARE}, {})),
        },
        {},
    )
)
CURVES_RULE = entries(
    {
        "iou": records.SHARE,
        "curves": items(
            entries(
                {
                    "name": anything,
                    "average_precision": records.SHARE,
                    "recall": items(records.SHARE),
                    "precision": items(records.SHARE),
                },
                {},
            ),
            1,
        ),
    },
    {},
)


class Boxes(OfImages):
    """What detectors leave."""

    place = 30
    tasks = ("detection",)
    pipeline = "object-detection"
    sizes = " or of other sizes, as a list"
    told = ("pr_curves.png", "overlays.png", "overlays")
    links = ("overlays",)

    def sections(self, run: Run, album: Album) -> list[Section]:
        values: dict[str, Any] = {"scenes": scenes(run.folder, album), "precision_recall": precision_recall(run.folder)}
        if not any(values.values()):
            return []
        min_score = (run.config.get("model") or {}).get("min_score", 0.5)
        return [Section("detections", "Detections", render("detections.html.jinja", min_score=min_score, **values))]

    def pictures(self, run: Run) -> Mapping[str, str]:
        drawn = any(
            (run.folder / scene["image"]).is_file() for scene in read_json(run.folder / SCENES, [], SCENES_RULE)
        )
        return {} if drawn else {"overlays.png": "Test images with most faults: truth, and what was found"}

    def pages(self, run: Run) -> Sequence[str]:
        return () if (run.folder / SCENES).is_file() else ("overlays",)


def scenes(run: Path, album: Album) -> list[dict[str, Any]]:
    """A detector's test images with boxes for the page to draw."""
    scenes = read_json(run / SCENES, [], SCENES_RULE)
    with_pictures = [{**scene, "picture": album.add(scene["image"], most=SCENE_BYTES)} for scene in scenes]
    return [scene for scene in with_pictures if scene["picture"] and scene["picture"].source]


def precision_recall(run: Path) -> dict[str, Any] | None:
    """A detector's curves, and their mean."""
    told = read_json(run / "pr_curves.json", {}, CURVES_RULE)
    curves = [c for c in told.get("curves", []) if c["recall"] and len(c["recall"]) == len(c["precision"])]
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
