"""Which folders are images with classes: `photos/<class>/*.jpg`, or so in parts of a split."""

from __future__ import annotations

from collections.abc import Iterator

from lightloom.data.auto import Match
from lightloom.data.images.layout import part_named
from lightloom.data.listing import Listing, parts_said


def matches(listing: Listing) -> Iterator[Match]:
    """One folder for each class, with nothing but the folders' names to tell."""
    folders = {path.parent for path in listing.images}
    classes = {folder.name for folder in folders if folder != listing.root and not part_named(folder.name)}
    if len(classes) > 1:
        seen = f"{len(listing.images):,} images in folders of {len(classes)} classes"
        yield Match("image_folder", seen + parts_said(listing.images, listing.root), by_folders=True)
