"""What a command has found, as one file that needs no network: inspection.html of a data set, answers.html."""

from __future__ import annotations

from pathlib import Path

from lightloom.core import atomic_io
from lightloom.core.findings import Findings
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render

PAGE = "inspection.html"
MOST_ROWS = 200  # of a table


def write(found: Findings, folder: Path, name: str = PAGE) -> Path:
    """Write the page beside its pictures; returns its path."""
    album = Album(folder)
    pictures = [(picture, shows) for file, shows in found.pictures if (picture := album.add(file, shows)) is not None]
    page = render("inspection.html.jinja", title=found.title, found=found, pictures=pictures, most=MOST_ROWS)
    atomic_io.write_text(folder / name, page)
    return folder / name
