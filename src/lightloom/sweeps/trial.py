"""Run one trial: a run for each seed, progress reported to the pruner, the result to Optuna."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial, TrialState

from lightloom.core import run_dir, watchdog
from lightloom.sweeps import space
from lightloom.sweeps.launchers import OUTPUT, PATIENCE, Job, Launcher
from lightloom.sweeps.metrics import new_values, spread
from lightloom.sweeps.plan import Plan

log = logging.getLogger("lightloom")
SCORES, RESULTS, FAULT = "scores", "results", "fault"  # what a trial has to show, in the journal
TICK = 0.1  # seconds


def pruner(plan: Plan) -> optuna.pruners.BasePruner:
    """The pruner of optuna that `sweep.pruner` names; one that never prunes for `none`."""
    settings = plan.settings
    if settings["pruner"] == "median":
        return optuna.pruners.MedianPruner(settings["prune_startup"], n_warmup_steps=settings["prune_after"])
    if settings["pruner"] == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=settings["prune_after"])
    return optuna.pruners.NopPruner()


def _reported(study: optuna.Study, number: int) -> set[int]:
    """The epochs of a trial that Optuna knows."""
    (trial,) = (t for t in study.get_trials(deepcopy=False) if t.number == number)
    return set(trial.intermediate_values)


class Running:
    """A trial in progress: one run per seed, one after the other."""

    def __init__(self, plan: Plan, study: optuna.Study, trial: Trial, launcher: Launcher, slot: int) -> None:
        self.plan, self.study, self.trial, self.launcher, self.slot = plan, study, trial, launcher, slot
        study.pruner = pruner(plan)
        self.values = space.suggest(trial, plan.parameters)
        self.seeds = plan.seeds()
        self.results: list[dict[str, Any]] = []
        self.pruned, self.seen = False, _reported(study, trial.number)
        self.job = self._start()

    @property
    def run(self) -> Path:
        """The folder of the run that is going on."""
        return self.plan.folder / "trials" / f"{self.trial.number:03d}" / f"seed-{self.seeds[len(self.results)]}"

    def _start(self) -> Job:
        options = self.plan.command(self.values, self.seeds[len(self.results)], self.run)
        return self.launcher.start(options, self.run, self.slot)

    def is_over(self) -> bool:
        """Poll the run: report progress, take its result, start the next seed's. True once its result is reported."""
        self._prune()
        code = self.job.poll()
        if code is None:
            return False
        if self.pruned and code != 0:
            return self._tell(TrialState.PRUNED)
        fault = self._take_result() if code == 0 else f"exit code {code}: {_last_line(self.run / OUTPUT)}"
        if fault:
            self.trial.set_user_attr(FAULT, fault)
            return self._tell(TrialState.FAIL)
        if len(self.results) < len(self.seeds):
            self.job = self._start()
            return False
        return self._tell(TrialState.COMPLETE)

    def _prune(self) -> None:
        """Judge a trial by its first run, which ends early where others were better after as many epochs."""
        if self.pruned or self.results or self.plan.settings["pruner"] == "none":
            return
        for epoch, value in new_values(self.run / "metrics.csv", self.plan.monitor, self.seen):
            self.seen.add(epoch)
            self.trial.report(value, epoch)
            if self.trial.should_prune():
                self.pruned = True
                self.job.stop()
                return

    def _take_result(self) -> str | None:
        """Record the run's result; the reason where it has none, else None."""
        results = run_dir.figures(self.run)
        if not results:
            return f"{self.run} has no {run_dir.RESULTS}"
        score = results.get(f"best {self.plan.monitor}")
        if score is None or not math.isfinite(score):
            return f"the run has no {self.plan.monitor}"
        self.results.append(results)
        return None

    def _tell(self, state: TrialState) -> bool:
        scores = [results[f"best {self.plan.monitor}"] for results in self.results]
        for name, value in {SCORES: scores, RESULTS: self.results}.items():
            self.trial.set_user_attr(name, value)
        mean = float(np.mean(scores)) if state == TrialState.COMPLETE else None
        self.study.tell(self.trial, mean, state=state)
        outcome = f"{self.plan.monitor} {spread(scores)}" if mean is not None else state.name.lower()
        fault = self.trial.user_attrs.get(FAULT, "")
        log.info("trial %d  %s  %s  %s", self.trial.number, outcome, " ".join(space.lines(self.values)), fault)
        return True

    def leave(self) -> None:
        """Have the run save and end, unless it lives on without the sweep; the trial goes on with the next command."""
        if self.launcher.outlives:
            return
        self.job.stop()
        with watchdog.waiting(PATIENCE):
            while self.job.poll() is None:
                time.sleep(TICK)


def _last_line(path: Path) -> str:
    """The last line of a run's output, its error message first."""
    text = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.is_file() else []
    errors = [line for line in text if line.startswith("error: ")]
    return (errors or text or ["no output"])[-1][:300]
