"""Errors of the user, and how to report them: what, where, expected, remedy."""

from __future__ import annotations

import difflib
import errno
import importlib.util
import os
import re
import shlex
import traceback
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from lightloom.core.places import CLONE, PACKAGE, ROOT

_SPACE = "free some space or set paths.log_dir=<a folder on another disk>"
LIMITS = {  # by errno: of the machine, not of the program
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EMFILE: "raise the limit with ulimit -n 4096, or lower data.num_workers",
    errno.ENFILE: "close other programs, or lower data.num_workers",
    errno.EROFS: "set paths.log_dir=<a folder you may write to>",
    errno.EACCES: "give yourself the right, or name another file or folder",
    errno.EADDRINUSE: "set the environment variable MASTER_PORT to a free port, or unset it",
}
SILENT, LOST_WORKER = "DataLoader timed out", "DataLoader worker (pid"  # as torch says that loading has stopped
NO_MEMORY = "can't allocate memory"  # as torch says it on a CPU
ONE_VALUE = "Expected more than 1 value per channel when training"  # as its batch norm says it


class UserError(Exception):
    """One or several mistakes that the user can correct, a line each: what, where, expected, remedy.

    An entry point prints the lines, writes the traceback to the run's log and exits with `code`.
    """

    code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(" ".join(line.strip() for line in p.splitlines()) for p in problems))


class LostProcess(UserError):
    """A process of the run has ended or does not respond, so that the others cannot continue."""

    code = 1


class Interrupted(SystemExit):
    """A signal has ended the run; exit with 128 plus the signal's number, as shells do."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, the nearest first: whoever raised last knew best what was being done."""
    cause: BaseException | None = error
    seen: list[BaseException] = []  # one that is raised again may stand in its own chain
    while cause is not None and not any(cause is one for one in seen):
        yield cause
        seen.append(cause)
        cause = cause.__cause__


def message_of(error: BaseException) -> str | None:
    """The message for the user, or None where the fault is the program's.

    A DataLoader's worker wraps its exception's message in a traceback; Lightning says in a class of its own what it
    refuses.
    """
    return next((said for cause in causes(error) if (said := _said_by(cause))), None)


def _said_by(error: BaseException) -> str | None:
    if type(error).__name__ == "MisconfigurationException":
        return " ".join(str(error).split())
    if isinstance(error, UserError):
        return str(error).rpartition(f"{UserError.__module__}.{UserError.__qualname__}: ")[2].strip()
    return _limit_of(error)


def _limit_of(error: BaseException) -> str | None:
    """Name the exhausted or forbidden resource and the remedy; None for any other error."""
    if isinstance(error, OSError) and (number := _number_of(error)) in LIMITS:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{os.strerror(number)}; {LIMITS[number]}."
    if SILENT in str(error) or LOST_WORKER in str(error) or _is_of_a_dead_worker(error):
        return (
            "The loader's workers gave no batch: one has died, or waits, or had no room for a batch in shared memory; "
            "set data.num_workers=0, give /dev/shm more room (docker run --shm-size=8g), or raise data.worker_timeout."
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or NO_MEMORY in str(error):
        asked = re.search(r"ried to allocate ([\d.]+ \w+)", str(error))
        size = f" (asked for {asked[1]})" if asked else ""
        return f"Out of memory{size}; lower data.batch_size or the size of a sample, or use a smaller model."
    if isinstance(error, ValueError) and ONE_VALUE in str(error):
        size = f" (its input is [{found[1]}])" if (found := re.search(r"\[([\d, ]+)\]", str(error))) else ""
        return (
            f"A batch norm has one value per channel, of which it cannot learn{size}; "
            f"set a larger data.batch_size, of which each process has more than one sample, or another norm."
        )
    return None


def _is_of_a_dead_worker(error: BaseException) -> bool:
    """Was a batch to be fetched of a process that has ended since it said that it was there?"""
    frames = traceback.walk_tb(error.__traceback__)
    return isinstance(error, EOFError | OSError) and any(
        Path(frame.f_code.co_filename).name == "resource_sharer.py" for frame, _ in frames
    )


def _number_of(error: OSError) -> int:
    """Its errno; of one that a loader's worker has handed on, which has lost it, as its text says it; 0 without one."""
    said = re.search(r"\[Errno (\d+)\]", str(error)) if error.errno is None else None
    return int(said[1]) if said else error.errno or 0


def check_installed(asked: str, extra: str, *libraries: str) -> None:
    """Raise UserError where a library that an option asks for is missing. extra: lightloom's that brings it."""
    missing = [library for library in libraries if importlib.util.find_spec(library) is None]
    if missing:
        raise UserError(f"{asked} needs {', '.join(missing)}, not installed here: {install(extra)}.")


def not_there(option: str, where: str) -> UserError:
    """An option names a path at which there is nothing."""
    return UserError(f"{option}={where}: there is no such file or folder; name a file, a folder or a glob.")


def install(extra: str) -> str:
    """The command, given in the project's folder, that brings what an optional part of lightloom needs."""
    if ROOT == CLONE:
        return f'.venv/bin/uv pip install -e ".[{extra}]"'
    return f"python -m pip install {shlex.join(required(extra))}"


def required(extra: str) -> list[str]:
    """The libraries of an extra, as the installed package states them: its own name on an index may be another's."""
    stated = metadata.requires(PACKAGE.name) or []
    return [one.partition(";")[0].strip() for one in stated if re.search(rf"""extra == ['"]{extra}['"]""", one)]


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """` Did you mean a or b?` for the known words that begin with `word` or are close to it, or nothing."""
    names = {name.lower(): name for name in known}
    close = [n for n in names if word and n.startswith(word.lower())]
    close = close or difflib.get_close_matches(word.lower(), list(names), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(prefix + names[n] for n in close[:3])}?" if close else ""


def slip(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` most likely misspells, one or two letters off; None where there is none."""
    close = difflib.get_close_matches(word, [k for k in known if abs(len(k) - len(word)) <= 2], n=1, cutoff=0.85)
    return close[0] if close else None


def raise_all(problems: Iterable[str]) -> None:
    """Raise one UserError that lists each distinct problem; nothing where there is none."""
    distinct = list(dict.fromkeys(problems))
    if distinct:
        raise UserError(*distinct)
