"""report.html in a run's folder: one file that needs no network, with what the run has to show."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lightloom.core import atomic_io, run_dir
from lightloom.core.redaction import redact
from lightloom.core.screen import say
from lightloom.engine.optional import optional
from lightloom.reporting import card, facts, gallery, sections
from lightloom.reporting.contract import chapter_of, chapters
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render

REPORT = "report.html"


@contextlib.contextmanager
def written_at_end(folder: str | Path) -> Iterator[dict[str, float]]:
    """Write the run's model card and its report when the block ends, however it ends; the first process does.

    Yields a dictionary for the results, which stays empty where the run does not come to its end.
    """
    run, results = Path(folder), dict[str, float]()
    try:
        yield results
    finally:
        if run_dir.rank() == 0 and (run / run_dir.CONFIG).exists():
            write_run(run, results)


def write_run(run: Path, results: dict[str, float] | None = None) -> None:
    """The run's model card and its report; a failure is a warning. results: those that results.json is to say."""
    optional(card.CARD)(lambda: card.write(facts.read(run, results)))()
    optional(REPORT)(lambda: write(facts.read(run, results)))()


def refresh(run: Path, output: str) -> None:
    """The report and the model card of a finished or unfinished run anew. output: this command's own, unused folder."""
    read = facts.read(run)
    say(f"Model card: {card.write(read)}\nReport: {write(read)}")
    with contextlib.suppress(OSError):  # it is not empty
        Path(output).rmdir()


def write(run: Run) -> Path:
    """Write report.html into the run's folder; returns its path."""
    path = run.folder / REPORT
    atomic_io.write_text(path, html(run))
    return path


def html(run: Run) -> str:
    """The whole page."""
    album = Album(run.folder)
    own = chapter_of(run)
    return render(
        "report.html.jinja",
        run=run,
        title=run.name,
        headline=sections.headline(run),
        facts=own.facts(run),
        use=own.example,
        charts=sections.learning_curves(run),
        sections=[section for chapter in chapters() for section in chapter.sections(run, album)],
        samples=gallery.pages(run, album),
        pictures=gallery.pictures(run, album),
        config=redact((run.folder / run_dir.CONFIG).read_text(encoding="utf-8")),
        changed=(run.start.get("origin") or {}).get("changed", []),
        links=gallery.links(run),
    )
