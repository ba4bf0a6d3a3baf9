"""The border of matplotlib, which reads what stands between two $ as a formula: here a text is a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(**options: Any) -> Figure:
    """A matplotlib figure without a window, in which no text is a formula."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["text.parse_math"] = False  # of the texts that are made from now on
    return Figure(**options)
