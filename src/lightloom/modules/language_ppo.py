"""Proximal policy optimization of what a language model answers (Ziegler et al. 2019; Ouyang et al. 2022)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, NotNegative, Positive
from lightloom.data.preferences.ending import ended
from lightloom.data.preferences.prompts import NO_END, PromptsDataModule
from lightloom.modules.language_model import written
from lightloom.modules.ppo import PPO, Episodes
from lightloom.networks.transformer.values import Values
from lightloom.ops.drawing import drawn
from lightloom.ops.policy import TINY, mean_of
from lightloom.ops.rewards import Reward
from lightloom.ops.rng import uniforms
from lightloom.ops.typed_trainer import typed

NEVER = -1e9  # a logit of what is not drawn, finite


class LanguagePPO(PPO):
    """network: a causal one, whose weights a run begins with; a frozen copy of them is the reference.

    Batches: prompts as ids int64 (B, P) with PAD after each, where their answers begin, int64 (B,), and keys, int64
    (B,). An answer is an episode, an id of it a step; ln p is always that of the whole text by one forward, at the
    temperature at which it was drawn. reward: of texts; or a module of ids, which is frozen. It counts at an answer's
    last id, less the mean and over the deviation that the first iteration's answers had, which are the reference's.
    unended: what an answer of answer_length ids costs that had no end. trunk: own, the values come from a copy of the
    network that learns apart; shared, from the policy's own states, which the values then move too.
    """

    better: ClassVar[dict[str, str]] = {**PPO.better, "true_score": "max"}
    begins_with: ClassVar[str] = "ckpt_path=<run of model=sft> weights_only_init=network"
    plays: ClassVar[tuple[str, ...]] = (*PPO.plays, "true_score", "ended", "distinct_2")
    center: Tensor
    spread: Tensor

    def __init__(
        self,
        network: nn.Module,
        reward: Reward | nn.Module,
        dim: Count,
        answer_length: Count = 64,
        temperature: Positive = 1.0,
        trunk: Literal["own", "shared"] = "own",
        unended: NotNegative = 0.0,
        **options: Any,
    ) -> None:
        critic = Values(dim, copy.deepcopy(network) if trunk == "own" else None)
        super().__init__(network, critic, **options)
        self.reward = reward.requires_grad_(False) if isinstance(reward, nn.Module) else reward
        self.answer_length, self.temperature, self.unended = answer_length, temperature, unended
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        self.train()

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, vocab_size) of the id after each of ids, int64 (B, T)."""
        return self.network(ids)  # type: ignore[no-any-return]

    def write(self, prompts: Tensor, uniforms: Tensor, **how: Any) -> Iterator[Tensor]:
        """What the policy says after prompts, int64 (B, P): ids (B,) at a time. See `language_model.written`."""
        return written(self.network, prompts, uniforms, **how)

    @property
    def data(self) -> PromptsDataModule:
        return typed(self.trainer).datamodule  # type: ignore[return-value]

    def on_fit_start(self) -> None:
        """Raise UserError where a learned reward numbers words otherwise."""
        known = getattr(self.reward, "vocabulary", None)
        if known is not None and known != self.data.vocabulary:
            raise UserError(
                "model.reward.checkpoint has another vocabulary than the policy; train both from one language model."
            )

    def on_train_start(self) -> None:
        super().on_train_start()
        if not self.begun and self.critic.trunk is not None:
            self.critic.trunk.load_state_dict(self.network.state_dict(), strict=False)  # type: ignore[union-attr, operator]

    # --- what the loop asks

    @torch.no_grad()
    def play(self, prompts: Tensor, starts: Tensor, keys: Tensor) -> Episodes:  # type: ignore[override]
        ids = self.answered(prompts, starts, keys)
        places = torch.arange(1, ids.shape[1], device=ids.device)
        taken = (places >= starts[:, None]) & (ids[:, 1:] != 0)
        has_end = (ids == self.data.end_id)[:, 1:].logical_and(taken).any(1)
        measured = self.judgement(ids, starts)
        if self.training and not self.begun:
            self._whiten(measured["score"])
        lacks_end = ~has_end & (self.data.end_id != NO_END)
        worth = (measured["score"] - self.center) / self.spread - self.unended * lacks_end
        last = taken & ~torch.cat([taken[:, 1:], torch.zeros_like(taken[:, :1])], 1)
        return Episodes(
            seen=ids,
            actions=ids[:, 1:],
            rewards=worth[:, None] * last,
            taken=taken,
            cut=torch.zeros_like(has_end),
            measured={**measured, "ended": has_end.float()},
        )

    def logits(self, network: nn.Module, episodes: Episodes) -> Tensor:
        found = network(episodes.seen[:, :-1]).float() / self.temperature
        found[..., : self.data.reserved] = NEVER
        return found  # type: ignore[no-any-return]

    def values(self, episodes: Episodes) -> Tensor:
        return self.critic(episodes.seen, self.network).float()  # type: ignore[no-any-return]

    # --- answers

    def answered(self, prompts: Tensor, starts: Tensor, keys: Tensor) -> Tensor:
        """ids int64 (B, T): prompts, their answers, and PAD. Id t of an answer hangs on the t-th number of its key."""
        block, most = self.network.block_size, prompts.shape[1] + self.answer_length
        if most > block:  # type: ignore[operator]
            raise UserError(
                f"A prompt of {prompts.shape[1]} ids and model.answer_length={self.answer_length} are more than the "
                f"data.block_size={block} that the model sees at once; set a smaller answer_length."
            )
        draws = uniforms(keys, self.answer_length)
        end, reserved = self.data.end_id, self.data.reserved
        with torch.inference_mode():
            ids = answers_after(self.network, prompts, starts, draws, end, self.temperature, reserved)
        return ids.clone()

    def judgement(self, ids: Tensor, starts: Tensor) -> dict[str, Tensor]:
        """What each answer is worth, (B,); where that is learned, by the true reward too if the data knows it."""
        tokens, end = self.data.tokens, self.data.end_id
        rows = list(zip(ids.tolist(), starts.tolist(), strict=True))
        said = [ended([i for i in row[start:] if i], end) for row, start in rows]
        texts = [tokens.decode(row[:start]) for row, start in rows], [tokens.decode(answer) for answer in said]
        found: dict[str, Any] = {"distinct_2": torch.tensor([distinct(answer) for answer in said])}
        if isinstance(self.reward, nn.Module):
            found["score"] = self.reward(ids)
            if self.data.reward is not None:
                found["true_score"] = self.data.reward(*texts)
        else:
            found["score"] = self.reward(*texts)
        return {name: values.to(ids.device).float() for name, values in found.items()}

    def _whiten(self, scores: Tensor) -> None:
        """Take the reward's scale from the first answers, of all processes."""
        every = torch.ones_like(scores, dtype=torch.bool)
        self.center.copy_(mean_of(scores, every))
        deviation = mean_of((scores - self.center).square(), every).sqrt()
        self.spread.copy_(torch.where(deviation > TINY, deviation, torch.ones_like(deviation)))


def answers_after(
    network: Any, prompts: Tensor, starts: Tensor, draws: Tensor, end: int, temperature: float = 1.0, reserved: int = 0
) -> Tensor:
    """ids int64 (B, T): prompts, int64 (B, P) with PAD from `starts`, int64 (B,), on, answers of at most N ids, their
    end, and PAD. draws: in [0, 1), (B, N), by which ids are drawn. Longer prompts go on being read while shorter ones
    are answered already.
    """
    count = draws.shape[1]
    ids, cache, read = pad(prompts, (0, count)), network.empty_cache(), 0
    is_open = torch.ones_like(starts, dtype=torch.bool)
    for place in range(int(starts.min()), ids.shape[1]):
        logits = network(ids[:, read:place], cache)[:, -1].float()
        logits[:, :reserved] = -torch.inf
        step = place - starts
        chosen = drawn(logits, draws.gather(1, step.clamp(0, count - 1)[:, None])[:, 0], temperature)
        answers = is_open & (step >= 0) & (step < count)
        ids[:, place] = torch.where(answers, chosen, ids[:, place])
        is_open = is_open & ~(answers & (chosen == end)) & (step < count - 1)
        read = place
        if not is_open.any():
            return ids[:, : place + 1]
    return ids


def distinct(ids: list[int], size: int = 2) -> float:
    """How many runs of `size` ids are different, as a share of all; of short ones 1.  Li et al. 2016, distinct-n."""
    runs = list(zip(*(ids[i:] for i in range(size)), strict=False))
    return len({*runs}) / len(runs) if runs else 1.0
