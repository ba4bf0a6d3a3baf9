"""The border of matplotlib, which reads what stands between two $ as a formula: here a text is a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(**options: Any) -> Figure:
    """A matplotlib figure without a window, in which no text is a formula; those of others are as they were."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    class Plain(Figure):
        def draw(self, renderer: Any) -> None:
            for text in self.findobj(Text):
                text.set_parse_math(False)
            with matplotlib.rc_context({"text.parse_math": False}):  # labels of ticks are made here
                super().draw(renderer)

    return Plain(**options)
