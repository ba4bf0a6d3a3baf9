"""Proximal policy optimization: one loop for environments and for language.

Schulman et al. 2017, Proximal Policy Optimization Algorithms, Algorithm 1; with a penalty for what a policy becomes
apart from a reference, Ziegler et al. 2019, Fine-Tuning Language Models from Human Preferences, section 2.2.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import pytorch_lightning as pl
import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, NotNegative, Positive, Share, checked
from lightloom.modules.freezing import freezing
from lightloom.modules.manual_optimization import descend, player
from lightloom.modules.optimization import total_steps
from lightloom.modules.training_means import TrainingMeans
from lightloom.ops.policy import (
    adapted,
    advantages,
    clipped_surrogate,
    clipped_value_loss,
    entropy,
    k1,
    log_likelihoods,
    mean_of,
    whitened,
)
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

REMEDY = "lower model.optimizer.lr, model.epochs or model.clip"
Clip = Annotated[float, Gt(0), Lt(1)]


@dataclass(frozen=True)
class Episodes:
    """Rows of T places for steps.

    seen: what networks read, (B, ...). actions: int64 (B, T). rewards: float (B, T). taken: bool (B, T), where the
    steps of an episode stand, side by side. cut: bool (B,), was it ended from outside? measured: of each, (B,); `score`
    is what it came to.
    """

    seen: Tensor
    actions: Tensor
    rewards: Tensor
    taken: Tensor
    cut: Tensor
    measured: Mapping[str, Tensor]

    def cpu(self) -> Episodes:
        """The same in the memory of the processor."""
        columns = {name: values.cpu() for name, values in vars(self).items() if isinstance(values, Tensor)}
        return Episodes(**columns, measured={name: values.cpu() for name, values in self.measured.items()})

    def parts(self, count: int) -> list[Episodes]:
        """The episodes in so many parts, or one for each where there are fewer."""
        count = min(count, len(self.taken))
        columns = (vars(self)[name].tensor_split(count) for name in ("seen", "actions", "rewards", "taken", "cut"))
        told = {name: values.tensor_split(count) for name, values in self.measured.items()}
        of_each = ({name: values[i] for name, values in told.items()} for i in range(count))
        return [Episodes(*part) for part in zip(*columns, of_each, strict=True)]


@dataclass(frozen=True)
class Judged:
    """Episodes as the policy that played them sees them; (B, T) each. log_p: of the actions. apart: their ln p less
    that of the reference, 0 without one. returns: what values are to become.
    """

    episodes: Episodes
    log_p: Tensor
    apart: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


class PPO(pl.LightningModule):
    """A batch is an iteration: episodes are played, then come `epochs` x `minibatches` steps of one optimizer.

    network: to logits of actions. critic: to values. What both read, and how episodes are played, is a subclass's.
    Networks always evaluate, for with dropout the ratio of a policy to itself would not be 1. discount, decay: gamma
    and lambda of `advantages`, which are whitened in each minibatch. clip, value_clip, value_weight, entropy_weight:
    see `lightloom.ops.policy`. kl_weight: beta, of the divergence from the weights of the beginning, which is taken
    from the rewards step by step; null keeps no reference. kl_target: nats of an episode to which beta adapts itself.
    The scheduler takes a step for each iteration, and `global_step` counts them.
    """

    better: ClassVar[dict[str, str]] = {"score": "max", "objective": "max"}
    plays: ClassVar[tuple[str, ...]] = ("score", "steps", "kl", "objective")

    @checked
    def __init__(
        self,
        network: nn.Module,
        critic: nn.Module,
        optimizer: OptimizerFactory,
        scheduler: Callable[..., Schedule] | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
        discount: Share = 0.99,
        decay: Share = 0.95,
        clip: Clip = 0.2,
        value_clip: Positive | None = None,
        value_weight: NotNegative = 0.5,
        entropy_weight: NotNegative = 0.0,
        kl_weight: NotNegative | None = None,
        kl_target: Positive | None = None,
        epochs: Count = 4,
        minibatches: Count = 4,
        gradient_clip_val: Positive | None = 0.5,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        if kl_target is not None and not kl_weight:
            raise UserError(
                f"model.kl_target={kl_target} adapts model.kl_weight, which is {kl_weight}; set it above 0."
            )
        self.network, self.critic = network, critic
        self.optimizer, self.scheduler = optimizer, scheduler
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.discount, self.decay, self.clip, self.value_clip = discount, decay, clip, value_clip
        self.value_weight, self.entropy_weight, self.kl_target = value_weight, entropy_weight, kl_target
        self.epochs, self.minibatches, self.gradient_clip_val = epochs, minibatches, gradient_clip_val
        self.reference = None if kl_weight is None else copy.deepcopy(network).requires_grad_(False)
        self.kl_weight: Tensor
        self.register_buffer("kl_weight", torch.tensor(kl_weight or 0.0))
        self.begun: Tensor
        self.register_buffer("begun", torch.tensor(False))
        self.means = TrainingMeans(*self.measured, remedy=REMEDY)
        self.train()

    @property
    def played(self) -> tuple[str, ...]:
        """What is measured of episodes."""
        return self.plays if self.reference is not None else self.plays[:2]

    @property
    def measured(self) -> list[str]:
        """What training measures. first_log_ratio: of the first minibatch the largest |ln r|, which is 0."""
        weight = ["kl_weight"] if self.reference is not None else []
        steps = ["loss", "value_loss", "entropy", "clipped", "first_log_ratio", "policy_grad_norm"]
        return [*self.played, *weight, *steps]

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        return [*self.means.logged, *(f"{stage}/{name}" for stage in ("val", "test") for name in self.played)]

    # --- what a subclass says

    def play(self, *batch: Tensor) -> Episodes:
        """Episodes of the policy as it is; a function of what the batch holds, whatever is beside it."""
        raise NotImplementedError

    def logits(self, network: nn.Module, episodes: Episodes) -> Tensor:
        """Finite logits (B, T, A) of each step's actions by a network, the policy's or the reference."""
        raise NotImplementedError

    def values(self, episodes: Episodes) -> Tensor:
        """(B, T + 1): of what is before each step, and after the last."""
        raise NotImplementedError

    # --- an iteration

    def train(self, mode: bool = True) -> PPO:
        """The networks stay in evaluation mode."""
        super().train(mode)
        for network in self.children():
            network.eval()
        return self

    def on_train_start(self) -> None:
        """The reference has the weights with which the run begins, whoever gave them."""
        if not self.begun and self.reference is not None:
            self.reference.load_state_dict(self.network.state_dict())

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        with torch.no_grad():
            parts = [self.judged(part) for part in self.play(*batch).parts(self.minibatches)]
        optimizer, last = self.optimizers(), self.epochs * len(parts) - 1
        for i in range(last + 1):
            loss = partial(self.loss, parts[i % len(parts)], is_first=i == 0)
            descend(self, optimizer, loss, counts=i == last)  # type: ignore[arg-type]
        self._measure(parts)
        if (schedule := self.lr_schedulers()) is not None:
            schedule.step()  # type: ignore[union-attr, call-arg]
        self.begun.fill_(True)

    def judged(self, episodes: Episodes) -> Judged:
        """By a minibatch's own shape, for sums of another may be rounded otherwise: the first ratio is 1 to the bit."""
        log_p, values = self.log_p(self.network, episodes), self.values(episodes)
        apart = self.apart(episodes, log_p)
        rewards = episodes.rewards - self.kl_weight * apart
        found = advantages(rewards, values, episodes.taken, episodes.cut, self.discount, self.decay)
        return Judged(episodes, log_p, apart, values[:, :-1], found, found + values[:, :-1])

    def log_p(self, network: nn.Module, episodes: Episodes) -> Tensor:
        """ln p of each action, (B, T)."""
        return log_likelihoods(self.logits(network, episodes), episodes.actions)

    def apart(self, episodes: Episodes, log_p: Tensor) -> Tensor:
        """How much likelier each action is than by the reference, in nats, (B, T); 0 without one."""
        if self.reference is None:
            return torch.zeros_like(log_p)
        return k1(log_p, self.log_p(self.reference, episodes)) * episodes.taken

    def loss(self, judged: Judged, is_first: bool = False) -> Tensor:
        """Schulman et al. 2017, eq. 9."""
        episodes, taken = judged.episodes, judged.episodes.taken
        logits = self.logits(self.network, episodes)
        log_ratio = torch.where(taken, log_likelihoods(logits, episodes.actions) - judged.log_p, 0.0)
        surrogate = clipped_surrogate(log_ratio, whitened(judged.advantages, taken), self.clip)
        values = self.values(episodes)[:, :-1]
        value_loss = mean_of(clipped_value_loss(values, judged.values, judged.returns, self.value_clip), taken)
        spread = mean_of(entropy(logits), taken)
        loss = mean_of(surrogate, taken) + self.value_weight * value_loss - self.entropy_weight * spread
        clipped = mean_of(((log_ratio.exp() - 1).abs() > self.clip).float(), taken)
        self.means.add(loss=loss, value_loss=value_loss, entropy=spread, clipped=clipped)
        if is_first:
            self.means.add(first_log_ratio=log_ratio.abs().max())
        return loss

    def _measure(self, parts: Sequence[Judged]) -> None:
        """Add what the iteration's episodes came to, and adapt the weight of the divergence to it."""
        found = [self.measures(part.episodes, part.apart) for part in parts]
        everywhere = torch.ones(sum(map(len, (part.log_p for part in parts))), 1, dtype=torch.bool, device=self.device)
        means = {name: mean_of(torch.cat([of[name] for of in found])[:, None], everywhere) for name in found[0]}
        self.means.add(**means)
        if self.reference is not None:
            self.means.add(kl_weight=self.kl_weight)
        if self.kl_target is not None:
            self.kl_weight.copy_(adapted(self.kl_weight, means["kl"], self.kl_target))

    def measures(self, episodes: Episodes, apart: Tensor) -> dict[str, Tensor]:
        """What each episode came to, (B,); the objective is the sum of its rewards less that of the divergence."""
        kl = apart.sum(1)
        objective = (episodes.rewards * episodes.taken).sum(1) - self.kl_weight * kl
        found = {"steps": episodes.taken.sum(1).float(), "kl": kl, "objective": objective, **episodes.measured}
        return {name: found[name] for name in self.played if name in found}

    # --- evaluation and optimization

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        self._evaluate("test", batch)

    def _evaluate(self, stage: str, batch: Sequence[Tensor]) -> None:
        episodes = self.play(*batch)
        found = self.measures(episodes, self.apart(episodes, self.log_p(self.network, episodes)))
        means = {f"{stage}/{name}": values.mean() for name, values in found.items()}
        self.log_dict(means, on_step=False, on_epoch=True, batch_size=len(episodes.cut), sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimizer = player(self, "policy", self.optimizer, self)
        if self.scheduler is None:
            return optimizer
        schedule = self.scheduler(optimizer, total_steps=total_steps(self.trainer))
        if "monitor" in schedule:
            raise UserError("model.scheduler=plateau waits for a metric, which PPO does not; choose scheduler=cosine.")
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]
