"""Which folders are images with masks: another image of the same name, in a folder that says so."""

from __future__ import annotations

from collections.abc import Iterator

from lightloom.data.auto import Match
from lightloom.data.listing import Listing, parts_said
from lightloom.data.masks.folders import SUFFIXES

SAID = ("mask", "masks", "annot", "segmentationclass", "gt")  # how the folder's name ends; `labels` may be of objects


def matches(listing: Listing) -> Iterator[Match]:
    """Folders of masks, each beside one of images."""
    masks = [path for path in listing.images if _says(path.parent.name) or _says(path.parent.parent.name)]
    drawn = set(masks)
    images = [path for path in listing.images if path not in drawn]
    stems = {path.stem.lower() for path in masks}
    have = [path for path in images if any(path.stem.lower() + suffix in stems for suffix in SUFFIXES)]
    if have and 2 * len(have) > len(images):
        choice = "voc_segmentation" if (listing.root / "ImageSets/Segmentation").is_dir() else "masks"
        seen = f"{len(images):,} images and {len(masks):,} masks"
        yield Match(choice, seen + parts_said(images, listing.root))


def _says(folder: str) -> bool:
    return folder.lower().endswith(SAID)
