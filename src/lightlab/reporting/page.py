"""report.html in a run's folder: one file that needs no network, with what the run has to show."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lightlab import files, folder
from lightlab.changes import redacted
from lightlab.reporting import card, facts, sections
from lightlab.reporting.facts import Run
from lightlab.reporting.optional import optional
from lightlab.reporting.pictures import Album
from lightlab.reporting.render import render

REPORT = "report.html"
LINKED = (
    *(facts.METRICS, folder.RESULTS, folder.CONFIG, folder.OVERRIDES, folder.RECORD, folder.LOG, "README.md"),
    *(f"{folder.CHECKPOINTS}/{name}" for name in (folder.BEST, folder.LAST)),
    *("confusion_matrix.csv", "filmstrip.gif", "samples", "overlays", "tensorboard"),
)
SINGLE = {  # pictures by their file, with what they show
    "interpolation.png": "Between two latents: along the great arc, and along the straight line",
    "filmstrip.png": "The same latents over the epochs",
    "reconstructions.png": "Test images, and under each row its reconstructions",
    "health.png": "Losses, outputs of the players, gradients and diversity",
    "class_histogram.png": "Classes of the samples, as a classifier sees them",
    "overlays.png": "Test images with most faults: truth, and what was found",
}


def write_run(run: Path) -> None:
    """The run's model card and its report; a failure is a warning."""
    optional(card.CARD)(lambda: card.write(facts.read(run)))()
    optional(REPORT)(lambda: write(facts.read(run)))()


def refresh(run: Path, output: str) -> None:
    """The report and the model card of a finished or unfinished run anew. output: this command's own, unused folder."""
    read = facts.read(run)
    print(f"Model card: {card.write(read)}\nReport: {write(read)}")
    with contextlib.suppress(OSError):  # it is not empty
        Path(output).rmdir()


def write(run: Run) -> Path:
    """Write report.html into the run's folder; returns its path."""
    path = run.folder / REPORT
    files.write_text(path, html(run))
    return path


def html(run: Run) -> str:
    """The whole page."""
    album, where = Album(run.folder), run.folder
    scenes = sections.scenes(where, album)
    shown = {file: name for file, name in SINGLE.items() if not (scenes and file == "overlays.png")}
    return render(
        "report.html.jinja",
        run=run,
        title=run.name,
        headline=sections.headline(run),
        charts=sections.learning_curves(run),
        confusion=sections.confusion(where),
        wrong=sections.wrong_images(where, album),
        precision_recall=sections.precision_recall(where),
        scenes=scenes,
        min_score=(run.config.get("model") or {}).get("min_score", 0.5),
        samples=sections.pages(where, album),
        pictures=[picture for file, name in shown.items() if (picture := album.add(file, name))],
        config=redacted((where / folder.CONFIG).read_text(encoding="utf-8")),
        changed=(run.start.get("origin") or {}).get("changed", []),
        links=[name for name in LINKED if (where / name).exists()],
    )
