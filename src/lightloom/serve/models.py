"""The models of a server: which there are, which of them are loaded, and which is let go where memory runs out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightloom.core import run_dir
from lightloom.core.documents import MOST_CONFIG, read_yaml
from lightloom.core.errors import UserError
from lightloom.core.screen import say
from lightloom.predict.web import Refused
from lightloom.serve.inference import FILM, LIVE, PICTURE, Counts, Inference

log = logging.getLogger("lightloom")
SHOWN, FIGURES = 100, 6  # characters of a text, and figures of a run that are told
About = dict[str, Any]


class Models:
    """A model that is named, or one of each run in the folder of logs, the newest first.

    cfg: of serve.py, plain. The first model is loaded at once, another when it is asked for. start: makes the process
    of one, by a configuration and how many may wait.
    """

    def __init__(self, cfg: Mapping[str, Any], start: Callable[..., Inference] = Inference) -> None:
        self.cfg, self.start = cfg, start
        self.most_memory = int((cfg["most_memory"] or _memory() / 2e9) * 1e9)
        self.loaded: OrderedDict[str, Inference] = OrderedDict()  # least recently used first
        self._runs = not (cfg["ckpt_path"] or cfg.get("model"))
        self._refused: dict[str, float] = {}  # what could not be served, as it was then
        self._users: Counter[str] = Counter()
        self._starting: dict[str, Inference] = {}
        self._waited: dict[str, asyncio.Task[None]] = {}
        self._work: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._gone = Counts()
        self._closing = False
        self.first = self._load_first()

    # --- which there are

    def all(self) -> dict[str, About]:
        """What is known of each model that can be asked for, by its name."""
        about: dict[str, About] = {} if self._runs else {self.first: {}}
        about |= {name: _about(folder, _changed(folder)) for name, folder in self._folders().items()}
        return {name: {"id": name, **one, **self._told(name)} for name, one in about.items()}

    def _told(self, name: str) -> About:
        inference = self.loaded.get(name)
        return {**(inference.hello.model if inference else {}), "loaded": inference is not None}

    def _folders(self) -> dict[str, Path]:
        runs = Path(self.cfg["paths"]["log_dir"], "runs")
        found = run_dir.trained(runs) if self._runs else []
        named = {folder.relative_to(runs).as_posix(): folder for folder in found}
        return {name: folder for name, folder in named.items() if self._refused.get(name) != _changed(folder)}

    def _load_first(self) -> str:
        """The newest run that can be served, or the model that was named. UserError where there is none."""
        if not self._runs:
            inference = self.start(self.cfg, self.cfg["most_waiting"])
            inference.start()
            self.loaded[inference.hello.model["name"]] = inference
            return str(inference.hello.model["name"])
        error = None
        for name, folder in self._folders().items():
            inference = self._of(folder)
            try:
                inference.start()
            except (UserError, RuntimeError) as problem:
                say(f"{name} is not served: {problem}")
                self._refused[name] = _changed(folder)
                error = error or problem
                continue
            self.loaded[name] = inference
            return name
        raise error or UserError(
            f"There is no run in {self.cfg['paths']['log_dir']}/runs; train one, or name a model: ckpt_path=<file>."
        )

    def _of(self, folder: Path) -> Inference:
        return self.start({**self.cfg, "ckpt_path": str(folder)}, self.cfg["most_waiting"])

    # --- those that are asked

    @contextlib.asynccontextmanager
    async def using(self, name: str | None = None) -> AsyncIterator[Inference]:
        """The model of this name, or the first: loaded, and not let go for so long. Refused where that cannot be."""
        name = name or self.first
        self._users[name] += 1  # who waits for it too, or two would let go of each other's for ever
        try:
            while name not in self.loaded:
                await self._load(name)
            self.loaded.move_to_end(name)  # the last that is let go
            yield self.loaded[name]
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]

    async def _load(self, name: str) -> None:
        """Once for all who wait for it."""
        if self._closing:
            raise Refused(503, "closing", "The server is closing.")
        if name not in self._waited:  # nothing is awaited before it is there, so nobody begins a second one
            self._waited[name] = asyncio.create_task(self._enter(name))
            self._waited[name].add_done_callback(lambda task: self._waited.pop(name, None))
        await asyncio.shield(self._waited[name])

    async def _enter(self, name: str) -> None:
        folders = await asyncio.to_thread(self._folders)
        if name not in folders:
            raise Refused(404, "no_such_model", "There is no such model; /api/v1/models lists them.")
        async with self._turn:  # one after another, so that what each takes is known
            if self._closing:
                raise Refused(503, "closing", "The server is closing.")
            await self._make_room()
            inference = self._starting[name] = self._of(folders[name])
            try:
                await asyncio.to_thread(inference.start)
            except (UserError, RuntimeError) as error:
                log.warning("%s is not served: %s", name, error)
                self._refused[name] = _changed(folders[name])
                raise Refused(422, "not_served", "This model cannot be served; the server's log says why.") from error
            finally:
                del self._starting[name]
            log.info("%s is loaded, %d MB", name, inference.memory // 10**6)
            self.loaded[name] = inference
            self._work[name] = asyncio.create_task(inference.work())

    async def _make_room(self) -> None:
        """Let go of the least recently used until there is room for one more that is as large as the largest."""
        while self.loaded:
            sizes = [inference.memory for inference in self.loaded.values()]
            if sum(sizes) + max(sizes) <= self.most_memory:
                return
            idle = next((name for name in self.loaded if not self._users[name]), None)
            if idle is None:
                raise Refused(503, "no_room", "There is no room for another model while all are at work; try again.")
            await self._let_go(idle)

    async def _let_go(self, name: str) -> None:
        log.info("%s is let go: another model is asked for", name)
        inference = self.loaded.pop(name)
        self._work.pop(name).cancel()
        self._gone = _sum(self._gone, inference.counts)
        inference.kill()  # nor started anew, where it has just died
        await asyncio.to_thread(inference.close)

    # --- all of them

    def begin(self) -> None:
        """Let the models that are loaded work, in the loop that runs now."""
        self._work = {name: asyncio.create_task(inference.work()) for name, inference in self.loaded.items()}

    async def drain(self, seconds: float) -> None:
        """Take no more, and wait for those who wait, but not longer."""
        self._closing = True
        for inference in self._starting.values():
            inference.kill()
        await asyncio.gather(*(inference.drain(seconds) for inference in self.loaded.values()))
        for task in self._work.values():
            task.cancel()

    def close(self) -> None:
        """End all processes."""
        for inference in self.loaded.values():
            inference.close()

    @property
    def is_ready(self) -> bool:
        """Does each model that is loaded answer?"""
        return all(inference.is_alive for inference in self.loaded.values())

    @property
    def memory(self) -> int:
        """Bytes of all processes with a model."""
        return sum(inference.memory for inference in self.loaded.values())

    @property
    def counts(self) -> Counts:
        """Of all models, those that were let go too."""
        return _sum(self._gone, *(inference.counts for inference in self.loaded.values()))

    def waiting(self) -> tuple[int, ...]:
        """How many wait: of live pictures, pictures, films'."""
        each = [inference.waiting() for inference in self.loaded.values()]
        return tuple(sum(one[rank] for one in each) for rank in (LIVE, PICTURE, FILM))


def _sum(*counts: Counts) -> Counts:
    return Counts(**{name: sum(asdict(one)[name] for one in counts) for name in asdict(Counts())})


def _memory() -> int:
    """Bytes of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _changed(folder: Path) -> float:
    """When its newest record was written."""
    names = (run_dir.CONFIG, run_dir.RESULTS, f"{run_dir.CHECKPOINTS}/{run_dir.LAST}")
    return max((p.stat().st_mtime for name in names if (p := folder / name).is_file()), default=0.0)


@lru_cache(maxsize=10_000)
def _about(folder: Path, changed: float) -> About:
    """What a run's own records say of it: name, data, task, when it was trained and what it came to."""
    try:
        config = read_yaml(folder / run_dir.CONFIG, MOST_CONFIG)
    except (OSError, UserError):
        config = {}
    config = config if isinstance(config, dict) else {}
    data = config.get("data")
    told = {"name": config.get("run_name"), "task": config.get("task")}
    told["data"] = data.get("name") if isinstance(data, dict) else None
    found = {name: value for name, value in run_dir.figures(folder).items() if name.startswith("test/")}
    figures = {name: round(value, 4) for name, value in found.items() if value is not None and math.isfinite(value)}
    kept = dict(sorted(figures.items())[:FIGURES])
    return {**{name: str(text or "")[:SHOWN] for name, text in told.items()}, "since": changed, "figures": kept}
