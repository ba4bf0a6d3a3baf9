"""A trial as a fork of a server that has loaded the libraries: it begins in a tenth of a second instead of in seconds.

The server only imports. Nothing is computed in it and no device is touched, so its forks start as a new Python does.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver, popen_forkserver, resource_tracker
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from lightloom.core import run_dir, watchdog
from lightloom.core.places import search_path
from lightloom.core.python_internals import run_exit_functions

POSSIBLE = sys.platform == "linux"  # elsewhere the system's own libraries do not bear a fork
LIBRARIES = ("torch.utils.tensorboard", "lightloom.cli.launch", "lightloom.engine.preflight", "lightloom.engine.train")
SERVER = multiprocessing.get_context("forkserver")


def start(command: Sequence[str], environment: Mapping[str, str], output: Path, alive: int) -> popen_forkserver.Popen:
    """Python, a script and its arguments in a session of their own; what is returned has `pid` and `poll()`.

    environment: all variables; OMP_NUM_THREADS, which libraries read as they load, stays that of the first call.
    output: the file to which it writes what it says. alive: the descriptor whose number it finds in `run_dir.SWEEP`.
    EOFError or OSError where the server ends before it has made the fork.
    """
    SERVER.set_forkserver_preload([*LIBRARIES])
    _start_server(environment)
    become = _Start([*command[1:]], {**environment}, output, alive)
    return popen_forkserver.Popen(SERVER.Process(target=become))  # type: ignore[arg-type]


def _start_server(environment: Mapping[str, str]) -> None:
    """With the sources of this project, which need not be those that are installed.

    It has no session of its own, and what a whole group or job is told (Ctrl-C, a hang-up, SLURM's) must not end it: it
    alone is told how trials end.
    """
    before = {**os.environ}
    resource_tracker.ensure_running()  # which unblocks signals
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _shielded())
    try:
        os.environ.update({**environment, "PYTHONPATH": search_path()})
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.environ.clear()
        os.environ.update(before)


def _shielded() -> set[signal.Signals]:
    """The signals that the server does not hear, and its forks do."""
    return {*watchdog.ENDING, signal.SIGUSR1}


class _Start:
    """What the fork does: become the process that the command describes."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path, alive: int) -> None:
        self.command, self.environment, self.output, self.alive = command, environment, output, alive

    def __getstate__(self) -> dict[str, Any]:
        """Called while the process is started, where a descriptor can be sent to it."""
        return {**self.__dict__, "alive": DupFd(self.alive)}

    def __call__(self) -> None:
        os.setsid()  # Ctrl-C is for the sweep, which passes it on
        multiprocessing.set_start_method(None, force=True)  # of its workers: the system's, not that of the server
        output = os.open(self.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for handle, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
            os.dup2(file, handle)
        os.environ.clear()
        os.environ.update({**self.environment, run_dir.SWEEP: str(self.alive.detach())})  # type: ignore[attr-defined]
        sys.argv = self.command
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _shielded())
        try:
            runpy.run_path(self.command[0], run_name="__main__")
        finally:
            run_exit_functions()
