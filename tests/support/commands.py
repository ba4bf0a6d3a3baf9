"""Commands in a process of their own, which starts in milliseconds: a fork of a server that has loaded the libraries.

The server has computed nothing, so its forks are safe; a fork of the tests' own process would inherit torch's threads.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import spare

from lightloom.config.compose import ROOT
from lightloom.core.run_dir import RUN_TIME
from lightloom.engine.rendezvous import free_port

HERE = Path(__file__).resolve().parent
LIMIT = 240  # seconds
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["warm"])


@dataclass
class Command:
    """`python src/<script> <arguments>`, running; its output goes to a file."""

    process: BaseProcess
    output: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def wait(self) -> int:
        """The exit code; minus the signal where one ended it."""
        self.process.join(LIMIT)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"no end after {LIMIT} s:\n{self.text}")
        return self.process.exitcode

    def wait_until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT
        while not happened():
            if time.monotonic() > deadline or self.process.exitcode is not None:
                raise AssertionError(f"ended or too late:\n{self.text}")
            time.sleep(0.002)


def start(
    log_dir: Path,
    *arguments: str,
    script: str = "train",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    limits: Mapping[int, int] | None = None,
    root: Path = ROOT,
) -> Command:
    """limits: of the process, as `resource.setrlimit` takes them. root: a copy of the project, run instead of it."""
    log_dir.mkdir(parents=True, exist_ok=True)
    output = log_dir / f"output-{len(list(log_dir.glob('output-*')))}.txt"
    output.touch()
    inherited = {name: value for name, value in os.environ.items() if name != RUN_TIME}
    environment = {**inherited, "LIGHTLOOM_LOG_DIR": str(log_dir), "OMP_NUM_THREADS": "1", **(env or {})}
    command = [str(root / "src" / f"{script}.py"), *arguments]
    _start_server()
    process = SERVER.Process(target=_execute, args=(output, environment, command, cwd, limits or {}), daemon=False)
    process.start()
    return Command(process, output)


def _start_server() -> None:
    """With the sources of this checkout: it knows only what is installed, which may be another or under another name.

    What it cannot import it leaves out without a word, and each command then takes seconds to load the libraries.
    """
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(HERE), *filter(None, [before])])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        os.environ.update({"PYTHONPATH": before} if before else {})


def start_two(log_dir: Path, *arguments: str, env: Mapping[str, str] | None = None) -> list[Command]:
    """Two ranks of one run, with what srun sets for each of two tasks on a node; they start in milliseconds too."""
    port = str(free_port())
    slurm = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0"}
    slurm |= {"SLURM_JOB_ID": "1234", "SLURM_STEP_ID": "5", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost"}
    slurm |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **(env or {})}
    ranks = ({"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)} for i in range(2))
    return [start(log_dir, *arguments, "trainer=ddp_cpu", env=slurm | rank) for rank in ranks]


def run_two(log_dir: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """The output of rank 0 of a run of two that succeeds."""
    ranks = start_two(log_dir, *arguments, env=env)
    codes = [rank.wait() for rank in ranks]
    assert codes == [0, 0], [rank.text for rank in ranks]
    return ranks[0].text


def _execute(
    output: Path, environment: dict[str, str], command: list[str], cwd: Path | None, limits: Mapping[int, int]
) -> None:
    multiprocessing.set_start_method(None, force=True)  # of its workers: the system's, not that of this server
    handle = os.open(output, os.O_WRONLY | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(environment)
    if Path(command[0]).is_relative_to(ROOT):
        forkserver._forkserver.ensure_running = forkserver.ensure_running = lambda: None  # a sweep's too: it is ours
    else:
        _forget_this_project(Path(command[0]).parent)
    sys.path += [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry not in sys.path]
    if cwd:
        os.chdir(cwd)
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))
    import __main__

    __main__.__spec__ = None  # Lightning starts the other processes of DDP from sys.argv
    sys.argv = command
    if "trainer=ddp_cpu" in command and "SLURM_PROCID" not in environment:
        spare.keep()
    runpy.run_path(command[0], run_name="__main__")


def _forget_this_project(source: Path) -> None:
    """What the server has imported is the project's own; a copy of it imports its own."""
    own = tuple(str(ROOT / folder) for folder in ("src", "tests"))
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] == "lightloom" or str(getattr(module, "__file__", "")).startswith(own):
            del sys.modules[name]
    sys.path[:] = [str(source), *(entry for entry in sys.path if not entry.startswith(own))]


def run(log_dir: Path, *arguments: str, script: str = "train", env: Mapping[str, str] | None = None) -> str:
    """The output of a command that succeeds."""
    command = start(log_dir, *arguments, script=script, env=env)
    code = command.wait()
    assert code == 0, f"exit code {code}:\n{command.text}"
    return command.text


def runs(log_dir: Path) -> list[Path]:
    """The run folders, oldest first."""
    return sorted((log_dir / "runs").glob("*/*"))
