"""The front's side of the process with the model: who waits, in which order, and what if the process dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lightloom.core.errors import UserError
from lightloom.core.places import search_path
from lightloom.predict.web import Refused
from lightloom.serve.messages import Ask, Ended, Failed, Hello, Refusal

log = logging.getLogger("lightloom")
LIVE, PICTURE, FILM = range(3)  # what is asked first
LONGEST = 60.0  # seconds for a batch, after which the process is taken for stuck
LOADING = 600.0  # seconds until the model is there
AT_ONCE = 8  # inputs in a batch
SLICE = 0.25  # seconds that a batch may take where inputs are slow: then whoever comes first is asked first
TURNS = 3  # pictures of cameras for each of a film, while there are both
HELD = 0.1  # seconds after a camera's answer in which its next picture is waited for before a film's
STARTS = 3  # of a process that dies, within a minute


@dataclass
class _Waiting:
    ask: Ask | Ended
    answer: asyncio.Future
    alone: bool = False  # the process died over it and others: it is asked alone now


@dataclass
class Counts:
    """What /metrics tells: of batches their number, inputs and seconds."""

    batches: int = 0
    inputs: int = 0
    seconds: float = 0.0
    restarts: int = 0
    dropped: int = 0


@dataclass
class Inference:
    """One process, one model. cfg: of serve.py, plain. most_waiting: pictures."""

    cfg: Mapping[str, Any]
    most_waiting: int = 64
    counts: Counts = field(default_factory=Counts)
    _answered = -math.inf  # when a camera was given its last answer
    _turns = 0  # pictures of cameras since one of a film

    def __post_init__(self) -> None:
        self._queues: tuple[deque[_Waiting], ...] = (deque(), deque(), deque())
        self._news = asyncio.Event()
        self._pace = 0.05  # seconds for an input, the mean of the last
        self._starts: list[float] = []
        self._closing = False
        self._process: subprocess.Popen | None = None
        self.hello: Hello

    @property
    def pid(self) -> int:
        """Of the process now."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Does the process answer?"""
        return self._process is not None and self._process.poll() is None

    def waiting(self) -> tuple[int, ...]:
        """How many wait: of live pictures, pictures, films'."""
        return tuple(map(len, self._queues))

    @property
    def memory(self) -> int:
        """Bytes of resident memory of the process, 0 where it is not known."""
        return resident(self.pid) if self._process is not None else 0

    def start(self) -> None:
        """Start the process and wait until the model is loaded. Raises UserError where it cannot be."""
        ours, theirs = socket.socketpair()
        own = {"PYTHONPATH": search_path(), "MALLOC_ARENA_MAX": "2"}
        command = [sys.executable, "-m", "lightloom.serve.worker", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=os.environ | own)
        theirs.close()
        if self._closing:
            self._process.kill()
        self._link = Connection(ours.detach())
        self._starts = [*self._starts, time.monotonic()][-STARTS:]
        try:
            self._link.send(dict(self.cfg))
            said = self._link.recv() if self._link.poll(LOADING) else None
        except (EOFError, OSError):
            said = None
        except BaseException:  # a signal: who loads a model does not look whether anybody is there
            self._process.kill()
            self.close()
            raise
        if isinstance(said, Hello):
            self.hello = said
            return
        self.close()
        if isinstance(said, Failed) and not said.is_mistake:
            raise RuntimeError(said.message)
        raise UserError(said.message if said else "The process with the model has died while it loaded; see run.log.")

    async def ask(self, ask: Ask, rank: int) -> dict[str, Any]:
        """The answer, once it is this one's turn; Refused where there are too many, or it is refused."""
        queue = self._queues[rank]
        if rank == PICTURE and len(queue) >= self.most_waiting:
            raise Refused(429, "busy", "Too many are waiting; try again in a few seconds.")
        if self._closing:
            raise Refused(503, "closing", "The server is closing.")
        waiting = _Waiting(ask, asyncio.get_running_loop().create_future())
        queue.append(waiting)
        self._news.set()
        try:
            answer = await waiting.answer
        except asyncio.CancelledError:
            if waiting in queue:  # who asked has left
                queue.remove(waiting)
            raise
        if isinstance(answer, Refusal):
            raise Refused(answer.status, answer.name, answer.words)
        return answer  # type: ignore[no-any-return]

    def end(self, stream: str) -> asyncio.Future[dict[str, Any]]:
        """Forget a camera or film; the answers that it still waits for."""
        waiting = _Waiting(Ended(stream), asyncio.get_running_loop().create_future())
        self._queues[LIVE].append(waiting)
        self._news.set()
        return waiting.answer

    async def work(self) -> None:
        """Give the process one batch after another, for as long as the front lives."""
        while True:
            batch = self._next()
            if not batch:
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), HELD / 2 if self._queues[FILM] else None)
                continue
            started = time.monotonic()
            answers = await asyncio.to_thread(self._exchange, [one.ask for one in batch])
            if answers is None:
                await self._died(batch)
                continue
            self._count(len(batch), time.monotonic() - started)
            if any(isinstance(one.ask, Ask) and one.ask.stream and not one.ask.is_film for one in batch):
                self._answered = time.monotonic()
            for one, answer in zip(batch, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)

    async def drain(self, seconds: float) -> None:
        """Take no more, and wait for those who wait, but not longer."""
        self._closing = True
        until = time.monotonic() + seconds
        while any(self._queues) and time.monotonic() < until:
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """End the process at once, also while it loads: whoever waits for it is told."""
        self._closing = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process."""
        self._link.close()
        if self._process is not None:
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(1)
            finally:
                self._process.kill()
                self._process.wait()

    def _next(self) -> list[_Waiting]:
        """The next batch: of the first queue in which anyone still waits.

        Beside a camera a film is asked about one picture at a time, and not while the camera's next is to be expected,
        unless that had its turns: a camera hardly notices a film, and the film goes on.
        """
        for rank, queue in enumerate(self._queues):
            since = time.monotonic() - self._answered
            if rank == FILM and since < HELD and self._turns < TURNS:
                return []
            if batch := self._first_of(queue, 1 if rank == FILM and since < 1 else AT_ONCE):
                self._turns = 0 if rank == FILM else self._turns + (rank == LIVE)
                return batch
        return []

    def _first_of(self, queue: deque[_Waiting], at_once: int) -> list[_Waiting]:
        """Whoever has left is left out; one over whom the process has died is asked alone."""
        most = min(max(int(SLICE / max(self._pace, 1e-3)), 1), at_once)
        batch: list[_Waiting] = []
        while queue and len(batch) < most and not (batch and (queue[0].alone or batch[-1].alone)):
            if not (one := queue.popleft()).answer.cancelled():
                batch.append(one)
        return batch

    def _exchange(self, asks: list[Ask | Ended]) -> list[Any] | None:
        """The answers of the process, or None where it has died or says nothing."""
        try:
            self._link.send(asks)
            if self._link.poll(LONGEST):
                return self._link.recv()  # type: ignore[no-any-return]
        except (EOFError, OSError):
            pass
        return None

    async def _died(self, batch: list[_Waiting]) -> None:
        """Start it anew; whoever was in a batch with others is asked again, alone."""
        self.counts.restarts += 1
        log.error("the process with the model died or was stuck over %d input(s); it is started again", len(batch))
        refusal = Refusal(503, "model_died", "The model ended over this input; it is started again.")
        for one in batch:
            if len(batch) == 1:
                if not one.answer.done():
                    one.answer.set_result(refusal)
            else:
                one.alone = True
                self._queues[PICTURE].append(one)
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait)  # or it stays in the system's table of processes
        recent = [at for at in self._starts if time.monotonic() - at < 60]
        if len(recent) >= STARTS:
            await asyncio.sleep(10)
        try:
            await asyncio.to_thread(self.start)
        except (UserError, RuntimeError) as error:
            log.error("it does not start again: %s", error)
            await asyncio.sleep(10)

    def _count(self, inputs: int, seconds: float) -> None:
        self.counts.batches += 1
        self.counts.inputs += inputs
        self.counts.seconds += seconds
        self._pace += (seconds / inputs - self._pace) * 0.2


def resident(pid: int) -> int:
    """Bytes of memory that a process has, 0 where it is not known."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
