"""Batches of images."""

from collections.abc import Mapping
from typing import Any


def shape(data: Mapping[str, Any]) -> tuple[int | str, ...] | None:
    """("batch", C, H, W); None where the facts are not those of images."""
    if data.get("kind", "image") != "image" or not {"channels", "image_size"} <= set(data):
        return None
    return ("batch", int(data["channels"]), int(data["image_size"]), int(data["image_size"]))
