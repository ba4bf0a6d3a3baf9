"""Which folders are shards: an index, and the tar files that it names."""

from __future__ import annotations

from collections.abc import Iterator

from lightloom.core.documents import read_json
from lightloom.data.auto import Match
from lightloom.data.listing import Listing
from lightloom.data.shards.index import INDEX, kinds


def matches(listing: Listing) -> Iterator[Match]:
    """By the kind that the index in the folder itself states."""
    shards = listing.of(".tar")
    if shards and (path := listing.root / INDEX) in listing.files:
        found = read_json(path)
        kind = found.get("kind") if isinstance(found, dict) else None
        for known in kinds():
            if kind == known.KIND:
                yield Match(known.CHOICE, f"{len(shards):,} shards of data of kind {kind}")
