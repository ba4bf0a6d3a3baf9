"""The processes of a run on one machine: none waits for one that has ended, and none is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightloom.core import run_dir, watchdog
from lightloom.core.errors import LostProcess, UserError
from lightloom.engine import lightning_internals as internals
from lightloom.engine.rendezvous import free_port

GRACE = 15.0  # seconds for the others to end by themselves
LOST = ("gloo", "nccl", "tcpstore", "connection closed", "connection reset", "broken pipe", "timed out")
_running: list[Launcher] = []


def replace_launcher(trainer: pl.Trainer) -> None:
    """Replace the launcher of a trainer that starts its other processes by the one of this file."""
    run = Path(trainer.default_root_dir)
    internals.replace_launcher(
        trainer, lambda old: Launcher(old.cluster_environment, old.num_processes, old.num_nodes, run)
    )


def wait() -> None:
    """Until the processes that this one has started have ended; those that have not by then are killed."""
    while _running:
        _running.pop().wait()


class Launcher(internals.SubprocessLauncher):
    """Lightning's, which kills the whole run with SIGKILL within five seconds after a process ends with any code.

    Here the run ends with that process's code and one line about it, and where all end on a signal, with that of each.
    """

    def __init__(self, cluster_environment: Any, num_processes: int, num_nodes: int, run: Path) -> None:
        super().__init__(cluster_environment, num_processes, num_nodes)
        self.run = run
        self._over = threading.Event()

    def launch(self, function: Callable, *args: Any, trainer: pl.Trainer | None = None, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            os.environ[run_dir.LAUNCHER] = str(os.getpid())
            os.environ.setdefault("MASTER_PORT", str(free_port()))
            self.start_processes()
            _running.append(self)
            threading.Thread(target=self._watch, daemon=True).start()
        internals.limit_threads(num_processes=self.num_processes)
        try:
            return function(*args, **kwargs)
        except RuntimeError as error:  # torch.distributed's own are of this kind
            if "EADDRINUSE" in str(error):
                raise UserError(
                    f"MASTER_PORT={self.cluster_environment.main_port}: another program listens there; set the "
                    "environment variable MASTER_PORT to a free port, or unset it."
                ) from error
            if not any(word in str(error).lower() for word in LOST):
                raise
            lost = LostProcess(self._reason(patience=0 if "timed out" in str(error).lower() else GRACE))
            lost.code = self._exit_code()
            raise lost from error

    def wait(self) -> None:
        self._over.set()
        deadline = time.monotonic() + GRACE
        with watchdog.waiting(2 * GRACE):
            for process in self.procs:
                try:
                    process.wait(max(deadline - time.monotonic(), 0))
                except subprocess.TimeoutExpired:
                    process.kill()
                    with contextlib.suppress(subprocess.TimeoutExpired):  # one that the kernel holds
                        process.wait(GRACE)

    def _watch(self) -> None:
        """End this process where it goes on, or hangs, after another has failed."""
        while not self._over.wait(0.2) and not self._failed():
            pass
        if self._over.wait(GRACE):
            return
        print(f"error: {self._reason()}", file=sys.stderr, flush=True)
        self.kill(signal.SIGKILL)
        os._exit(self._exit_code())

    def _failed(self) -> list[tuple[int, int]]:
        """Rank and exit code of each process that has not ended well."""
        return [(rank, code) for rank, p in enumerate(self.procs, 1) if (code := p.poll())]

    def _exit_code(self) -> int:
        """That of the process that failed first; 1 where a signal or nothing is known to have ended it."""
        return next((code for _, code in self._failed() if code > 0), 1)

    def _reason(self, patience: float = 0) -> str:
        """What became of the others; one whose connection is closed may take `patience` seconds to end."""
        deadline = time.monotonic() + patience
        while True:
            if failed := self._failed():
                rank, code = failed[0]
                log = self.run / f"run-rank{rank}.log"
                how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
                return f"Process {rank} of {self.num_processes} ended with {how}{_last_words(log)}; its log is {log}."
            if not self.procs or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return (
            "Another process of the run has ended, or has not answered for as long as trainer.strategy.timeout "
            f"allows; the logs are {self.run}/run*.log."
        )


def _last_words(log: Path) -> str:
    """The message of the error at the end of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    errors = [line.strip() for line in lines[-30:] if "Error: " in line]
    return f": {errors[-1].partition('Error: ')[2].rstrip('.')}" if errors else ""
