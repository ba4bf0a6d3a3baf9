"""The second process of a run that a command launches: a fork of the command as it began, which imports nothing.

Lightning starts it by the command's own line, and importing the libraries again takes longer than the run.
"""

from __future__ import annotations

import os
import pickle
import runpy
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing import util
from types import SimpleNamespace

from pytorch_lightning.strategies.launchers import subprocess_script


class Fork(subprocess.Popen):
    """A child of this process, to be waited for, asked and killed as one that `Popen` has started."""

    def __init__(self, pid: int) -> None:
        self.pid, self.args, self.returncode = pid, [], None
        self.stdin = self.stdout = self.stderr = None
        self._waitpid_lock, self._child_created, self._sigint_wait_secs = threading.Lock(), True, 0.25


def keep() -> None:
    """Let Lightning's launcher start its first process as a fork of this one as it is now; further ones as always."""
    hearing, telling = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(telling)
        with os.fdopen(hearing, "rb") as file:
            told = file.read()
        os._exit(_run(*pickle.loads(told)) if told else 0)  # nothing is told where the command ends before
    os.close(hearing)
    spares = [pid]

    def start(command: Sequence[str], env: Mapping[str, str], cwd: str | None) -> subprocess.Popen:
        if not spares:
            return subprocess.Popen(command, env=env, cwd=cwd)
        with os.fdopen(telling, "wb") as file:
            pickle.dump((list(command[1:]), dict(env), cwd), file)
        return Fork(spares.pop())

    subprocess_script.subprocess = SimpleNamespace(Popen=start)


def _run(command: list[str], environment: dict[str, str], cwd: str | None) -> int:
    """The exit code of a script with its arguments."""
    os.environ.clear()
    os.environ.update(environment)
    if cwd:
        os.chdir(cwd)
    sys.argv = command
    try:
        runpy.run_path(command[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    util._exit_function()
    util._flush_std_streams()
    return code
