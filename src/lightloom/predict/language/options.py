"""What predict.py asks of language models alone; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass

from lightloom.core.ranges import Count, NotNegative


@dataclass(frozen=True)
class Options:
    """num_tokens: of each text, after the prompt. temperature: that logits are divided by, 0 takes the likeliest.
    top_k: of the so many likeliest ids only. against: another checkpoint, which answers too. best_of: of so many
    answers that with the highest reward. scored_by: vowels, length, or a checkpoint of a reward model.
    """

    num_tokens: Count
    temperature: NotNegative
    top_k: Count | None
    against: str | None
    best_of: Count | None
    scored_by: str | None
