"""Have a language model continue the same prompt after each epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl

from lightloom.callbacks.offers import lacks
from lightloom.callbacks.samples.grid import is_shown
from lightloom.core import atomic_io
from lightloom.core.ranges import Count, NotNegative, Seed
from lightloom.core.run_dir import read_json
from lightloom.data.language.continued import FILE, RULE
from lightloom.modules.language_model import LanguageModel
from lightloom.modules.writing import texts
from lightloom.ops.typed_trainer import typed


class Continuations(pl.Callback):
    """Writes continuations.json into `dirpath`: texts 0, 1, ... of the seed after a prompt, of each epoch.

    After its validation. num_tokens: of each text.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all

    def __init__(
        self,
        dirpath: str,
        seed: Seed,
        prompt: str = "",
        num_samples: Count = 2,
        num_tokens: Count = 200,
        temperature: NotNegative = 0.8,
    ) -> None:
        self.folder, self.seed, self.prompt = Path(dirpath), seed, prompt
        self.num_samples, self.num_tokens, self.temperature = num_samples, num_tokens, temperature
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks(module, "write", FILE, self._left_out) or lacks(
            typed(trainer).datamodule, "tokens", FILE, self._left_out
        )

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write texts by the weights as they are now, below those of the epochs before."""
        if self._left_out or not is_shown(trainer):
            return
        tokens: Any = cast(Any, typed(trainer).datamodule).tokens
        epoch, how = trainer.current_epoch + 1, (self.seed, self.num_samples, self.num_tokens)
        written = texts(cast(LanguageModel, module), tokens, self.prompt, *how, temperature=self.temperature)
        if not trainer.is_global_zero:  # which write too: of a model that is shared out each has a part
            return
        path = self.folder / FILE
        before = [one for one in read_json(path, [], RULE) if one["epoch"] < epoch]
        now = {"epoch": epoch, "prompt": self.prompt, "texts": written}
        atomic_io.write_text(path, json.dumps([*before, now], ensure_ascii=False, indent=1))
