"""Where a run of a trial is started: on this machine, or by submitit on a cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from lightlab import folder, lock
from lightlab.config import ROOT
from lightlab.errors import UserError
from lightlab.sweeps.plan import Plan

OUTPUT = "output.txt"
PATIENCE = 120.0  # seconds for a run that was told to end
OWN = (folder.RUN_TIME, folder.RESUMED, folder.LAUNCHER, folder.SWEEP)  # of each run


class Job(Protocol):
    """One run of train.py, somewhere."""

    def poll(self) -> int | None:
        """Its exit code (minus the signal that ended it), or None while it runs."""

    def stop(self) -> None:
        """Have it save its checkpoint and end; returns at once."""


class Launcher(Protocol):
    """What starts runs. outlives: its jobs go on when the sweep ends, and are found again."""

    outlives: bool

    def start(self, options: Sequence[str], run: Path, slot: int) -> Job:
        """Start train.py with these options; it writes into the folder `run`. slot: which of those at a time."""


def build(plan: Plan) -> Launcher:
    """The launcher that the plan names."""
    if plan.settings["launcher"] == "submitit":
        return Submitit(plan)
    return Local(plan.settings["prefix"], plan.settings["gpus"], plan.settings["n_jobs"])


def train_command(options: Sequence[str], prefix: Sequence[str] = ()) -> list[str]:
    return [*map(str, prefix), sys.executable, str(ROOT / "src" / "train.py"), *options]


class Local:
    """A process on this machine; it saves and ends when the sweep does, however that ends."""

    outlives = False

    def __init__(self, prefix: Sequence[str], gpus: Sequence[int] | None, n_jobs: int) -> None:
        self.prefix, self.gpus, self.n_jobs = prefix, gpus, n_jobs
        self.alive, self._open = os.pipe()  # the kernel closes the open end when this process ends

    def start(self, options: Sequence[str], run: Path, slot: int) -> Job:
        lock.wait_until_free(run, PATIENCE)
        environment = {k: v for k, v in os.environ.items() if k not in OWN} | {folder.SWEEP: str(self.alive)}
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.n_jobs)))
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(self.gpus[slot % len(self.gpus)])
        run.mkdir(parents=True, exist_ok=True)
        with (run / OUTPUT).open("ab") as output:
            try:
                process = subprocess.Popen(
                    train_command(options, self.prefix),
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[self.alive],
                    start_new_session=True,  # Ctrl-C is for the sweep, which passes it on
                )
            except FileNotFoundError as error:
                raise UserError(f"sweep.prefix={self.prefix}: there is no program {error.filename}.") from error
        return LocalJob(process)


class LocalJob:
    """A process in a session of its own."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self.told: float | None = None

    def poll(self) -> int | None:
        if self.told is not None and time.monotonic() - self.told > PATIENCE:
            self._signal(signal.SIGKILL)
        return self.process.poll()

    def stop(self) -> None:
        if self.told is None:
            self.told = time.monotonic()
            self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Submitit:
    """A job of SLURM, or of submitit's own executor of local processes. It goes on when the sweep ends."""

    outlives = True

    def __init__(self, plan: Plan) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError('sweep.launcher=submitit needs submitit: pip install "lightlab[sweep]".') from error
        options = dict(plan.settings["submitit"])
        self.prefix, self.folder = plan.settings["prefix"], plan.folder / "submitit"
        try:
            self.executor = submitit.AutoExecutor(folder=self.folder, cluster=options.pop("cluster"))
            self.executor.update_parameters(name=f"sweep-{plan.name}", **options)
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise UserError(f"sweep.submitit: {' '.join(str(error).split())[:300]}") from error

    def start(self, options: Sequence[str], run: Path, slot: int) -> Job:
        """The run's job, or the one that an earlier sweep has started and that goes on."""
        run.mkdir(parents=True, exist_ok=True)
        record, stop = run / "job.txt", run / "stop"
        if record.is_file():
            job = self.executor.job_class(self.folder, record.read_text(encoding="utf-8"))
            if not job.done():
                return SubmititJob(job, stop)
        stop.unlink(missing_ok=True)
        job = self.executor.submit(execute, train_command(options, self.prefix), str(run))
        record.write_text(job.job_id, encoding="utf-8")
        return SubmititJob(job, stop)


class SubmititJob:
    """A job that is told to end by a file, which works wherever it runs."""

    def __init__(self, job: Any, stop: Path) -> None:
        self.job, self.file = job, stop

    def poll(self) -> int | None:
        if not self.job.done():
            return None
        try:
            return self.job.result()
        except Exception:  # the job has ended without a result: cancelled, out of memory or time
            return 1

    def stop(self) -> None:
        self.file.touch()


def execute(command: Sequence[str], run: str) -> int:
    """Run a command until it ends, or until there is a file `stop` in the folder; returns its exit code."""
    alive, _open = os.pipe()
    environment = {k: v for k, v in os.environ.items() if k not in OWN and not k.startswith("SLURM_")}
    with Path(run, OUTPUT).open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**environment, folder.SWEEP: str(alive)},
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[alive],
        )
    while process.poll() is None:
        if Path(run, "stop").exists():
            process.terminate()
            return process.wait(PATIENCE)
        time.sleep(0.5)
    return process.returncode
