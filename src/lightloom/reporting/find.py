"""Which runs `runs=` means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lightloom.core import run_dir
from lightloom.core.errors import UserError

WAYS = "runs=<run folder | folder of runs | glob | [list] | last>"


def runs(asked: str | Sequence[str] | None, log_dir: str) -> list[Path]:
    """The folders of runs, each once, in the order asked for; UserError where one of those asked for has none."""
    if not asked:
        raise UserError(f"runs is not set; give {WAYS}, such as runs={log_dir}/runs.")
    found: dict[Path, None] = {}
    for one in [asked] if isinstance(asked, str) else asked:
        found.update(dict.fromkeys(_below(str(one), Path(log_dir))))
    return list(found)


def _below(asked: str, log_dir: Path) -> list[Path]:
    if asked == "last":
        return [_newest(log_dir / "runs")]
    path = Path(asked).expanduser()
    pattern = path.relative_to(path.anchor).as_posix()
    places = [path] if path.exists() else sorted(Path(path.anchor).glob(pattern))
    if not places:
        raise UserError(f"runs={asked}: there is no such file or folder; give {WAYS}.")
    found = [run.resolve() for place in places for run in _in(place)]
    if not found:
        raise UserError(f"runs={asked}: no run has trained there (no folder with {run_dir.CONFIG}); give {WAYS}.")
    return found


def _in(place: Path) -> Iterator[Path]:
    """The place itself where it is a run's folder, else those below it; of a file, the run that it belongs to."""
    if place.is_file():
        place = place.parent.parent if place.parent.name == run_dir.CHECKPOINTS else place.parent
    if _is_run(place):
        yield place
    elif place.is_dir():
        yield from sorted(path.parent for path in place.rglob(run_dir.CONFIG) if _is_run(path.parent))


def _newest(runs: Path) -> Path:
    found = [path for path in runs.rglob(run_dir.CONFIG) if _is_run(path.parent)]
    if not found:
        raise UserError(f"runs=last: there is no run in {runs}; give {WAYS}.")
    return max(found, key=lambda path: path.stat().st_mtime).parent.resolve()


def _is_run(place: Path) -> bool:
    return (place / run_dir.CONFIG).is_file() and (place / run_dir.OVERRIDES).is_file()
