"""Start the runs of a trial: on this machine, or on a cluster by submitit or Ray."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lightloom.core import atomic_io, lock, run_dir, watchdog
from lightloom.core.errors import UserError, check_installed, install
from lightloom.core.places import COMMANDS
from lightloom.sweeps import forks
from lightloom.sweeps.plan import Plan

OUTPUT = "output.txt"
JOB, STOP, CODE, BEAT = "job.txt", "job.stop", "job.exit_code", "job.beat"  # files of a job of a cluster
BEAT_SECONDS = 2.0
PATIENCE = 120.0  # seconds for a run that was asked to end, or that gives no sign of life
OWN = (run_dir.RUN_TIME, run_dir.RESUMED, run_dir.LAUNCHER, run_dir.SWEEP)  # of each run


class Job(Protocol):
    """One run of train.py, on this machine or another."""

    def poll(self) -> int | None:
        """Its exit code (minus the signal that ended it), or None while it runs."""

    def stop(self) -> None:
        """Ask it to save its checkpoint and end; returns at once."""


class Launcher(Protocol):
    """Start runs. outlives: whether its jobs go on when the sweep ends, and are found again."""

    outlives: bool

    def start(self, options: Sequence[str], run: Path, slot: int) -> Job:
        """Start train.py with these options; it writes into the folder `run`. slot: which of those at a time."""


def build(plan: Plan) -> Launcher:
    """The launcher that the plan names."""
    if plan.settings["launcher"] == "submitit":
        return Submitit(plan)
    if plan.settings["launcher"] == "ray":
        return Ray(plan)
    return Local(plan.settings["prefix"], plan.settings["gpus"], plan.settings["n_jobs"])


def train_command(options: Sequence[str], prefix: Sequence[str] = ()) -> list[str]:
    """The words of a command that runs train.py with these options. prefix: words before Python, such as srun."""
    return [*map(str, prefix), sys.executable, str(COMMANDS / "train.py"), *options]


class Local:
    """A process on this machine; it saves and ends when the sweep does, however that ends."""

    outlives = False

    def __init__(self, prefix: Sequence[str], gpus: Sequence[int] | None, n_jobs: int) -> None:
        self.prefix, self.gpus, self.n_jobs = prefix, gpus, n_jobs
        self.alive, self._open = os.pipe()  # the kernel closes the open end when this process ends

    def start(self, options: Sequence[str], run: Path, slot: int) -> Job:
        with watchdog.waiting(PATIENCE):
            lock.wait_until_free(run, PATIENCE)
        environment = {k: v for k, v in os.environ.items() if k not in OWN}
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.n_jobs)))
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(self.gpus[slot % len(self.gpus)])
        run.mkdir(parents=True, exist_ok=True)
        command = train_command(options, self.prefix)
        if forks.POSSIBLE and not self.prefix and not self.gpus:
            with contextlib.suppress(EOFError, OSError):  # the server has died: it is begun with the next
                return LocalJob(forks.start(command, environment, run / OUTPUT, self.alive))
        return LocalJob(self._process(command, environment, run / OUTPUT))

    def _process(self, command: Sequence[str], environment: Mapping[str, str], path: Path) -> subprocess.Popen:
        """A new Python, which loads the libraries itself: behind a prefix, or where each has GPUs of its own."""
        with path.open("ab") as output:
            try:
                return subprocess.Popen(
                    command,
                    env={**environment, run_dir.SWEEP: str(self.alive)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[self.alive],
                    start_new_session=True,  # Ctrl-C is for the sweep, which passes it on
                )
            except FileNotFoundError as error:
                raise UserError(f"sweep.prefix={self.prefix}: there is no program {error.filename}.") from error


class Process(Protocol):
    """What `subprocess` and `multiprocessing` have in common."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code (minus the signal that ended it), or None while it runs."""


class LocalJob:
    """A process in a session of its own."""

    def __init__(self, process: Process) -> None:
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
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:  # a fork that has not begun its session yet
                os.kill(self.process.pid, number)


class Submitit:
    """A job of SLURM, or of submitit's own executor of local processes. It goes on when the sweep ends."""

    outlives = True

    def __init__(self, plan: Plan) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError(f"sweep.launcher=submitit needs submitit: {install('sweep')}.") from error
        options = {key: value for key, value in plan.settings["submitit"].items() if value is not None}
        self.prefix, self.folder = plan.settings["prefix"], plan.folder / "submitit"
        try:
            self.executor = submitit.AutoExecutor(folder=self.folder, cluster=options.pop("cluster"))
            self.executor.update_parameters(name=f"sweep-{plan.name}", **options)
            self.job_class = submitit.LocalJob if self.executor.cluster == "local" else submitit.SlurmJob
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise UserError(f"sweep.submitit: {' '.join(str(error).split())[:300]}") from error

    def start(self, options: Sequence[str], run: Path, slot: int) -> Job:
        """The run's job, or the one that an earlier sweep has started and that waits or goes on."""
        run.mkdir(parents=True, exist_ok=True)
        record = run / JOB
        if record.is_file():
            earlier = FileJob(self.job_class(self.folder, record.read_text(encoding="utf-8")), run)
            if earlier.poll() is None:
                return earlier
        for name in (STOP, CODE, BEAT):
            (run / name).unlink(missing_ok=True)
        started = self.executor.submit(execute, train_command(options, self.prefix), str(run))
        atomic_io.write_text(record, started.job_id)
        return FileJob(started, run)


class Ray:
    """A task of a Ray cluster whose machines see the folder of logs. It saves and ends when the sweep does.

    A task whose worker or machine is lost is begun again elsewhere, and so the run goes on from its checkpoint.
    """

    outlives = False

    def __init__(self, plan: Plan) -> None:
        check_installed("sweep.launcher=ray", "ray", "ray")
        import ray

        self.prefix, self.ray, options = plan.settings["prefix"], ray, plan.settings["ray"]
        try:
            ray.init(options["address"], log_to_driver=False, include_dashboard=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = options["address"] or "a cluster of this machine alone"
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"sweep.ray.address: {where} cannot be reached ({reason}); see ray status.") from error
        asked = {"num_cpus": options["cpus"], "num_gpus": options["gpus"], "max_retries": options["retries"]}
        self.task = ray.remote(**asked)(execute)

    def start(self, options: Sequence[str], run: Path, slot: int) -> Job:
        run.mkdir(parents=True, exist_ok=True)
        for name in (STOP, CODE, BEAT):
            (run / name).unlink(missing_ok=True)
        return FileJob(RayTask(self.ray, self.task.remote(train_command(options, self.prefix), str(run))), run)


@dataclass(frozen=True)
class RayTask:
    """A task, asked as a job of submitit is. ray: the library; result: what it will have."""

    ray: Any
    result: Any

    def done(self) -> bool:
        return bool(self.ray.wait([self.result], timeout=0)[0])


class FileJob:
    """A job that reports and is asked to end by files: so it goes wherever it runs, and for one found again."""

    def __init__(self, job: Any, run: Path) -> None:
        self.job, self.run = job, run

    def poll(self) -> int | None:
        if (self.run / CODE).is_file():
            return int((self.run / CODE).read_text(encoding="utf-8"))
        return None if self._beats() or not self.job.done() else 1  # cancelled, or out of memory or time

    def _beats(self) -> bool:
        beat = self.run / BEAT
        return beat.is_file() and time.time() - beat.stat().st_mtime < PATIENCE

    def stop(self) -> None:
        (self.run / STOP).touch()


def execute(command: Sequence[str], where: str) -> None:
    """In the job: run a command until it ends, or until a file in its folder asks it to end."""
    run = Path(where)
    with watchdog.waiting(PATIENCE):  # for the run of a worker that was lost, which ends
        lock.wait_until_free(run, PATIENCE)
    alive, _open = os.pipe()
    environment = {k: v for k, v in os.environ.items() if k not in OWN and not k.startswith("SLURM_")}
    with (run / OUTPUT).open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**environment, run_dir.SWEEP: str(alive)},
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[alive],
        )
    told: float | None = None
    while process.poll() is None:
        (run / BEAT).touch()
        if (run / STOP).exists() and told is None:
            told = time.monotonic()
            process.terminate()
        if told is not None and time.monotonic() - told > PATIENCE:
            process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(BEAT_SECONDS)
    atomic_io.write_text(run / CODE, str(process.returncode))
