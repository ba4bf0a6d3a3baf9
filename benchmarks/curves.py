"""A chart of the reports as an SVG file of its own, for a page of docs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lightloom.reporting.charts import Chart, Line, chart

COLOURS = ("#2f6db5", "#d0741c", "#2e8b57", "#b5477d", "#7a5fc0", "#0f8a94", "#9a7d0a", "#b3372f")
STYLE = "text{font:14px sans-serif;fill:#888}line{stroke:#8884}polyline{fill:none;stroke-width:1.8}"
DASHED = ' stroke-dasharray="5 4"'
LEGEND, ROW = 150, 20  # pixels: its width, and the height of a line of it


def drawn(title: str, lines: Sequence[Line], x_label: str) -> str:
    """The lines on common axes, their names at the right."""
    made = chart(title, lines, x_label)
    (width, height), (left, top, right, _) = made.size, made.area
    parts = [f'<text x="{left}" y="{top + 6}">{escape(title)}{", logarithmic" if made.log else ""}</text>']
    for place, text in made.y_ticks:
        parts.append(f'<line x1="{left}" x2="{right}" y1="{place:.1f}" y2="{place:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{place + 5:.1f}" text-anchor="end">{text}</text>')
    for place, text in made.x_ticks:
        parts.append(f'<text x="{place:.1f}" y="{height - 6}" text-anchor="middle">{text}</text>')
    parts.append(f'<text x="{right + 12}" y="{height - 6}">{escape(x_label)}</text>')
    parts += [polyline(line, line["points"]) for line in made.lines] + legend(made)
    view = f'viewBox="0 0 {width + LEGEND} {height}" width="{(width + LEGEND) * 1.3:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {view}><style>{STYLE}</style>{"".join(parts)}</svg>\n'


def legend(made: Chart) -> list[str]:
    """A stroke and a name for each line."""
    x, parts = made.area[2] + 12, []
    for i, line in enumerate(made.lines):
        y = made.area[1] + ROW * (i + 1)
        parts.append(polyline(line, f"{x},{y} {x + 22},{y}"))
        parts.append(f'<text x="{x + 28}" y="{y + 5}">{escape(line["name"])}</text>')
    return parts


def polyline(line: dict, points: str) -> str:
    return f'<polyline{DASHED if line["dashed"] else ""} stroke="{COLOURS[line["colour"]]}" points="{points}"/>'
