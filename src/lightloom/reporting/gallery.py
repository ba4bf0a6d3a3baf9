"""The pictures of a run's folder: those that chapters know, with what they show, and any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lightloom.core import run_dir
from lightloom.reporting.contract import chapters
from lightloom.reporting.facts import METRICS, Run
from lightloom.reporting.pictures import Album, Picture

MOST_PAGES = 8  # of an epoch's pictures, evenly over the run
PAGE = "epoch-*.png"
LINKED = (
    *(METRICS, run_dir.RESULTS, run_dir.CONFIG, run_dir.OVERRIDES, run_dir.RECORD, run_dir.LOG, "README.md"),
    *(f"{run_dir.CHECKPOINTS}/{name}" for name in (run_dir.BEST, run_dir.LAST)),
)
LOGS = "tensorboard"


def pictures(run: Run, album: Album) -> list[Picture]:
    """Those of the chapters first. Any other has a PNG's text `Description` as its caption, or its name."""
    known = {file: name for chapter in chapters() for file, name in chapter.pictures(run).items()}
    told = {file for chapter in chapters() for file in chapter.told}
    others = {path.name: "" for path in sorted(run.folder.glob("*.png")) if path.name not in told}
    added = (
        album.add(file, name) for file, name in (known | {f: n for f, n in others.items() if f not in known}).items()
    )
    return [picture for picture in added if picture]


def pages(run: Run, album: Album) -> list[Picture]:
    """Pictures over the epochs, the last one among them; where a page fills up, the first ones are missing."""
    folder = next(_folders(run), None)
    if folder is None:
        return []
    found = sorted(folder.glob(PAGE))
    places = sorted({round(i * (len(found) - 1) / max(MOST_PAGES - 1, 1)) for i in range(MOST_PAGES)})
    chosen = [found[i] for i in reversed(places)]
    added = [album.add(f"{folder.name}/{p.name}", f"{folder.name}, epoch {int(p.stem[6:])}") for p in chosen]
    return [picture for picture in reversed(added) if picture and picture.source]


def _folders(run: Run) -> Iterator[Path]:
    """Those with a picture of each epoch: the chapters' first."""
    known = [name for chapter in chapters() for name in chapter.pages(run)]
    told = {name for chapter in chapters() for name in chapter.told}
    others = sorted({path.parent.name for path in run.folder.glob(f"*/{PAGE}")} - {*known, *told})
    yield from (run.folder / name for name in (*known, *others) if any((run.folder / name).glob(PAGE)))


def links(run: Run) -> list[str]:
    """What there is in the folder for who wants the whole."""
    tables = {path.name for path in run.folder.glob("*.csv")} - {METRICS}
    own: Iterable[str] = {name for chapter in chapters() for name in chapter.links} | tables | {LOGS}
    coming = {"README.md"} | ({run_dir.RESULTS} if run.finished else set())  # written beside the page, or after it
    return [name for name in (*LINKED, *sorted(own)) if name in coming or (run.folder / name).exists()]
