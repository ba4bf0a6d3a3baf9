"""What a run's folder says of the run, read without torch."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightloom.config.values import format_value
from lightloom.core import cells, run_dir
from lightloom.core.documents import MOST_CONFIG, read_yaml
from lightloom.core.errors import UserError
from lightloom.core.places import ROOT, spoken
from lightloom.core.redaction import redact
from lightloom.reporting import records

METRICS = "metrics.csv"
SUMMED_UP = ("epochs", "steps", "train_seconds")  # of results.json, what is no metric


@dataclass(frozen=True)
class Curve:
    """A metric over a run: steps (batches under manual optimization), epochs from 0 and values, finite ones only."""

    steps: list[int]
    epochs: list[int]
    values: list[float]


@dataclass(frozen=True)
class Run:
    """config: resolved. overrides: of the command line. starts: of run.json. results: empty until the latest of these
    has come to its end; what an earlier one came to is no longer true.
    """

    folder: Path
    config: dict[str, Any]
    overrides: list[str]
    results: dict[str, float]
    starts: list[dict[str, Any]]
    curves: dict[str, Curve]

    @property
    def name(self) -> str:
        return str(self.config.get("run_name") or self.folder.name)

    @property
    def finished(self) -> bool:
        return bool(self.results)

    @property
    def monitor(self) -> str:
        return str((self.config.get("monitor") or {}).get("metric", ""))

    @property
    def tags(self) -> list[str]:
        """Words that the user has given the run."""
        found = self.config.get("tags")
        return list(map(str, found)) if isinstance(found, list) else []

    @property
    def data(self) -> dict[str, Any]:
        return self.config.get("data") or {}

    @property
    def classes(self) -> list[str]:
        """Their names, where the data has some."""
        found = self.data.get("classes")
        return list(map(str, found)) if isinstance(found, list) else []

    @property
    def data_name(self) -> str:
        """The data set's, or its class where it has no name."""
        return str(self.data.get("name") or str(self.data.get("_target_", "")).rpartition(".")[2])

    @property
    def data_title(self) -> str:
        """The data set's name; with the folder's, where that is another one."""
        folder = Path(str(self.data.get("root") or "")).name
        return self.data_name if folder in ("", self.data_name) else f"{self.data_name} ({folder})"

    @property
    def task(self) -> str:
        return str(self.config.get("task", "")).replace("_", " ")

    @property
    def start(self) -> dict[str, Any]:
        """The entry of the latest start; empty where the run has recorded none."""
        return self.starts[-1] if self.starts else {}

    @property
    def model(self) -> str:
        """What the network is called: by the library that it is of, or its class; the algorithm's of several."""
        model, network = self.config["model"], self.config["model"].get("network")
        network = network if isinstance(network, dict) else {}
        own = str(network.get("_target_") or model.get("_target_", "")).rpartition(".")[2]
        return str(network.get("name") or own)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of results.json: the best monitored one, and those of the test."""
        return {name: value for name, value in self.results.items() if name not in SUMMED_UP}

    @property
    def judged_by_validation(self) -> bool:
        """Was there no test part, so that the figures of the best checkpoint are those of validation?"""
        stages = {name.partition("/")[0] for name in self.metrics}
        return "test" not in stages and "val" in stages

    @property
    def where(self) -> str:
        """The folder as a command in the project would name it."""
        inside = self.folder.is_relative_to(ROOT)
        return shlex.quote(str(self.folder.relative_to(ROOT) if inside else self.folder))

    @property
    def train_seconds(self) -> float | None:
        """Of all starts together whose work is in the run; None where one was killed, and recorded none."""
        if (whole := self.results.get("train_seconds")) is not None:
            return whole
        told = [start["train_seconds"] for start in self.starts if "train_seconds" in start]
        return sum(told) if told and len(told) == len(self.starts) else None

    @property
    def continued(self) -> int:
        """How many of its starts went on from a checkpoint of its own."""
        return sum(_continues(start) for start in self.starts)

    @property
    def changed(self) -> list[list[Any]]:
        """(option, before, now) of all that was changed where the run was continued."""
        return [change for start in self.starts if _continues(start) for change in start["origin"].get("changed", [])]

    def best(self) -> tuple[float, int] | None:
        """The best value of the monitored metric so far, and its epoch, from 0."""
        curve = self.curves.get(self.monitor)
        if curve is None:
            return None
        sign = 1 if self.config["monitor"].get("mode") == "max" else -1
        place = max(range(len(curve.values)), key=lambda i: sign * curve.values[i])
        return curve.values[place], curve.epochs[place]

    def reproduce(self) -> str:
        """The command that starts this run anew, with the weights that it began with."""
        origin = self.start.get("origin") or {}
        options = [given for given in self.overrides if not given.startswith("run_name=")]
        if origin.get("weights_only"):
            options += [f"ckpt_path={origin['path']}", f"weights_only_init={format_value(origin['weights_only'])}"]
        return shlex.join([*spoken("train").split(), *options])


def _continues(start: dict[str, Any]) -> bool:
    origin = start.get("origin") or {"weights_only": True}
    return not origin.get("weights_only")


def read(run: Path, results: dict[str, float] | None = None) -> Run:
    """The facts of a run's folder; UserError where it holds no run. results: of one that is about to be finished."""
    run = run.resolve()
    try:
        config = read_yaml(run / run_dir.CONFIG, MOST_CONFIG)
    except FileNotFoundError:
        raise UserError(
            f"{run}: the folder has no {run_dir.CONFIG}, so no run began there; name a run's folder."
        ) from None
    except (OSError, UserError) as error:
        reason = type(error.__cause__ or error).__name__
        raise UserError(f"{run / run_dir.CONFIG} cannot be read ({reason}); name another run.") from error
    if records.CONFIG(config):
        raise UserError(f"{run / run_dir.CONFIG} is no configuration of a run; name a run's folder.")
    overrides = list(map(redact, run_dir.recorded_overrides(run))) if (run / run_dir.OVERRIDES).is_file() else []
    known = run_dir.starts(run, records.RECORD)
    ended = not known or known[-1].get("finished", False)
    found = results or (run_dir.figures(run, run_dir.ENDED) if ended else {})
    return Run(run, config, overrides, found, known, curves(run / METRICS))


def curves(path: Path) -> dict[str, Curve]:
    """The metrics of training and validation, of which metrics.csv has two values or more, by name."""
    found: dict[str, Curve] = {}
    for row in _rows(path):
        step, epoch = _number(row.get("step")), _number(row.get("epoch"))
        for name, text in row.items():
            value = _number(text)
            if name in ("step", "epoch") or name is None or value is None or step is None:
                continue
            curve = found.setdefault(str(name), Curve([], [], []))
            curve.steps.append(int(step))
            curve.epochs.append(int(epoch or 0))
            curve.values.append(value)
    return {name: found[name] for name in sorted(found) if not name.startswith("test/")}


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        with cells.open_csv(path) as file:
            return list(cells.dicts(file))
    except ValueError as error:
        raise UserError(f"{path}: is no CSV ({error}); name another run.") from error


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
