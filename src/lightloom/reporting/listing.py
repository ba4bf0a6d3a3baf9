"""The runs of a folder: what they came to and what they take on the disk; which of them, compared, and without some."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lightloom.config.diff import leaves
from lightloom.config.values import format_value
from lightloom.core import lock, run_dir
from lightloom.core.errors import UserError, did_you_mean
from lightloom.core.screen import say, show_table
from lightloom.reporting import comparison, facts
from lightloom.reporting.find import runs as find
from lightloom.reporting.render import figure

OWN = ("runs", "sort", "clean", "compare", "yes")
SORTS: dict[str, Callable[[Entry], Any]] = {
    "age": lambda entry: entry.age,
    "size": lambda entry: -entry.size,
    "score": lambda entry: entry.place,
    "name": lambda entry: entry.run.name,
}
STATES = ("finished", "running", "ended")
CLEANINGS = {
    "unfinished": "whole folders of runs that ended before their end",
    "previous": "previous.ckpt of finished runs",
    "last": "last.ckpt and previous.ckpt of finished runs, which then cannot be trained for longer",
    "all": "whole folders",
}


@dataclass(frozen=True)
class Entry:
    """A run in the list. state: one of STATES. score: its best monitored metric. size: bytes. age: seconds.

    place: how many others of the same metric and data are better; 0 is the best, infinity one without a score.
    """

    run: facts.Run
    state: str
    score: float | None
    size: int
    age: float
    place: float = float("inf")


def listed(arguments: Sequence[str], log_dir: Path) -> int:
    """`runs [runs=FOLDER] [tag=..|name=..|state=..|option=pattern ...] [sort=..] [compare=true] [clean=.. yes=true]`"""
    given = _given(arguments)
    where = given.get("runs") or str(log_dir / "runs")
    if "runs" not in given and not (log_dir / "runs").is_dir():
        say(f"No run yet in {log_dir / 'runs'}.")
        return 0
    entries = ranked([entry(folder) for folder in find(where.strip("[]").split(","), str(log_dir))])
    kept = [one for one in entries if all(fits(one, k, v) for k, v in given.items() if k not in OWN)]
    kept.sort(key=SORTS[_one_of("sort", given.get("sort", "age"), SORTS)])
    if not kept:
        say(f"None of {len(entries)} runs in {where} is as asked: {' '.join(arguments)}.")
    elif given.get("compare") == "true":
        _compare([one.run for one in kept])
    elif "clean" in given:
        clean(kept, _one_of("clean", given["clean"], CLEANINGS), given.get("yes") == "true")
    else:
        show(kept)
    return 0


def _given(arguments: Sequence[str]) -> dict[str, str]:
    pairs = [argument.partition("=") for argument in arguments]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise UserError(f"{key}{equals}: write option=pattern, such as data.name=digits, tag=first or clean=last.")
    return {key: value.strip("'\"") for key, _, value in pairs}


def _one_of(key: str, value: str, known: Iterable[str]) -> str:
    if value not in (names := list(known)):
        raise UserError(f"{key}={value}: it is one of {', '.join(names)}.{did_you_mean(value, names)}")
    return value


def entry(folder: Path) -> Entry:
    """What a run's folder says, read without torch."""
    run = facts.read(folder)
    state = "finished" if run.finished else "running" if lock.is_taken(folder) else "ended"
    best = run.best()
    score = run.results.get(f"best {run.monitor}", best[0] if best else None)
    newest = max((path.stat().st_mtime for path in (folder, folder / run_dir.CONFIG)), default=0.0)
    return Entry(run, state, score, size(folder), time.time() - newest)


def size(folder: Path) -> int:
    """Bytes on the disk; a file with several names counts once."""
    found = {(s.st_dev, s.st_ino): s.st_size for path in folder.rglob("*") if (s := path.lstat()) and path.is_file()}
    return sum(found.values())


def ranked(entries: Sequence[Entry]) -> list[Entry]:
    """Each with its place among the runs that monitor the same metric on the same data."""
    made = []
    for one in entries:
        mode = (one.run.config.get("monitor") or {}).get("mode")
        rivals = [o.score for o in entries if (o.run.monitor, o.run.data_name) == (one.run.monitor, one.run.data_name)]
        scores = [s for s in rivals if s is not None and one.score is not None]
        better = [s for s in scores if (s > one.score if mode == "max" else s < one.score)]  # type: ignore[operator]
        place = float(len(better)) if one.score is not None else float("inf")
        made.append(Entry(one.run, one.state, one.score, one.size, one.age, place))
    return made


def fits(one: Entry, key: str, pattern: str) -> bool:
    """Is the run as `key=pattern` says? tag, name, state, or an option of its config.yaml; * stands for anything."""
    values = {"tag": one.run.tags, "name": [one.run.name, one.run.folder.name], "state": [one.state]}.get(key)
    if values is None:
        config = leaves(one.run.config)
        values = [format_value(config[key])] if key in config else []
    return any(fnmatchcase(value, pattern) for value in values)


def show(entries: Sequence[Entry]) -> None:
    """A table, and what all of them take."""
    rows = [
        (
            one.run.where,
            one.state,
            " ".join(one.run.tags),
            f"{one.run.monitor} {figure(one.score)}" if one.score is not None else "",
            "best" if one.place == 0 else "",
            megabytes(one.size),
            _age(one.age),
        )
        for one in entries
    ]
    show_table(("run", "state", "tags", "best", "", "disk", "age"), rows, left=4)
    say(f"{len(entries)} runs, {megabytes(sum(one.size for one in entries))}")


def _compare(runs: Sequence[facts.Run]) -> None:
    compared = comparison.rows(runs, Path.cwd())[1]
    comparison.show(comparison.groups(compared), len(runs))


def clean(entries: Sequence[Entry], what: str, sure: bool) -> None:
    """Delete what `what` says, after asking. The best run of a metric and data set is kept, and so is one that runs."""
    spared = [one for one in entries if one.place == 0 and what in ("all", "unfinished")]
    doomed = [path for one in entries if one not in spared for path in _doomed(one, what)]
    if not doomed:
        say(f"clean={what} ({CLEANINGS[what]}): there is nothing to delete.")
        return
    for path in doomed:
        say(f"  {megabytes(_bytes(path))}  {path}")
    kept = f" Kept: {', '.join(one.run.where for one in spared)}, the best." if spared else ""
    say(f"clean={what}: {len(doomed)} of these, {megabytes(sum(map(_bytes, doomed)))}.{kept}")
    if not sure and not _agreed():
        say("Nothing is deleted; say yes=true to do so.")
        return
    for path in doomed:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    say(f"Deleted. Free now: {megabytes(shutil.disk_usage(doomed[0].parents[1]).free)}")


def _doomed(one: Entry, what: str) -> Iterator[Path]:
    if one.state == "running":
        return
    if what == "all" or (what == "unfinished" and one.state == "ended"):
        yield one.run.folder
    names = {"previous": (run_dir.PREVIOUS,), "last": (run_dir.PREVIOUS, run_dir.LAST)}.get(what, ())
    checkpoints = one.run.folder / run_dir.CHECKPOINTS
    if one.state == "finished" and (checkpoints / run_dir.BEST).is_file():
        yield from (checkpoints / name for name in names if (checkpoints / name).is_file())


def _bytes(path: Path) -> int:
    """What its deletion frees: of a file that has another name nothing."""
    return size(path) if path.is_dir() else path.stat().st_size * (path.stat().st_nlink == 1)


def _agreed() -> bool:
    return sys.stdin.isatty() and input("Delete them? [y/N] ").strip().lower() in ("y", "yes")


def megabytes(count: int) -> str:
    """`12.3 MB`, `4.56 GB`."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "now"
