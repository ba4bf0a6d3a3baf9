"""Write a data set as tar files with an index: python tools/make_shards.py data=digits out=data/digits_shards.

Tar files of images that another program wrote are left where they are, and get an index: index=<folder> [classes=a,b].

out: a new folder. samples, megabytes: of a shard, at most (10000, 256). All other options are those of data=, as in
inspect_data.py. The images of folders are taken as they are, others are written as PNG. docs/your-data.md says more.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lightloom.cli.launch import command
from lightloom.config import compose
from lightloom.core.errors import UserError
from lightloom.core.screen import say

OPTIONS = {"out": "", "samples": "10000", "megabytes": "256", "index": "", "classes": ""}


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    given = {**OPTIONS, **dict(one.split("=", 1) for one in arguments if one.partition("=")[0] in OPTIONS)}
    overrides = [one for one in arguments if one.partition("=")[0] not in OPTIONS]
    if given["index"]:
        return _index(Path(given["index"]), [name for name in given["classes"].split(",") if name], overrides)
    if not given["out"]:
        raise UserError("say where the shards go: out=<a new folder>.")
    samples, size = (_count(name, given[name]) for name in ("samples", "megabytes"))
    from lightloom.data.shards.conversion import convert
    from lightloom.engine.recognised import settle_data
    from lightloom.predict.inspection import read

    overrides = settle_data(compose.check("inspect_data", list(overrides)), "inspect_data")
    cfg = compose.without_hydra(compose.compose("inspect_data", overrides))
    say(convert(read(cfg), Path(given["out"]), samples, size * 1_000_000))
    return 0


def _index(folder: Path, classes: Sequence[str], others: Sequence[str]) -> int:
    if others:
        raise UserError(f"{others[0]}: index= takes nothing but classes=.")
    from lightloom.data.images.shards import CHOICE, index_others

    counts = ", ".join(f"{name} {count:,}" for name, count in index_others(folder, classes).items())
    say(f"{folder}: {counts}. Read them with data={CHOICE} data.root={folder}")
    return 0


def _count(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"{name}={value}: expected a whole number of at least 1.")
    return int(value)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv[1:]}:
        say(__doc__)
    else:
        command(main, "inspect_data")
