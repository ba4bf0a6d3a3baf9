"""A language model: the distribution of each token given those before it, learned from a text and drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric

from lightloom.core.ranges import checked
from lightloom.data.contract import offered
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.training_means import TrainingMeans
from lightloom.ops.answers import IGNORE, nats_of
from lightloom.ops.drawing import drawn
from lightloom.ops.typed_trainer import typed
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

MEASURES = ("loss", "perplexity", "bits_per_character")


class Network(Protocol):
    """Ids int64 (B, T), T at most block_size, to logits (B, T, vocab_size) of the id after each."""

    block_size: int

    def empty_cache(self) -> Any:
        """What `forward` remembers ids by, so that it is given the new ones only."""
        ...


class LanguageModel(pl.LightningModule):
    """A network from ids to logits of the id after each, and its cross-entropy in nats per id.

    Batches: ids int64 (B, T), and the id after each, (B, T), -100 where none is asked for. An evaluation is the mean
    over all ids of a text together; bits_per_character is of data that says how many characters its ids have.
    """

    better: ClassVar[dict[str, str]] = dict.fromkeys(MEASURES, "min")

    @checked
    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory,
        scheduler: Callable[..., Schedule] | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        self.network, self.optimizer, self.scheduler = network, optimizer, scheduler
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.losses = nn.ModuleDict({stage: MeanMetric() for stage in ("val", "test")})
        self.characters = nn.ModuleDict({stage: MeanMetric() for stage in ("val", "test")})  # of an id
        self.means = TrainingMeans("loss")

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        return [*self.means.logged, *(f"{stage}/{name}" for stage in ("val", "test") for name in MEASURES)]

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, vocab_size) of the id after each of ids, int64 (B, T)."""
        return self.network(ids)

    def nats(self, ids: Tensor, targets: Tensor) -> Tensor:
        """-ln p of each id that is asked for, float32 (N,), in their order."""
        return nats_of(self(ids), targets)

    # --- training and evaluation

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        ids, targets = batch
        loss = cross_entropy(self(ids).flatten(0, 1), targets.flatten())
        self.means.add(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate("test", batch)

    def on_validation_epoch_end(self) -> None:
        self._log("val")

    def on_test_epoch_end(self) -> None:
        self._log("test")

    def _evaluate(self, stage: str, batch: tuple[Tensor, Tensor]) -> None:
        ids, targets = batch
        found, asked = self.nats(ids, targets), targets[targets != IGNORE]
        self.losses[stage].update(found.mean(), len(found))  # type: ignore[operator]
        if characters := offered(typed(self.trainer).datamodule, "characters_of_ids"):
            each = characters().to(asked.device)[asked]
            self.characters[stage].update(each.float().mean(), len(each))  # type: ignore[operator]

    def _log(self, stage: str) -> None:
        loss, characters = (self._mean(kept[stage]) for kept in (self.losses, self.characters))
        self.log_dict({f"{stage}/loss": loss, f"{stage}/perplexity": loss.exp()})
        if characters > 0:
            self.log(f"{stage}/bits_per_character", loss / math.log(2) / characters)

    def _mean(self, kept: nn.Module) -> Tensor:
        """What a metric has gathered, which begins anew; 0 where it has nothing."""
        metric = cast(MeanMetric, kept)
        value = metric.compute() if metric.update_called else torch.zeros((), device=self.device)
        metric.reset()
        return value

    # --- writing

    def write(self, prompts: Tensor, uniforms: Tensor, **how: Any) -> Iterator[Tensor]:
        """What comes after prompts, int64 (B, P): ids (B,) at a time. uniforms, how: see `written`."""
        return written(self.network, prompts, uniforms, **how)

    # --- optimization

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]


@torch.inference_mode()
def written(
    network: Any,
    prompts: Tensor,
    uniforms: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    reserved: int = 0,
    cached: bool = True,
) -> Iterator[Tensor]:
    """As many ids after each of prompts, int64 (B, P), as uniforms (B, N), in [0, 1), has columns: (B,) at a time.

    network: a `Network`. temperature, top_k: see `drawn`. reserved: the first so many ids are never drawn.
    cached: False computes all anew for each id, which gives the same logits but for rounding. The model sees the last
    ids, and where they have become more than block_size, the newer half of them, so that most of what is cached can be
    used.
    """
    ids, cache = prompts, network.empty_cache()
    first = new = max(ids.shape[1] - network.block_size, 0)
    for column in uniforms.unbind(1):
        if ids.shape[1] - first > network.block_size:
            first = new = ids.shape[1] - network.block_size // 2
            cache = network.empty_cache()
        if not cached:
            new, cache = first, None
        logits = network(ids[:, new:], cache)[:, -1].float()
        logits[:, :reserved] = -math.inf
        chosen = drawn(logits, column, temperature, top_k)
        new, ids = ids.shape[1], torch.cat([ids, chosen[:, None]], 1)
        yield chosen
