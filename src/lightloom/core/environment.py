"""Environment variables. One that is set but empty counts as not set: `LIGHTLOOM_DATA_DIR= python src/train.py`."""

from __future__ import annotations

import os


def variable(name: str, default: str | None = None) -> str | None:
    """The variable's value; `default` where it is not set, or empty."""
    return os.environ.get(name) or default
