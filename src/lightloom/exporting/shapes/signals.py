"""Batches of signals."""

from collections.abc import Mapping
from typing import Any


def shape(data: Mapping[str, Any]) -> tuple[int | str, ...] | None:
    """("batch", C, L); None where the facts are not those of signals."""
    return ("batch", int(data["channels"]), int(data["length"])) if data.get("kind") == "signal" else None
