"""What a capability adds to a run's report and to its model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lightloom.core.discovery import discover
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album


@dataclass(frozen=True)
class Section:
    """A part of the page, with a heading of its own. anchor: its id. short: its name in the page's navigation."""

    anchor: str
    short: str
    html: str


class Chapter:
    """What one capability has to show; a subclass in a file of `lightloom.reporting.chapters` is found there.

    Files in a run's folder are shown whatever the task; the rest is of the runs whose task is in `tasks`, the `task` of
    the configuration with spaces. place: among the chapters, the lowest first. pipeline: Hugging Face's name of the
    task. example: what to say to predict.py, of tasks that it knows. hyperparameters: keys of the configuration that
    the card lists, beside those of all models. told: pictures that need no place of their own. links: files and folders
    to name at the end of the page.
    """

    place = 100
    tasks: Sequence[str] = ()
    pipeline: str | None = None
    example: str | None = None
    hyperparameters: Sequence[str] = ()
    told: Sequence[str] = ()
    links: Sequence[str] = ()

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        """Names and values for the page's summary."""
        return []

    def inputs(self, run: Run) -> str | None:
        """What the module takes, a sentence for the card."""
        return None

    def sections(self, run: Run, album: Album) -> list[Section]:
        """What the files in the run's folder have to tell; each picture comes from the album."""
        return []

    def pictures(self, run: Run) -> Mapping[str, str]:
        """Pictures in the run's folder, each with what it shows."""
        return {}

    def pages(self, run: Run) -> Sequence[str]:
        """Folders with a picture of each epoch, `epoch-0001.png` and so on."""
        return ()


@cache
def chapters() -> tuple[Chapter, ...]:
    """All of them, in the order of their places."""
    found = discover("lightloom.reporting.chapters", "*.py")
    own = [(one, module.__name__) for module in found for one in vars(module).values()]
    kinds = [one for one, home in own if isinstance(one, type) and issubclass(one, Chapter) and one.__module__ == home]
    return tuple(sorted((kind() for kind in kinds), key=lambda chapter: chapter.place))


def chapter_of(run: Run) -> Chapter:
    """That of the run's task; of a task that none knows an empty one."""
    return next((chapter for chapter in chapters() if run.task in chapter.tasks), Chapter())
