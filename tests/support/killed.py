"""A command that is killed at one of its writes, within this process, and what it has written by then.

Writes are seen by the interpreter's audit events, so a new file of a run joins by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightloom.config.compose import ROOT
from lightloom.core import lock

sys.path.insert(0, str(ROOT / "src"))


class Killed(BaseException):
    """In place of SIGKILL: whatever is done on the way out writes nothing."""


class Writes:
    """The names of files that take their place below `folder`, in order; that of `fatal`, and all after it, do not.

    A file takes its place when it is renamed from a temporary one, or opened where it stays. after: `fatal` is deadly
    once there is such a file.
    """

    def __init__(self) -> None:
        self.folder, self.fatal, self.after, self.seen, self.dead = "", "", "", list[str](), False
        sys.addaudithook(self._hear)

    @contextmanager
    def until(self, folder: Path, fatal: str, after: str = "") -> Iterator[None]:
        self.folder, self.fatal, self.after, self.seen, self.dead = str(folder), fatal, after, [], False
        try:
            yield
        finally:
            self.folder = ""

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder and event in ("open", "os.rename", "os.link"):
            writes = event != "open" or (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR))
            path = Path(os.fsdecode(args[event != "open"])) if writes and not isinstance(args[0], int) else Path()
            if path.is_relative_to(self.folder) and ".saving" not in path.name:
                name = str(path.relative_to(self.folder))
                is_time = not self.after or self.after in files(Path(self.folder))
                self.dead = self.dead or (name == self.fatal and is_time)
                if self.dead:
                    raise Killed
                self.seen.append(name)


WRITES = Writes()


def killed(act: Callable[[], Any], folder: Path, fatal: str = "", after: str = "") -> list[str]:
    """Do it, and be killed at the write of `fatal`; the files below the folder that it wrote."""
    before = set(os.environ)
    try:
        with WRITES.until(folder, fatal, after):
            act()
    except Killed:
        pass
    finally:
        lock.release()
        for name in set(os.environ) - before:
            del os.environ[name]
    return WRITES.seen


def files(folder: Path) -> list[str]:
    """All below a folder, as seen from it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
