"""Write down the translations of the test texts, and what each of their words looked at."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.callbacks.at_test import AtTest
from lightloom.callbacks.offers import lacks
from lightloom.core import atomic_io, cells
from lightloom.core.ranges import Natural
from lightloom.data.loading import indices_of
from lightloom.data.translation.pairs import BEGIN, END
from lightloom.data.translation.translated import ALIGNMENTS, FILE, HEADER
from lightloom.ops.typed_trainer import typed

Kept = tuple[int, tuple[str, str, str, float], dict[str, Any] | None]  # place in the split, a row, an alignment


class Translations(AtTest):
    """Writes translations.csv after a test, and alignments.json of the first `num_alignments` texts.

    An alignment has the parts of both texts, and for each of the translation how the last layer, its heads on average,
    looks at those of the source while it is predicted: rows that sum to 1.
    """

    file, output = FILE, "translations"

    def __init__(self, dirpath: str, num_alignments: Natural = 6) -> None:
        super().__init__(dirpath)
        self.num_alignments = num_alignments

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, module, stage)
        self._left_out = self._left_out or lacks(typed(trainer).datamodule, "decoded", FILE)

    def taken(self, trainer: pl.Trainer, outputs: Any, batch: tuple[Tensor, ...], batch_idx: int) -> list[Kept]:
        """Of each text of a test batch its place, what is told of it, and its alignment where that is drawn."""
        data, loaded = cast(Any, typed(trainer).datamodule), typed(trainer).test_dataloaders
        split: Any = cast(Any, loaded).dataset.split
        found = outputs["translations"]
        texts, places = data.decoded([one.ids for one in found]), indices_of(loaded, batch_idx)
        kept: list[Kept] = []
        for row, (place, text, one) in enumerate(zip(places, texts, found, strict=True)):
            told = (split.sources[place], text, split.targets[place], one.log_probability)
            drawn = place < self.num_alignments and hasattr(trainer.lightning_module, "alignment")
            kept.append((place, told, self.alignment(trainer, batch[0][row], one.ids) if drawn else None))
        return kept

    def alignment(self, trainer: pl.Trainer, source: Tensor, ids: Sequence[int]) -> dict[str, Any]:
        """Of a text, int64 (S,), and its translation: the parts of both, and weights, a row for each of the latter."""
        module, tokens = cast(Any, trainer.lightning_module), cast(Any, typed(trainer).datamodule).tokens
        target = torch.tensor([[BEGIN, *ids]], device=source.device)
        read = source[source != 0].tolist()
        weights = module.alignment(source[None, : len(read)], target)[0]
        parts = {name: [part(tokens, i) for i in some] for name, some in (("source", read), ("translation", ids))}
        return {**parts, "weights": [[round(value, 4) for value in row] for row in weights.tolist()]}

    def write(self, trainer: pl.Trainer, kept: Sequence[Kept]) -> None:
        text = io.StringIO()
        ordered = sorted(kept, key=lambda one: one[0])
        cells.Writer(text).write(HEADER, *([*told[:3], f"{told[3]:.4f}"] for _, told, _ in ordered))
        atomic_io.write_text(self.folder / FILE, text.getvalue())
        drawn = [one for _, _, one in ordered if one is not None]
        atomic_io.write_text(self.folder / ALIGNMENTS, json.dumps(drawn, ensure_ascii=False))


def part(tokens: Any, i: int) -> str:
    """What an id stands for, of END its name."""
    return str(tokens.names[i] if i == END else tokens.decode([i]).strip())
