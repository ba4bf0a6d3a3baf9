"""Which folders are images with boxes: each layout says by what its files are known."""

from __future__ import annotations

from collections.abc import Iterator

from lightloom.core.discovery import discover
from lightloom.data.auto import Match
from lightloom.data.listing import Listing, parts_said


def matches(listing: Listing) -> Iterator[Match]:
    """Each layout of a file beside this one that has `CHOICE`, the `data=` that reads it, `LAYOUT`, its name in words,
    and `annotation_files(listing)`, which finds its files.
    """
    if not listing.images:
        return
    for layout in discover("lightloom.data.boxes", "*.py"):
        files = layout.annotation_files(listing) if hasattr(layout, "annotation_files") else []
        if files:
            suffix = files[0].suffix
            images = len({*listing.images} - {*files})
            seen = f"{images:,} images and {len(files):,} {suffix} files of {layout.LAYOUT}"
            yield Match(layout.CHOICE, seen + parts_said(listing.images, listing.root))
