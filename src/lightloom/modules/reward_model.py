"""A reward model: how good an answer is, learned from pairs of which one was preferred (Ouyang et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from lightloom.core.ranges import Count, checked
from lightloom.data.preferences.answered import Pairs
from lightloom.losses.preference import bradley_terry
from lightloom.modules.preference_learning import PairLearner, in_true_order, is_right
from lightloom.ops.answers import last_places
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule


class Network(Protocol):
    """A causal network. head: what it has beyond `states`, which a reward does not need."""

    head: nn.Module | None

    def states(self, ids: Tensor) -> Tensor:
        """A vector (B, T, dim) of each of ids, int64 (B, T), and those before it."""
        ...


class RewardModel(PairLearner):
    """A causal network, and a number that is linear in its state at the last id of an answer: its end, never padding.

    Batches: `Pairs`. The number is only known up to a constant, so the map to it has no bias; it begins at 0, and the
    loss at ln 2. dim: of the network's states. Measured are the share of pairs in their order (acc), and where it is
    known what answers are worth the share in that order (true_acc), which no labeller's error is in.
    """

    @checked
    def __init__(
        self,
        network: nn.Module,
        dim: Count,
        optimizer: OptimizerFactory,
        scheduler: Callable[..., Schedule] | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__(network, optimizer, scheduler, optimizer_groups)
        self.network.head = None  # type: ignore[assignment]  # an output over the vocabulary would learn nothing
        self.score = nn.Linear(dim, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """How good each answer is, float32 (B,): ids int64 (B, T) of prompt, answer and its end, then PAD."""
        states = self.network.states(ids)  # type: ignore[operator]
        last = last_places(ids)[:, None, None].expand(-1, -1, states.shape[-1])
        return self.score(states.gather(1, last))[:, 0, 0].float()  # type: ignore[no-any-return]

    def scores(self, ids: Tensor) -> Tensor:
        """Of pairs, ids int64 (B, 2, T): float32 (B, 2)."""
        return self(ids.flatten(0, 1)).view(ids.shape[:2])  # type: ignore[no-any-return]

    # --- training and evaluation

    def training_step(self, batch: Pairs, batch_idx: int) -> Tensor:
        scores = self.scores(batch.ids)
        loss = bradley_terry(scores[:, 0], scores[:, 1]).mean()
        self.means.add(loss=loss, acc=is_right(scores).mean())
        return loss

    def measures(self, batch: Pairs) -> dict[str, Tensor]:
        scores = self.scores(batch.ids)
        loss = bradley_terry(scores[:, 0], scores[:, 1])
        return {"loss": loss, "acc": is_right(scores), "true_acc": in_true_order(scores, batch.rewards)}
