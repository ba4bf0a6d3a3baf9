"""A masked language model: what stands where a word was hidden (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from lightloom.core.ranges import Count, Natural, Seed, Share, checked
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.step_mean import StepMean
from lightloom.modules.training_means import TrainingMeans
from lightloom.networks.keyed_dropout import key_dropout, keyed_dropout
from lightloom.ops.rng import mix, mix_tensor, text_keys, uniforms
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

IGNORE = -100  # a target that is none
RESERVED = 2  # padding and what is unknown: never masked, never drawn
MASKED, DRAWN = 0.8, 0.1  # of the chosen, the others stay as they are
VALIDATION = 1 << 32  # in place of an epoch
MEASURES = ("loss", "acc")


class MaskedLanguageModel(pl.LightningModule):
    """A network that says what stands at each place of a text of which some words are hidden.

    Batches: ids int64 (B, T), 0 after the end of each, and labels, which are not looked at. network: takes vocab_size,
    too, as an id, the mask. share: of the words that are asked for. What is hidden is a function of the seed, the
    epoch and the text itself: the same in any batch and any number of processes, and in each validation. So is what
    dropout drops, but for another in each step: see `keyed_dropout`.

    The gradient is that of the mean over all words that are asked for in a step, of all its accumulated parts and all
    processes together, however unequally they are spread.
    """

    better: ClassVar[dict[str, str]] = {"loss": "min", "acc": "max"}
    step_key: int | None = None

    @checked
    def __init__(
        self,
        network: nn.Module,
        vocab_size: Count,
        optimizer: OptimizerFactory,
        scheduler: Callable[..., Schedule] | None = None,
        seed: Seed = 0,
        share: Share = 0.15,
        reserved: Natural = RESERVED,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        key_dropout(network)
        self.network, self.optimizer, self.scheduler = network, optimizer, scheduler
        self.vocab_size, self.seed, self.share, self.reserved = vocab_size, seed, share, reserved
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        names = [f"{stage}_{name}" for stage in ("val", "test") for name in MEASURES]
        self.measured = nn.ModuleDict({name: MeanMetric() for name in names})
        self.means = TrainingMeans("loss")
        self.asked = StepMean()

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        return [*self.means.logged, *(name.replace("_", "/") for name in self.measured)]

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, vocab_size) of what stands at each place of ids, int64 (B, T)."""
        return self.network(ids)

    def predicted(self, ids: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Of the words that an epoch asks for logits (N, vocab_size), float32, and what they are, int64 (N,)."""
        seen, targets = masked(ids, self.vocab_size, mix(self.seed, epoch), self.share, self.reserved)
        asked = targets != IGNORE
        return self(seen)[asked].float(), targets[asked]

    # --- training

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        with keyed_dropout(self.network, self.step_key, batch[0]):
            logits, words = self.predicted(batch[0], self.current_epoch)
        total = cross_entropy(logits, words, reduction="sum")
        self.means.add(loss=total / max(len(words), 1))
        self.asked.add(len(words))
        return total

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.asked.apply(self.trainer, optimizer)

    # --- evaluation

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate("test", batch)

    def on_validation_epoch_end(self) -> None:
        self._log("val")

    def on_test_epoch_end(self) -> None:
        self._log("test")

    def _evaluate(self, stage: str, batch: tuple[Tensor, Tensor]) -> None:
        logits, words = self.predicted(batch[0], VALIDATION)
        if len(words):
            found = {"loss": cross_entropy(logits, words), "acc": (logits.argmax(1) == words).float().mean()}
            for name, value in found.items():
                cast(MeanMetric, self.measured[f"{stage}_{name}"]).update(value, len(words))

    def _log(self, stage: str) -> None:
        for name in MEASURES:
            metric = cast(MeanMetric, self.measured[f"{stage}_{name}"])
            self.log(f"{stage}/{name}", metric.compute())
            metric.reset()

    # --- filling in

    @torch.inference_mode()
    def fill(self, ids: Tensor) -> Tensor:
        """Probabilities (N, vocab_size) of what stands at each mask in ids, int64 (B, T), in their order."""
        logits = self(ids)[ids == self.vocab_size].float()
        logits[:, : self.reserved] = -torch.inf
        return logits.softmax(1)

    # --- optimization

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]


def masked(ids: Tensor, mask: int, key: int, share: float = 0.15, reserved: int = RESERVED) -> tuple[Tensor, Tensor]:
    """Ids (B, T) with a share of words hidden, and what they are, int64 (B, T), IGNORE elsewhere.

    Of the chosen 80 % become the id `mask`, 10 % a word drawn evenly, which may be the same one, and 10 % stay (section
    3.1). Ids below `reserved` are never chosen, nor drawn. All is a function of the key, the text and the place:
    padding and neighbours change nothing.
    """
    texts = text_keys(ids, key)
    chosen, kind, word = (uniforms(mix_tensor(mix(key, stream), texts), ids.shape[1]) for stream in range(3))
    is_chosen = (chosen < share) & (ids >= reserved)
    drawn = reserved + (word.double() * (mask - reserved)).long()
    changed = torch.where(kind < MASKED, torch.full_like(ids, mask), torch.where(kind < MASKED + DRAWN, drawn, ids))
    return torch.where(is_chosen, changed, ids), torch.where(is_chosen, ids, IGNORE)
