"""What whoever a tale is of did: prompts and answers drawn from a grammar, of which the best policy is known.

All answers to a prompt are equally likely, so a policy that wants reward r at the price beta for each nat of KL is
p(y) ~ exp(r(y) / beta) (Rafailov et al. 2023, eq. 4): its reward and KL are sums over the answers that there are.
"""

from __future__ import annotations

import math

from lightloom.core.parts import part
from lightloom.core.ranges import Count, Positive, Seed, checked
from lightloom.data.contract import SPLITS
from lightloom.data.images.layout import SplitName
from lightloom.data.language.tales import deed, deeds, drawn_from, opening
from lightloom.data.preferences.answered import Answered, Part
from lightloom.ops.rewards import Reward
from lightloom.ops.rng import mix

_LABEL = -6  # in place of a choice
_LEVELS = 1 << 24


@part
class Deeds:
    """So many prompts for each part, each the first sentence of a tale; an answer is a deed after it.

    Of two answers a is preferred to b with probability sigmoid((r_a - r_b) / temperature), r their reward: so labellers
    err, most of all where it matters little (Bradley & Terry 1952). Item i of a part is a function of (seed, part, i).
    """

    @checked
    def __init__(
        self,
        reward: Reward,
        train_size: Count,
        val_size: Count,
        test_size: Count,
        temperature: Positive = 0.2,
        seed: Seed = 0,
    ) -> None:
        self.sizes, self.seed = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True)), seed
        self.reward, self.temperature = reward, temperature

    def read(self, split: SplitName, answers: int) -> Part:
        keys = [mix(self.seed, SPLITS.index(split), i) for i in range(self.sizes[split])]
        items = [self._pair(key) if answers == 2 else self._single(key) for key in keys]
        return Part(items, (self._agreement(items),) if answers == 2 and split == "train" else ())

    def _single(self, key: int) -> Answered:
        choices = drawn_from(key)
        prompt, name = opening(choices)
        answer = " " + deed(name, choices)
        return Answered(prompt, (answer,), tuple(self.reward([prompt], [answer]).tolist()))

    def _pair(self, key: int) -> Answered:
        choices = drawn_from(key)
        prompt, name = opening(choices)
        one = other = " " + deed(name, choices)
        while other == one:
            other = " " + deed(name, choices)
        a, b = self.reward([prompt] * 2, [one, other]).tolist()
        drawn = (mix(key, _LABEL) % _LEVELS + 0.5) / _LEVELS
        is_first = math.log(drawn / (1 - drawn)) < (a - b) / self.temperature
        return Answered(prompt, (one, other) if is_first else (other, one), (a, b) if is_first else (b, a))

    def _agreement(self, items: list[Answered]) -> str:
        pairs = [item.rewards for item in items if item.rewards and item.rewards[0] != item.rewards[1]]
        right = sum(one > other for one, other in pairs) / max(len(pairs), 1)
        return f"who labelled them agrees with the true reward in {right:.1%}"


def answers_to(prompt: str) -> list[str]:
    """All that may follow the first sentence of a tale, each equally likely."""
    return [f" {done}" for done in deeds(prompt.rpartition(" ")[2].rstrip("."))]
