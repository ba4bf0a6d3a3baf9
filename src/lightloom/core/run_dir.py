"""Lay out, create and find run directories. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightloom.core import atomic_io, documents
from lightloom.core.environment import variable
from lightloom.core.errors import UserError
from lightloom.core.redaction import redact
from lightloom.core.schema import Rule, anything, both, either, entries, items, nothing, real, table, text, whole

CHECKPOINTS, CONFIG, OVERRIDES, LOG = "checkpoints", "config.yaml", "overrides.txt", "run.log"
RESULTS, RECORD, CHOICES = "results.json", "run.json", "choices.json"
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
DOWNLOADS = "downloads"
ONCE = ("ckpt_path", "data_changed", "hydra.run.dir", "resume", "trust", "weights_only_init")  # not of the run itself
RUN_TIME = "LIGHTLOOM_RUN_TIME"  # environment variables: the processes of one run share its folder
RESUMED = "LIGHTLOOM_RESUMED"  # and the checkpoint that they continue from
LAUNCHER = "LIGHTLOOM_LAUNCHER"  # and the process that has started this one as a rank of its run
SWEEP = "LIGHTLOOM_SWEEP"  # of a trial: the file descriptor of a pipe that its sweep holds open

FIGURES = table(text(), either(nothing, real, text()))  # results.json, with words about the run beside its figures
ENDED = both(FIGURES, entries({"epochs": whole(0), "steps": whole(0)}, {}))
STARTS = entries({"starts": items(table(text(), anything))}, {})  # of run.json, what every reader of it needs
CHOSEN = table(text(256), either(nothing, text(256)))  # choices.json: group, or group@place, and the name of its file


def rank() -> int:
    """This process's global rank, from the environment of whichever launcher started it."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        number = variable(name)
        if number and not (name == "SLURM_PROCID" and not is_slurm_job()):
            return int(number)
    return 0


def is_slurm_job() -> bool:
    """Whether srun started this process as one of several tasks; an interactive shell inside a job does not count."""
    tasks = int(variable("SLURM_NTASKS") or 1)
    return tasks > 1 and variable("SLURM_JOB_NAME") not in ("bash", "interactive")


def create(path: Path) -> bool:
    """Create the run directory; False where another run has just taken the name."""
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
    """Find the checkpoint that `where` names: a file, an http(s) address, a run directory, or `last`, the newest run
    (of that name).

    prefer: which of a run's checkpoints, `last` (to resume) or `best` (to evaluate).
    """
    if "://" in where:
        from lightloom.core import download  # the libraries behind it take time to load

        return download.fetch(where, log_dir / DOWNLOADS).resolve()
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
    if found := trained(log_dir / "runs", run_name):
        return found[0]
    pattern = f"{run_name or '*'}/*/{CHECKPOINTS}/{LAST}"
    raise UserError(f"ckpt_path=last: there is no {log_dir}/runs/{pattern}; name a checkpoint file or a run folder.")


def trained(runs: Path, run_name: str | None = None) -> list[Path]:
    """The folders of runs (of that name) that have a checkpoint, the newest first."""
    found = [p for depth in ("", "*/") for p in runs.glob(f"{run_name or '*'}/{depth}{CHECKPOINTS}/{LAST}")]
    return [p.parent.parent for p in sorted(found, key=lambda p: p.stat().st_mtime)[::-1]]


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, or None for a file on its own."""
    folder = checkpoint.parent.parent
    return folder if checkpoint.parent.name == CHECKPOINTS and (folder / OVERRIDES).is_file() else None


def recorded_overrides(run: Path) -> list[str]:
    """The options that the run was started with, one override an entry."""
    return documents.read_text(run / OVERRIDES).splitlines()


def record_overrides(run: Path, overrides: Iterable[str]) -> None:
    """Record the options of a run, except those of one command, such as ckpt_path; without logins and tokens."""
    kept = (o for o in overrides if o.partition("=")[0].lstrip("+") not in ONCE)
    atomic_io.write_text(run / OVERRIDES, "".join(f"{redact(o)}\n" for o in kept))


def recorded_choices(run: Path) -> dict[str, str]:
    """The file that the run chose of each group, by `group` or `group@place`; none where no whole record is."""
    return {group: name for group, name in read_json(run / CHOICES, {}, CHOSEN).items() if name}


def record_choices(run: Path, choices: Mapping[str, str | None]) -> None:
    """Record what the run has chosen of each group, whoever chose it: its options, its experiment or a default."""
    atomic_io.write_text(run / CHOICES, json.dumps(dict(choices), indent=2) + "\n")


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


# --- records of a run


def starts(run: Path, rule: Rule = STARTS) -> list[dict[str, Any]]:
    """The entries of run.json, oldest first; none of a run that has no whole one, or none as the rule says."""
    return list(read_json(run / RECORD, {}, rule).get("starts", []))


def figures(run: Path, rule: Rule = FIGURES) -> dict[str, Any]:
    """The numbers of results.json, without the words; none where there is no whole one, or none as the rule says."""
    found = read_json(run / RESULTS, {}, rule)
    return {name: value for name, value in found.items() if not isinstance(value, str)}


def read_json(path: Path, otherwise: Any, rule: Rule = anything) -> Any:
    """Read a JSON file; `otherwise` where it is missing, damaged, of another type, or not as the rule says."""
    try:
        found = documents.read_json(path)
    except (OSError, UserError):
        return otherwise
    return found if isinstance(found, type(otherwise)) and rule(found) is None else otherwise
