"""lightloom: a Lightning-based modular research template.

`lightloom.load(checkpoint)` gives a trained model that predicts; `lightloom.load_run(run)` its module, data and
configuration. Both import torch when they are called, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightloom.predict.loading import Loaded, Run, load, load_run

__all__ = ["Loaded", "Run", "load", "load_run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from lightloom.predict import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
