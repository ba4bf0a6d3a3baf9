"""Options that are documented, several beside each other, drawn at random: a run of three steps, or one line."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attacks.watch import Baits, Case

from lightloom.core.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
import pairs

QUICK = 6
HERE = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen"})  # they meet; git


def outcome(row: tuple[str, ...]) -> str:
    """`ran`; UserError with the line that refuses it."""
    with tempfile.TemporaryDirectory() as folder:
        said = pairs.outcome(row, Path(folder))
    if said != "ran":
        raise UserError(said)
    return said


def several(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Of each option a value, as it is by default or another."""
    pairs.without_inductor(setattr)
    for _ in range(count):
        rng = random.Random(chance.random())
        row = tuple(rng.choice(values) if rng.random() < 0.6 else values[0] for values in pairs.factors().values())
        yield Case(" ".join(filter(None, row)), lambda row=row: outcome(row), allowed=HERE)


KINDS = {"options beside each other": several}
