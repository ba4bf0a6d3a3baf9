"""End a process that a signal does not end: one that is stuck, or that is told a second time. Needs no torch.

A handler in Python runs between two steps of the interpreter, so it does not run while a call does not return; and one
that only takes note waits for somebody to ask. A thread hears each signal at once, and looks whether anything moves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from lightloom.core import atomic_io

ENDING = tuple(number for name in ("SIGHUP", "SIGINT", "SIGTERM") if (number := getattr(signal, name, None)))
PATIENCE = 8.0  # seconds in which a step ends, or something moves, after a signal
STEPS = 3  # or as long as so many of the longest steps so far
BUSY = 60.0  # seconds at one place, outside a step, with the processor at work, or while a file is written
AT_ONCE = 2.0  # seconds to leave in order, after a second signal
ECHO = 0.5  # seconds in which SIGTERM or SIGHUP twice is once, as from a launcher and from who told the launcher
TICK = 0.25
_IDLE = 0.1  # share of a processor

_longest, _began = 0.0, 0.0  # seconds of a step; when the one that goes on began, 0 between steps
_deadline = 0.0  # until when a wait has one of its own


def ending_signals() -> tuple[int, ...]:
    """The signals that end a run: not SIGHUP where it is ignored, as under nohup."""
    hang_up = getattr(signal, "SIGHUP", None)
    return tuple(n for n in ENDING if n != hang_up or signal.getsignal(n) is not signal.SIG_IGN)


def begin_step() -> None:
    """A step of the run begins, which takes about as long as those before it."""
    global _began
    _began = time.monotonic()


def end_step() -> None:
    """The step has ended."""
    global _longest, _began
    if _began:
        _longest, _began = max(_longest, time.monotonic() - _began), 0.0


@contextlib.contextmanager
def waiting(seconds: float) -> Iterator[None]:
    """What is waited for inside ends within so many seconds, or is left: until then it is not stuck."""
    global _deadline
    _deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        _deadline = 0.0


def is_echo(number: int, before: int, seconds: float) -> bool:
    """Is it the same signal again, sent by two who were told once, `seconds` after the one before?"""
    return number == before and number != signal.SIGINT and seconds < ECHO


def start() -> None:
    """Watch this process from now on, however it answers its signals; for the main thread."""
    hearing, telling = os.pipe()
    os.set_blocking(telling, False)
    signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget)
    main = threading.main_thread().ident
    assert main is not None
    threading.Thread(target=_watch, args=(hearing, main), daemon=True).start()


def _forget() -> None:
    """A fork's signals are not its parent's."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


def _watch(hearing: int, main: int) -> None:
    told: list[tuple[int, float]] = []
    place = _Place(main)
    while True:
        ready, _, _ = select.select([hearing], [], [], TICK if told else None)
        now = time.monotonic()
        for number in os.read(hearing, 64) if ready else b"":
            if number in ENDING and not (told and is_echo(number, told[-1][0], now - told[-1][1])):
                told.append((number, now))
        if len(told) > 1 and now - told[1][1] > AT_ONCE:
            _end(told[-1][0], "told twice, ended at once")
        if told and (where := place.stuck_at(told[0][1])):
            _end(told[0][0], f"nothing has moved in {where}, so the process was ended there")


class _Place:
    """Where the main thread is, and since when."""

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.place: object = None
        self.since = self.worked = 0.0

    def stuck_at(self, told: float) -> str | None:
        """The place, where it is the same for too long, or a step takes longer than it can, since it was `told`."""
        frame, now, worked = sys._current_frames().get(self.thread), time.monotonic(), time.process_time()
        stack = _stack(frame)
        place = [(f.f_code, f.f_lasti) for f in stack]
        if place != self.place:
            self.place, self.since, self.worked = place, now, worked
        is_idle = worked - self.worked < _IDLE * (now - self.since)
        writes = atomic_io.is_writing()
        patience = max(PATIENCE, STEPS * _longest)
        stays = now - self.since > (patience if is_idle and not writes else max(patience, BUSY))
        too_long = bool(_began and _longest) and not writes and now - max(told, _began) > patience
        is_stuck = bool(stack) and now > _deadline and (stays or too_long)
        return f"{stack[0].f_code.co_filename}:{stack[0].f_lineno}" if is_stuck else None


def _stack(frame: FrameType | None) -> list[FrameType]:
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def _end(number: int, why: str) -> None:
    """End this process and its workers, whatever holds them."""
    os.write(2, f"error: {signal.Signals(number).name}: {why}.\n".encode(errors="backslashreplace"))
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(128 + number)
