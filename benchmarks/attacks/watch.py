"""One hostile case: a bait for each way out of a file, and what came of the attempt."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightloom.core.errors import UserError, message_of

OUTCOMES = ("refused", "harmless", "ran", "leaked", "hung", "crashed")
BAD = ("ran", "leaked", "hung", "crashed")
PATIENCE = 60.0  # seconds; a first case imports libraries
SECRET = "a-secret-of-the-environment-4711"
MODULE = "lightloom_bait"  # leaves a mark where it is imported
ADDRESS = "http://127.0.0.1:9/bait.ckpt"
# Of Python's audit events: a process, the network, or a module of ours; and files, where a bait is among them.
ALWAYS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.spawn",
    "subprocess.Popen",
    "pty.spawn",
    "webbrowser.open",
)
ALWAYS += ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")
_armed: list[Watch] = []


class Hung(BaseException):
    """The time is up; no handler of errors takes it."""


@dataclass(frozen=True)
class Case:
    """A hostile thing in words, and who is given it. may_read: it may open a bait as plain data. allowed: audit events
    that its command is for. patience: seconds after which it hangs; None: PATIENCE.
    """

    what: str
    act: Callable[[], Any]
    may_read: bool = False
    allowed: frozenset[str] = frozenset()
    patience: float | None = None


class Mark:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


class Baits:
    """What a case may point to, in a folder: a pickle, a module, a command; each leaves the same mark."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.modules, self.mark = folder / "bait", folder / "modules", folder / "ran"
        for place in (self.folder, self.modules):
            place.mkdir(parents=True)
        self.pickle = self.folder / "bait.pkl"
        self.pickle.write_bytes(pickle.dumps(Mark(self.mark)))
        (self.modules / f"{MODULE}.py").write_text(f"open({str(self.mark)!r}, 'w')\n")
        self.command, self.code = f"touch {self.mark}", f"open({str(self.mark)!r}, 'w')"

    def all(self) -> list[str]:
        """Each as text: as a path, an address, a module's name, a command and code."""
        return [str(self.pickle), str(self.folder), ADDRESS, MODULE, self.command, self.code, f"file://{self.pickle}"]


class Watch:
    """What happens while a case is tried."""

    def __init__(self, baits: Baits) -> None:
        self.baits, self.events = baits, list[str]()
        self.may_read, self.allowed = False, frozenset[str]()

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """An audit event of Python's."""
        if event in self.allowed:
            return
        is_grave = event in ALWAYS or (event == "import" and args[0] == MODULE)
        touches = event.startswith(("open", "os.", "shutil.")) and not self.may_read
        if is_grave or (touches and self._is_bait(args)):
            self.events.append(f"{event} {args[:1]}")

    def _is_bait(self, args: tuple[Any, ...]) -> bool:
        return any(isinstance(arg, str | os.PathLike) and str(self.baits.folder) in str(arg) for arg in args)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Listen, with the baits where they would be found."""
        if not _armed:
            sys.addaudithook(lambda event, args: _armed[-1].hear(event, args) if _armed[-1:] != [None] else None)
        _armed[:] = [self]
        sys.path.insert(0, str(self.baits.modules))
        os.environ["LIGHTLOOM_ATTACK"] = SECRET
        try:
            yield
        finally:
            _armed[:] = [None]  # type: ignore[list-item]
            sys.path.remove(str(self.baits.modules))
            sys.modules.pop(MODULE, None)
            del os.environ["LIGHTLOOM_ATTACK"]


def attempt(case: Case, baits: Baits) -> tuple[str, str]:
    """The outcome, one of OUTCOMES, and what shows it."""
    watch = Watch(baits)
    watch.may_read, watch.allowed = case.may_read, case.allowed
    said, outcome = "", "harmless"
    previous = signal.signal(signal.SIGALRM, _time_is_up)
    signal.setitimer(signal.ITIMER_REAL, case.patience or PATIENCE)
    try:
        with watch.armed():
            try:
                said = repr(case.act())
            except UserError as error:
                outcome, said = "refused", str(error)
            except Hung:
                outcome = "hung"
            except (Exception, SystemExit) as error:
                told = None if isinstance(error, MemoryError) else message_of(error)  # as a command says it
                outcome, said = ("refused", told) if told else ("crashed", f"{type(error).__name__}: {error}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    if watch.events or baits.mark.exists():
        baits.mark.unlink(missing_ok=True)
        return "ran", "; ".join(watch.events) or "the mark is there"
    return ("leaked", said) if SECRET in said else (outcome, said)


def _time_is_up(number: int, frame: Any) -> None:
    raise Hung
