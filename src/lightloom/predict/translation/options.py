"""What predict.py asks of translators alone; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass

from lightloom.core.ranges import Count, NotNegative


@dataclass(frozen=True)
class Options:
    """beam_width: texts that are followed while one is written; 1 takes the likeliest id at each step, None is the
    model's own. length_penalty: 0 prefers short texts; None is the model's own. encoding: of files.
    """

    beam_width: Count | None
    length_penalty: NotNegative | None
    encoding: str
