"""Direct preference optimization: a policy learned from pairs, without a reward model (Rafailov et al. 2023)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lightloom.core.ranges import Positive, checked
from lightloom.data.preferences.answered import Pairs
from lightloom.losses.preference import dpo, implicit_rewards
from lightloom.modules.language_model import written
from lightloom.modules.preference_learning import PairLearner, in_true_order, is_right
from lightloom.ops.answers import log_probabilities
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule


class DPO(PairLearner):
    """A language model that comes to prefer what was preferred, and a frozen one, as it was when training began.

    Batches: `Pairs`. beta: the price of a nat of KL to the reference; the smaller, the farther the policy goes. Both
    networks are without dropout, which would be noise in the ratio of the two. Measured are the loss, the share of
    pairs whose implicit rewards are in their order (acc) or that of what answers are worth (true_acc), and the mean
    reward of chosen and of rejected answers: both may fall, for only their difference is learned.
    """

    figures: ClassVar[tuple[str, ...]] = (*PairLearner.figures, "chosen", "rejected")
    begins_with: ClassVar[str] = "ckpt_path=<run of model=sft> weights_only_init=network"

    @checked
    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory,
        beta: Positive = 0.1,
        scheduler: Callable[..., Schedule] | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__(network, optimizer, scheduler, optimizer_groups)
        self.reference = copy.deepcopy(network).requires_grad_(False)
        self.beta, self.begun = beta, False

    def forward(self, ids: Tensor) -> Tensor:
        """The policy's logits (B, T, vocab_size) of the id after each of ids, int64 (B, T)."""
        return self.network(ids)  # type: ignore[no-any-return]

    def write(self, prompts: Tensor, uniforms: Tensor, **how: Any) -> Iterator[Tensor]:
        """What the policy says after prompts, int64 (B, P): ids (B,) at a time. See `language_model.written`."""
        return written(self.network, prompts, uniforms, **how)

    # --- the reference

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A run that goes on has its reference."""
        self.begun = True

    def on_fit_start(self) -> None:
        if not self.begun:
            self.reference.load_state_dict(self.network.state_dict())
            self.begun = True

    def train(self, mode: bool = True) -> Self:
        """Both networks stay as in evaluation."""
        super().train(mode)
        self.network.eval()
        self.reference.eval()
        return self

    # --- training and evaluation

    def training_step(self, batch: Pairs, batch_idx: int) -> Tensor:
        policy, reference = self._log_probabilities(batch)
        loss = dpo(policy, reference, self.beta).mean()
        self.means.add(loss=loss, acc=is_right(policy - reference).mean())
        return loss

    def measures(self, batch: Pairs) -> dict[str, Tensor]:
        policy, reference = self._log_probabilities(batch)
        rewards = implicit_rewards(policy, reference, self.beta)
        found = {"loss": dpo(policy, reference, self.beta), "acc": is_right(rewards)}
        chosen, rejected = rewards.unbind(1)
        return found | {"true_acc": in_true_order(rewards, batch.rewards), "chosen": chosen, "rejected": rejected}

    def _log_probabilities(self, batch: Pairs) -> tuple[Tensor, Tensor]:
        """Of the answers of pairs by the policy and by the reference, (B, 2) each."""
        with torch.no_grad():
            reference = log_probabilities(self.reference, batch.ids, batch.starts[:, None])
        return log_probabilities(self.network, batch.ids, batch.starts[:, None]), reference
