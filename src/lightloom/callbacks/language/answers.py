"""Have a model answer the same prompts after each epoch: how good its answers are, and how far from the reference's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch

from lightloom.callbacks.offers import lacks
from lightloom.callbacks.samples.grid import is_shown
from lightloom.core import atomic_io
from lightloom.core.ranges import Count, Seed
from lightloom.core.run_dir import read_json
from lightloom.data.preferences.kept import FILE, RULE
from lightloom.modules.writing import answers
from lightloom.ops.answers import log_probabilities
from lightloom.ops.typed_trainer import typed

Answered = list[tuple[str, list[int]]]


class Answers(pl.Callback):
    """Writes answers.json into `dirpath`: answers 0, 1, ... of the seed to the first prompts of validation, each epoch.

    With their mean reward, where the data says what answers are worth; and of a module with a `reference` KL to it in
    nats an answer, the mean of ln p - ln p_reference. num_tokens: of each answer at most. shown: answers to a prompt
    that are kept.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all

    def __init__(
        self,
        dirpath: str,
        seed: Seed,
        num_prompts: Count = 4,
        num_samples: Count = 8,
        num_tokens: Count = 100,
        shown: Count = 2,
    ) -> None:
        self.folder, self.seed, self.num_prompts, self.shown = Path(dirpath), seed, num_prompts, shown
        self.num_samples, self.num_tokens = num_samples, num_tokens
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks(module, "write", FILE, self._left_out) or lacks(
            typed(trainer).datamodule, "tokens", FILE, self._left_out
        )

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Answer by the weights as they are now, below the epochs before."""
        if self._left_out or not is_shown(trainer) or not trainer.is_global_zero:
            return
        data: Any = typed(trainer).datamodule
        split = data.split("val")
        prompts = list(dict.fromkeys(item.prompt for item in split.items))[: self.num_prompts]
        how = (self.seed, self.num_samples, self.num_tokens, split.end)
        every = [answers(cast(Any, module), data.tokens, prompt, *how) for prompt in prompts]
        now = {
            "epoch": trainer.current_epoch + 1,
            "answers": [
                {"prompt": prompt, "texts": [text for text, _ in found[: self.shown]]}
                for prompt, found in zip(prompts, every, strict=True)
            ],
            "reward": self._reward(data, prompts, every),
            "kl": self._kl(cast(Any, module), data.tokens, prompts, every),
        }
        path = self.folder / FILE
        before = [one for one in read_json(path, [], RULE) if one["epoch"] < now["epoch"]]
        atomic_io.write_text(path, json.dumps([*before, now], ensure_ascii=False, indent=1))

    def _reward(self, data: Any, prompts: list[str], every: list[Answered]) -> float | None:
        if getattr(data, "reward", None) is None:
            return None
        pairs = [(prompt, text) for prompt, found in zip(prompts, every, strict=True) for text, _ in found]
        return float(data.reward(*map(list, zip(*pairs, strict=True))).mean())

    @torch.inference_mode()
    def _kl(self, module: Any, tokens: Any, prompts: list[str], every: list[Answered]) -> float | None:
        if not hasattr(module, "reference"):
            return None
        values = []
        for prompt, found in zip(prompts, every, strict=True):
            start = tokens.encode(prompt)
            for _, answer in found:
                ids = torch.tensor([[*start, *answer][: module.network.block_size]], device=module.device)
                place = torch.tensor([len(start)], device=module.device)
                one, other = (log_probabilities(n, ids, place) for n in (module.network, module.reference))
                values.append(float(one - other))
        return sum(values) / len(values)
