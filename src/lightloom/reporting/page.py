"""report.html in a run's folder: one file that needs no network, with what the run has to show."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lightloom.core import atomic_io, run_dir
from lightloom.core.redaction import redact
from lightloom.engine.optional import optional
from lightloom.reporting import card, facts, sections
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render

REPORT = "report.html"
LINKED = (
    *(facts.METRICS, run_dir.RESULTS, run_dir.CONFIG, run_dir.OVERRIDES, run_dir.RECORD, run_dir.LOG, "README.md"),
    *(f"{run_dir.CHECKPOINTS}/{name}" for name in (run_dir.BEST, run_dir.LAST)),
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


@contextlib.contextmanager
def written_at_end(folder: str | Path) -> Iterator[None]:
    """Write the run's model card and its report when the block ends, however it ends; the first process does."""
    run = Path(folder)
    try:
        yield
    finally:
        if run_dir.rank() == 0 and (run / run_dir.CONFIG).exists():
            write_run(run)


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
    atomic_io.write_text(path, html(run))
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
        wrong=sections.misclassified(where, album),
        precision_recall=sections.precision_recall(where),
        scenes=scenes,
        min_score=(run.config.get("model") or {}).get("min_score", 0.5),
        samples=sections.pages(where, album),
        pictures=[picture for file, name in shown.items() if (picture := album.add(file, name))],
        config=redact((where / run_dir.CONFIG).read_text(encoding="utf-8")),
        changed=(run.start.get("origin") or {}).get("changed", []),
        links=[name for name in LINKED if (where / name).exists()],
    )
