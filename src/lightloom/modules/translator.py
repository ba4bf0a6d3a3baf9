"""A translator: the distribution of each id of a translation given the text and those before it, and a search in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, cast

import pytorch_lightning as pl
import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from lightloom.core.ranges import Count, NotNegative, checked
from lightloom.data.contract import offered
from lightloom.metrics.bleu import Bleu
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.step_mean import StepMean
from lightloom.modules.training_means import TrainingMeans
from lightloom.networks.keyed_dropout import key_dropout, keyed_dropout
from lightloom.ops.beam_search import Hypothesis, beam_search
from lightloom.ops.typed_trainer import typed
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

PAD, BEGIN, END = 0, 2, 3  # ids; 1 is what is unknown
MEASURES = ("loss", "perplexity", "acc")
OF_TEXTS = ("bleu", "brevity_penalty", "precision_1", "precision_2", "precision_3", "precision_4")
LONGER = 50  # ids by which a translation may be longer than its text, as Vaswani et al. have it (section 6.1)


class Translator(pl.LightningModule):
    """A network from a text and what is written of its translation to logits of the next id (Vaswani et al. 2017).

    Batches: ids of texts int64 (B, S), each with END behind; of translations (B, T), with BEGIN before and END behind;
    0 is what follows; and those as they are written, for BLEU. Training smooths the labels (section 5.4) and takes the
    gradient of the mean over all ids of a step, of its accumulated parts and all processes together; what dropout drops
    is drawn for each pair of texts, see `keyed_dropout`. What is measured
    is not smoothed, in nats per id; acc: of ids whose likeliest is right, given those before. A test translates, by
    beam search (`lightloom.ops.beam_search`) of beam_width texts with length_penalty; a width of 1 is greedy. val_bleu:
    validation translates too, greedily, which takes longer than all else that it does.
    """

    better: ClassVar[dict[str, str]] = {
        "loss": "min", "perplexity": "min", "acc": "max", "bleu": "max", "brevity": "max", "precision": "max",
    }  # fmt: skip
    test_outputs = ("translations",)
    step_key: int | None = None

    @checked
    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory,
        scheduler: Callable[..., Schedule] | None = None,
        label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.1,
        beam_width: Count = 4,
        length_penalty: NotNegative = 0.6,
        val_bleu: bool = False,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        key_dropout(network)
        self.network, self.optimizer, self.scheduler = network, optimizer, scheduler
        self.label_smoothing, self.beam_width, self.length_penalty = label_smoothing, beam_width, length_penalty
        self.val_bleu, self.optimizer_groups = val_bleu, OptimizerGroups.of(optimizer_groups)
        names = [f"{stage}_{name}" for stage in ("val", "test") for name in ("loss", "acc")]
        self.measured = nn.ModuleDict({name: MeanMetric() for name in names})
        self.bleu = Bleu()
        self.means, self.asked = TrainingMeans("loss"), StepMean()

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        measured = [f"{stage}/{name}" for stage in ("val", "test") for name in MEASURES]
        translating = ("val", "test") if self.val_bleu else ("test",)
        return [*self.means.logged, *measured, *(f"{stage}/{name}" for stage in translating for name in OF_TEXTS)]

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (B, T, vocab_size) of the id after each of target, int64 (B, T), a translation of source, (B, S)."""
        return self.network(source, target)

    def predicted(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, vocab_size), float32, of each id of target but the first, and what they are, int64 (N,)."""
        following = target[:, 1:]
        asked = following != PAD
        return self(source, target[:, :-1])[asked].float(), following[asked]

    # --- training

    def training_step(self, batch: tuple[Tensor, Tensor, Any], batch_idx: int) -> Tensor:
        with keyed_dropout(self.network, self.step_key, batch[0], batch[1]):
            logits, ids = self.predicted(batch[0], batch[1])
        total = cross_entropy(logits, ids, reduction="sum", label_smoothing=self.label_smoothing)
        self.means.add(loss=total / max(len(ids), 1))
        self.asked.add(len(ids))
        return total

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.asked.apply(self.trainer, optimizer)

    # --- evaluation

    def validation_step(self, batch: tuple[Tensor, Tensor, Any], batch_idx: int) -> None:
        self._evaluate("val", batch)
        if self.val_bleu:
            self._compare(self.translate(batch[0], beam_width=1), batch[2])

    def test_step(self, batch: tuple[Tensor, Tensor, Any], batch_idx: int) -> dict[str, list[Hypothesis]]:
        """translations: of each text."""
        self._evaluate("test", batch)
        found = self.translate(batch[0])
        self._compare(found, batch[2])
        return {"translations": found}

    def on_validation_epoch_end(self) -> None:
        self._log("val")

    def on_test_epoch_end(self) -> None:
        self._log("test")

    def _evaluate(self, stage: str, batch: tuple[Tensor, Tensor, Any]) -> None:
        logits, ids = self.predicted(batch[0], batch[1])
        found = {"loss": cross_entropy(logits, ids), "acc": (logits.argmax(1) == ids).float().mean()}
        for name, value in found.items():
            cast(MeanMetric, self.measured[f"{stage}_{name}"]).update(value, len(ids))

    def _compare(self, found: list[Hypothesis], texts: list[str]) -> None:
        """Add translations beside those of people to BLEU, where the data can say what ids are called."""
        if decoded := offered(typed(self.trainer).datamodule, "decoded", found):
            self.bleu.update(decoded([one.ids for one in found]), [[text] for text in texts])

    def _log(self, stage: str) -> None:
        metrics = {name: cast(MeanMetric, self.measured[f"{stage}_{name}"]) for name in ("loss", "acc")}
        found = {name: metric.compute() for name, metric in metrics.items()}
        self.log_dict(
            {f"{stage}/{name}": value for name, value in {**found, "perplexity": found["loss"].exp()}.items()}
        )
        if self.bleu.update_called:
            self.log_dict({f"{stage}/{name}": value.float() for name, value in self.bleu.compute().items()})
        for metric in (*metrics.values(), self.bleu):
            metric.reset()

    # --- translating

    @torch.inference_mode()
    def translate(
        self,
        source: Tensor,
        beam_width: int | None = None,
        length_penalty: float | None = None,
        cached: bool = True,
    ) -> list[Hypothesis]:
        """The best translation that is found of each text, int64 (B, S) with END behind: ids after BEGIN.

        beam_width, length_penalty: None for the model's own. cached: False computes all anew for each id, which gives
        the same logits but for rounding.
        """
        network = cast(Any, self.network)
        memory = network.encode(source, cached)

        def step(ids: Tensor, rows: Tensor) -> Tensor:
            memory.pick(rows)
            logits = network.decode(ids[:, -1:] if cached else ids, memory)[:, -1].float()
            logits[:, :END] = -math.inf  # these stand for no part of a text
            return logits.log_softmax(1)

        longest = [min(n + LONGER, network.max_length) for n in (source != PAD).sum(1).tolist()]
        penalty = self.length_penalty if length_penalty is None else length_penalty
        first = torch.full_like(source[:, 0], BEGIN)
        return beam_search(step, first, END, longest, beam_width or self.beam_width, penalty)

    @torch.inference_mode()
    def alignment(self, source: Tensor, target: Tensor) -> Tensor:
        """How much each id of a translation looks at each of the text while it is predicted, (B, T - 1, S).

        source: int64 (B, S). target: (B, T), with BEGIN before: the first row is of the id after it.
        """
        return cast(Any, self.network).alignment(source, target[:, :-1])  # type: ignore[no-any-return]

    # --- optimization

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]
