"""Draw the pictures of docs/attention-step-by-step.md and, of a run with alignments.json, that of docs/translate.md.

    python tools/attention_pictures.py [--run logs/runs/multi30k] [--sentence 0]

Each is computed by the code that it shows; run it again when that changes. Shades of blue are numbers from 0 to 1.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path

import torch
from torch import Tensor

from lightloom.networks.transformer.attention import MultiHeadAttention, attention_weights, causal, heads_of
from lightloom.networks.transformer.positions import sinusoids

FOLDER = Path(__file__).parents[1] / "docs/pictures"
CELL, GAP, TOP, SHADES = 20, 36, 24, 20  # pixels, and how many shades
WORDS = ("the", "fox", "hid", "a", "key", "and", "lost", "it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--sentence", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(0)
    drawn = {"formula": formula(), "heads": heads(), "masks": masks(), "places": places()}
    if args.run:
        one = json.loads((args.run / "alignments.json").read_text(encoding="utf-8"))[args.sentence]
        drawn["translation"] = page([table(torch.tensor(one["weights"]), one["translation"], one["source"])])
    FOLDER.mkdir(exist_ok=True)
    for name, text in drawn.items():
        (FOLDER / f"attention-{name}.svg").write_text(text, encoding="utf-8")


def formula() -> str:
    """Weights of vectors of 64 normal values, without the root and with it."""
    query, key = torch.randn(2, len(WORDS), 64)
    without = table((query @ key.T).softmax(-1), WORDS, title="softmax(QKᵀ)")
    return page([without, table(attention_weights(query, key), title="softmax(QKᵀ/√d)")])


def heads() -> str:
    """Four heads of one layer that has learnt nothing yet, on the same vectors."""
    layer, x = MultiHeadAttention(64, 4), 2 * torch.randn(1, len(WORDS), 64)
    query, key, _ = heads_of(layer.projections(x), 3, 4)
    weights = attention_weights(query, key)[0].detach()
    return page([table(one, WORDS if not i else (), title=f"head {i + 1}") for i, one in enumerate(weights)])


def masks() -> str:
    """Who sees whom: of a model that writes, and of a text of five words in a batch of longer ones."""
    padding = (torch.arange(len(WORDS)) < 5).expand(len(WORDS), -1).float()
    return page([table(causal(len(WORDS)).float(), WORDS, title="causal"), table(padding, title="5 words, padded")])


def places() -> str:
    """Sinusoids of 24 places, and how alike those of two places are by their distance."""
    found = sinusoids(24, 16)
    alike = (found @ found.T / 8).clamp(min=0)
    return page([table((found + 1) / 2, title="PE(t), t downwards"), table(alike, title="PE(t)·PE(s) / 8")], 12)


Table = tuple[Tensor, Sequence[str], Sequence[str], str]


def table(values: Tensor, rows: Sequence[str] = (), columns: Sequence[str] = (), title: str = "") -> Table:
    return values, rows, columns, title


def page(tables: Sequence[Table], cell: int = CELL) -> str:
    """Tables beside each other, as SVG; names of rows at their left, of columns above them."""
    left = 8 + 8 * max((len(name) for _, rows, _, _ in tables for name in rows), default=0)
    top = TOP + 7 * max((len(name) for _, _, columns, _ in tables for name in columns), default=0)
    parts, height = [], 0
    for values, rows, columns, title in tables:
        parts.append(f'<text x="{left}" y="16">{escape(title)}</text>')
        cells: dict[int, list[str]] = defaultdict(list)
        for i, row in enumerate(values.tolist()):
            y = top + i * cell
            if rows:
                parts.append(f'<text x="{left - 6}" y="{y + cell - 6}" text-anchor="end">{escape(rows[i])}</text>')
            for j, value in enumerate(row):
                cells[round(value * SHADES)].append(f"M{left + j * cell} {y}h{cell - 1}v{cell - 1}h{1 - cell}z")
        parts += [f'<path d="{"".join(one)}" fill-opacity="{shade / SHADES:.2f}"/>' for shade, one in cells.items()]
        for j, name in enumerate(columns):
            x, y = left + j * cell + 14, top - 4
            parts.append(f'<text x="{x}" y="{y}" transform="rotate(-70 {x} {y})">{escape(name)}</text>')
        left, height = left + values.shape[1] * cell + GAP, max(height, top + len(values) * cell)
    style = "text{font:13px sans-serif;fill:#888}path{fill:#2f6db5;stroke:#8884}"
    size = f'width="{left - GAP + 30}" height="{height + 6}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    main()
