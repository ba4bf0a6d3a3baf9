"""Films: each a job with a folder of its own, one worked on at a time, by a process that can be ended at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from starlette.requests import Request

from lightloom.core.atomic_io import write_text
from lightloom.core.places import search_path
from lightloom.core.run_dir import read_json
from lightloom.core.schema import entries, number, text, whole
from lightloom.predict.web import Refused
from lightloom.serve.bodies import MOST_FILM, chunks
from lightloom.serve.inference import FILM, Inference
from lightloom.serve.messages import LATER, Ask
from lightloom.serve.models import Models

log = logging.getLogger("lightloom")
WAITING, RUNNING, DONE, FAILED, CANCELLED, INTERRUPTED = (
    *("waiting", "running", "done", "failed"),
    *("cancelled", "interrupted"),
)
ENDS = ("mp4", "csv", "txt")
RECORD, UPLOAD = "job.json", "upload"
STORED = entries({"id": text(64), "state": text(20), "since": number(0)}, {"done": whole(0), "of": whole(0)})
ROOM = 1_000_000_000  # bytes that stay free on the disk
PAUSE = 0.25  # seconds between two words of progress
PROBLEMS = {
    "no_film": "This cannot be read as a film; send one that plays, such as MP4, AVI, MOV or WebM.",
    "too_long": "The film is longer than 10 minutes, or larger than 4,096 pixels.",
    "refused": "The model cannot take a picture of this film.",
    "no_model": "The model of this film cannot be loaded now.",
    "died": "The film's process ended; the server's log may say why.",
}


@dataclass
class Job:
    """done, of: pictures, 0 where it is not known. rate: pictures a second. left: seconds. cut: it ended early."""

    id: str
    model: str = ""
    what: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    state: str = WAITING
    since: float = field(default_factory=time.time)
    done: int = 0
    of: int = 0
    rate: float = 0.0
    left: float | None = None
    cut: bool = False
    error: dict[str, str] | None = None

    @property
    def is_over(self) -> bool:
        """Will nothing change any more?"""
        return self.state not in (WAITING, RUNNING)


class Films:
    """All jobs. folder: theirs. most: that wait or run."""

    def __init__(self, folder: Path, models: Models, most: int, keep_hours: float) -> None:
        self.folder, self.models, self.most, self.keep = folder, models, most, keep_hours * 3600
        self.jobs: dict[str, Job] = {}
        self._news = asyncio.Event()
        self._process: subprocess.Popen | None = None
        self._asked: Inference | None = None  # of the film that is worked on
        self._uploading = 0
        self._restore()

    def open_jobs(self) -> int:
        """How many wait, run or are sent."""
        return self._uploading + sum(not job.is_over for job in self.jobs.values())

    def get(self, number: str) -> Job:
        """Refused where there is none."""
        if number not in self.jobs:
            raise Refused(404, "no_such_job", "There is no such film, or it is no longer kept.")
        return self.jobs[number]

    async def take(self, request: Request, model: str, what: str, options: Mapping[str, Any]) -> Job:
        """A new job, once the film has come whole."""
        if self.open_jobs() >= self.most:
            raise Refused(429, "busy", "Too many films wait; try again when one is done.")
        job = Job(uuid.uuid4().hex, model, what, dict(options))
        place = self.folder / job.id
        self._uploading += 1
        try:
            place.mkdir(parents=True)
            if shutil.disk_usage(place).free < ROOM:
                raise Refused(507, "no_room", "There is no room on the server's disk.")
            await self._receive(request, place / UPLOAD)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        finally:
            self._uploading -= 1
        self.jobs[job.id] = job
        self._record(job)
        self._news.set()
        return job

    async def _receive(self, request: Request, path: Path) -> None:
        size = 0
        with path.open("wb") as file:
            async for chunk in chunks(request, MOST_FILM):
                size += len(chunk)
                file.write(chunk)
        if not size:
            raise Refused(400, "empty", "Nothing came; send the bytes of a film.")

    def cancel(self, job: Job) -> None:
        """End it, and leave nothing of it."""
        if job.state == RUNNING and self._process is not None:
            self._process.kill()
        if job.state == RUNNING and self._asked is not None:
            self._asked.end(job.id)
        job.state = CANCELLED if not job.is_over else job.state
        shutil.rmtree(self.folder / job.id, ignore_errors=True)
        if job.is_over and job.state != CANCELLED:
            del self.jobs[job.id]

    def file(self, job: Job, end: str) -> Path:
        """What was made of it."""
        path = self.folder / job.id / f"film.{end}"
        if end not in ENDS or job.state != DONE or not path.is_file():
            raise Refused(404, "not_found", "There is no such file of this film.")
        return path

    async def progress(self, job: Job) -> AsyncIterator[str]:
        """Server-sent events, until it is over."""
        before = ""
        while True:
            is_over, now = job.is_over, json.dumps(shown(job))  # while it is sent, the film may end
            if now != before:
                yield f"data: {now}\n\n"
                before = now
            if is_over:
                return
            await asyncio.sleep(PAUSE)

    async def work(self) -> None:
        """One film after another, for as long as the front lives."""
        while True:
            self._sweep()
            job = next((job for job in self.jobs.values() if job.state == WAITING), None)
            if job is None:
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 60)
                continue
            job.state = RUNNING
            self._record(job)
            try:
                async with self.models.using(job.model) as self._asked:
                    await self._run(job, self._asked)
                    self._asked.end(job.id)
            except Refused as refused:
                log.warning("a film's model is not there: %s", refused.words)
                self._fail(job, "no_model")
            except Exception:  # a fault of the program: it is logged and told of this film; the next one goes on
                log.exception("a film failed")
                self._fail(job, "died")
            self._asked = None
            if job.state != CANCELLED:
                (self.folder / job.id / UPLOAD).unlink(missing_ok=True)
                self._record(job)

    def close(self) -> None:
        """End what runs; it is interrupted."""
        for job in self.jobs.values():
            if not job.is_over:
                job.state = INTERRUPTED
                self._clear(job.id)
                self._record(job)
        if self._process is not None:
            self._process.kill()

    async def _run(self, job: Job, inference: Inference) -> None:
        ours, theirs = socket.socketpair()
        environment = os.environ | {"PYTHONPATH": search_path()}
        command = [sys.executable, "-m", "lightloom.serve.film", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        theirs.close()
        link = Connection(ours.detach())
        try:
            await self._relay(job, link, inference)
        finally:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None
            link.close()
            if job.state == CANCELLED:
                shutil.rmtree(self.folder / job.id, ignore_errors=True)
            elif job.state != DONE:
                self._clear(job.id)

    async def _relay(self, job: Job, link: Connection, inference: Inference) -> None:
        """Hand the film's pictures to the model, and the answers back."""
        place, started, restarts = self.folder / job.id, time.monotonic(), inference.counts.restarts
        link.send((str(place / UPLOAD), str(place)))
        coming = asyncio.create_task(asyncio.to_thread(_received, link))
        while True:
            kind, *rest = await coming
            if job.is_over:
                return
            if restarts != inference.counts.restarts:  # what the model's process knew of the film is lost
                return self._fail(job, "died")
            if kind == "end":
                return self._ended(job, rest[0])
            coming = asyncio.create_task(asyncio.to_thread(_received, link))
            if kind == "of":
                job.of = rest[0]
            elif kind == "last":
                rest = (await inference.end(job.id)).get("rest", ())
                for answer in (*rest, None):
                    await asyncio.to_thread(_sent, link, answer)
            else:
                body, seconds = rest
                try:
                    answer = await inference.ask(Ask(job.what, body, job.options, job.id, seconds, is_film=True), FILM)
                except Refused as refused:
                    self._fail(job, "refused" if refused.status == 422 else "died")
                    return
                if answer != LATER:
                    await asyncio.to_thread(_sent, link, answer)
                job.done += 1
                job.rate = job.done / (time.monotonic() - started)
                job.left = max(job.of - job.done, 0) / job.rate if job.of else None

    def _ended(self, job: Job, fault: str | None) -> None:
        if fault in (None, "cut"):
            job.state, job.left, job.cut = DONE, 0.0, fault == "cut"
        else:
            self._fail(job, fault)

    def _fail(self, job: Job, code: str | None) -> None:
        name = code if code in PROBLEMS else "died"
        assert name is not None
        if not job.is_over:
            job.state, job.error = FAILED, {"code": name, "message": PROBLEMS[name]}

    def _clear(self, number: str) -> None:
        """Leave nothing of it but its record."""
        for path in (self.folder / number).glob("*"):
            if path.name != RECORD:
                path.unlink(missing_ok=True)

    def _record(self, job: Job) -> None:
        with contextlib.suppress(OSError):
            write_text(self.folder / job.id / RECORD, json.dumps(asdict(job)))

    def _restore(self) -> None:
        """Know the jobs of before; those that were not over were interrupted."""
        for path in sorted(self.folder.glob(f"*/{RECORD}")):
            found = read_json(path, {}, STORED)
            if not found or found["id"] != path.parent.name:
                continue
            job = Job(found["id"], state=found["state"], since=found["since"], done=int(found.get("done", 0)))
            job.of = int(found.get("of", 0))
            if not job.is_over:
                job.state = INTERRUPTED
                self._clear(job.id)
                self._record(job)
            self.jobs[job.id] = job

    def _sweep(self) -> None:
        """Forget what is old."""
        for job in list(self.jobs.values()):
            if job.is_over and time.time() - job.since > self.keep:
                shutil.rmtree(self.folder / job.id, ignore_errors=True)
                del self.jobs[job.id]


def shown(job: Job) -> dict[str, Any]:
    """As JSON tells it."""
    return {
        **{name: getattr(job, name) for name in ("id", "state", "done", "of", "cut", "error")},
        "rate": round(job.rate, 2),
        "left": None if job.left is None else round(job.left, 1),
    }


def _received(link: Connection) -> tuple[Any, ...]:
    """What the process says next, or its end."""
    try:
        return link.recv()  # type: ignore[no-any-return]
    except (EOFError, OSError):
        return ("end", "died")


def _sent(link: Connection, message: Any) -> None:
    with contextlib.suppress(OSError):  # the next thing that is received is its end
        link.send(message)
