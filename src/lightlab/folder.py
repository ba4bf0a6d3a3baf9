"""A run's folder: what lies where in it, who names it, how an earlier one is found. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from lightlab import files
from lightlab.errors import UserError

CHECKPOINTS, CONFIG, OVERRIDES, LOG = "checkpoints", "config.yaml", "overrides.txt", "run.log"
RESULTS, RECORD = "results.json", "run.json"
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
DOWNLOADS = "downloads"
ONCE = ("ckpt_path", "hydra.run.dir", "resume", "weights_only_init")  # options of one command, not of its run
RUN_TIME = "LIGHTLAB_RUN_TIME"  # environment variables: the processes of one run share its folder
RESUMED = "LIGHTLAB_RESUMED"  # and the checkpoint that they continue from
LAUNCHER = "LIGHTLAB_LAUNCHER"  # and the process that has started this one as a rank of its run
SWEEP = "LIGHTLAB_SWEEP"  # of a trial: the file descriptor of a pipe that its sweep holds open


def rank() -> int:
    """This process's rank among all, from whichever launcher started it."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ and not (name == "SLURM_PROCID" and not is_slurm_job()):
            return int(os.environ[name])
    return 0


def is_slurm_job() -> bool:
    """Started by srun as one of several tasks (an interactive shell inside a job is not)."""
    return int(os.environ.get("SLURM_NTASKS", "1")) > 1 and os.environ.get("SLURM_JOB_NAME") not in (
        "bash",
        "interactive",
    )


def agree_on_run_time(proposal: str) -> str:
    """One name for the run's folder on all ranks: rank 0's proposal, or the numbers of the SLURM job and its srun."""
    if RUN_TIME not in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ and is_slurm_job():
        proposal = f"slurm-{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_STEP_ID', '0')}"
    return agree(RUN_TIME, proposal)


def agree(topic: str, proposal: str) -> str:
    """Rank 0's proposal, on all ranks that it started or torchrun did; under SLURM each rank has its own.

    topic: the environment variable that keeps the answer, for this process and those that it starts.
    """
    if topic not in os.environ:
        os.environ[topic] = _through_store(topic, proposal) if "TORCHELASTIC_RUN_ID" in os.environ else proposal
    return os.environ[topic]


def _through_store(topic: str, proposal: str) -> str:
    """Rank 0 writes into the key-value store that torchrun's agent serves (or itself, until all have read).

    Another rank that is ahead may find the store of the topic before, which is about to close: it tries once more.
    """
    from torch.distributed import DistNetworkError

    try:
        return _from_store(topic, proposal)
    except DistNetworkError:
        return _from_store(topic, proposal)


def _from_store(topic: str, proposal: str) -> str:
    from torch.distributed import TCPStore

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    key = f"{topic}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    serves = rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = TCPStore(host, port, is_master=serves, timeout=timedelta(minutes=5), wait_for_workers=False)
    if rank() == 0:
        store.set(key, proposal)
    agreed = store.get(key).decode()
    if store.add(f"{key}/read", 1) == int(os.environ["WORLD_SIZE"]):
        store.set(f"{key}/done", "")
    if serves:
        store.wait([f"{key}/done"])
    return agreed


def create(path: Path) -> bool:
    """Make the run's folder; False where another run has just taken the name."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise UserError(
            f"cannot create the run folder {path}: {error.strerror}; set paths.log_dir=<a folder you may write to>."
        ) from error
    return True


def find_checkpoint(where: str, log_dir: Path, run_name: str | None = None, prefer: str = "last") -> Path:
    """The checkpoint file that `where` means: a file, an http(s) address, a run's folder, or `last` for the newest run
    (of that name).

    prefer: which of a run's checkpoints, `last` (to resume) or `best` (to evaluate).
    """
    if "://" in where:
        from lightlab import web  # the libraries behind it take time to load

        return web.fetch(where, log_dir / DOWNLOADS).resolve()
    if where == "last":
        where = str(_newest_run(log_dir, run_name))
    path = Path(where).expanduser()
    if path.is_file():
        return path.resolve()
    if path.is_dir():
        for candidate in sorted((BEST, LAST, PREVIOUS), key=lambda name: name != f"{prefer}.ckpt"):
            for folder in (path / CHECKPOINTS, path):
                if (folder / candidate).is_file():
                    return (folder / candidate).resolve()
        raise UserError(f"ckpt_path={where}: the folder has no {CHECKPOINTS}/last.ckpt; name a run folder or a file.")
    raise UserError(
        f"ckpt_path={where}: there is no such file or folder{_nearest(path)}; name a checkpoint, a run folder or last."
    )


def _newest_run(log_dir: Path, run_name: str | None) -> Path:
    named = f"{run_name or '*'}/{CHECKPOINTS}/{LAST}"
    pattern = f"{run_name or '*'}/*/{CHECKPOINTS}/{LAST}"
    runs = log_dir / "runs"
    found = sorted([*runs.glob(named), *runs.glob(pattern)], key=lambda p: p.stat().st_mtime)
    if not found:
        raise UserError(
            f"ckpt_path=last: there is no {log_dir}/runs/{pattern}; name a checkpoint file or a run folder."
        )
    return found[-1].parent.parent


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, or None for a file on its own."""
    folder = checkpoint.parent.parent
    return folder if checkpoint.parent.name == CHECKPOINTS and (folder / OVERRIDES).is_file() else None


def recorded_overrides(run: Path) -> list[str]:
    """The options that the run was started with, one override an entry."""
    return (run / OVERRIDES).read_text(encoding="utf-8").splitlines()


def record_overrides(run: Path, overrides: Iterable[str]) -> None:
    """Write down the options of a run; not those that say where it begins and is written."""
    kept = (o for o in overrides if o.partition("=")[0].lstrip("+") not in ONCE)
    files.write_text(run / OVERRIDES, "".join(f"{o}\n" for o in kept))


def older(checkpoint: Path) -> Path | None:
    """The name under which the checkpoint before this one is kept: last.ckpt's only."""
    return checkpoint.with_name(PREVIOUS) if checkpoint.name == LAST else None


def _nearest(path: Path) -> str:
    """The part of a missing path that does exist, and what is in it."""
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    names = sorted(p.name for p in parent.iterdir() if not p.name.startswith("."))[:5] if parent.is_dir() else []
    return f" ({parent} has {', '.join(names)})" if names else ""
