"""Gradients by layer, of runs that kept them."""

from __future__ import annotations

from collections.abc import Mapping

from lightloom.reporting.contract import Chapter
from lightloom.reporting.facts import Run


class Gradients(Chapter):
    """What `callbacks=gradient_norms` leaves."""

    links = ("gradient_norms.csv",)

    def pictures(self, run: Run) -> Mapping[str, str]:
        return {"gradient_norms.png": "Norm of the gradient of each layer's weights, over the epochs"}
