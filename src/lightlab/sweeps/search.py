"""The trials of a sweep: which there are, which run now, when each is over. Optuna proposes, its journal remembers.

A sweep that is killed loses nothing: a trial that was running is still so in the journal, and the next command goes on
with it, in its run folders, from its checkpoints.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from lightlab import files, folder, lock
from lightlab.errors import Interrupted, UserError
from lightlab.sweeps import best, space
from lightlab.sweeps import plan as plans
from lightlab.sweeps.launchers import OUTPUT, Job, Launcher
from lightlab.sweeps.metrics import new_values, spread
from lightlab.sweeps.plan import Plan

log = logging.getLogger("lightlab")
JOURNAL, RECORD = "journal.log", "sweep.json"
SCORES, RESULTS, FAULT, SECONDS = "scores", "results", "fault", "seconds"  # what a trial has to show, in the journal
TICK = 0.1  # seconds
ENDED_BY_SIGNAL = (-signal.SIGTERM, 128 + signal.SIGTERM)


def open_study(plan: Plan) -> optuna.Study:
    """The sweep's study, new or continued; UserError where the folder is in use or has a sweep with other options."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    lock.take(plan.folder, "sweep.name")
    _start_log(plan.folder)
    _check_same(plan)
    best.check_free(plan)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _mend_journal(plan.folder / JOURNAL)
    storage = JournalStorage(JournalFileBackend(str(plan.folder / JOURNAL)))
    direction = StudyDirection.MINIMIZE if plan.mode == "min" else StudyDirection.MAXIMIZE
    study = optuna.create_study(study_name=plan.name, storage=storage, direction=direction, load_if_exists=True)
    for values in plan.grid() or ():
        study.enqueue_trial(space.stored(values, plan.parameters), skip_if_exists=True)
    return study


def _start_log(where: Path) -> None:
    """Our messages to the screen and, with all that the libraries say, to the sweep's log."""
    file = logging.FileHandler(where / folder.LOG, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [file, logging.StreamHandler(sys.stdout)]
    root.handlers[1].addFilter(lambda record: record.name == "lightlab" and record.levelno >= logging.INFO)
    log.setLevel(logging.INFO)
    logging.captureWarnings(True)


def _check_same(plan: Plan) -> None:
    path, now = plan.folder / RECORD, json.loads(json.dumps(plan.identity()))
    if not path.is_file():
        files.write_text(path, json.dumps(now, indent=2) + "\n")
    elif changed := plans.changed(json.loads(path.read_text(encoding="utf-8")), now):
        raise UserError(
            f"{plan.folder} holds a sweep with other options: {'; '.join(changed)}. Give the recorded ones to continue "
            "it, or begin another one with sweep.name=<name>."
        )


def _mend_journal(path: Path) -> None:
    """Remove what a killed process has left: half a last line, and Optuna's lock (the folder's own is ours)."""
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if path.is_file() and not (content := path.read_bytes()).endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])


def run(plan: Plan, study: optuna.Study, launcher: Launcher) -> None:
    """All trials that are left. Interrupted, the runs save and end; they are continued by the same command."""
    ended = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    log.info(
        "Sweep %s: %d trials of %s, %d ended before. %s",
        plan.name,
        _count(plan, study),
        _varied(plan),
        ended,
        plan.folder,
    )
    coming, running = _trials(plan, study), dict[int, _Running]()
    try:
        while True:
            for slot in range(plan.settings["n_jobs"]):
                if slot not in running and (trial := next(coming, None)):
                    running[slot] = _Running(plan, study, trial, launcher, slot)
            if not running:
                return
            for slot in [slot for slot, going_on in running.items() if going_on.is_over()]:
                del running[slot]
            time.sleep(TICK)
    except (Interrupted, KeyboardInterrupt):
        log.info("Interrupted: the same command goes on with %d running trials.", len(running))
        raise
    finally:
        for going_on in running.values():
            going_on.leave()


def _count(plan: Plan, study: optuna.Study) -> int:
    grid = plan.grid()
    return len(grid) if grid is not None else max(plan.settings["n_trials"], len(study.get_trials(deepcopy=False)))


def _varied(plan: Plan) -> str:
    return ", ".join(p.key for p in plan.parameters)


def _trials(plan: Plan, study: optuna.Study) -> Iterator[Trial]:
    """Those that an earlier command has left running, then those that are waiting, then new ones."""
    for left in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        study.sampler = sampler(plan, left.number)
        yield Trial(study, left._trial_id)
    grid = plan.grid()
    while True:
        known = study.get_trials(deepcopy=False)
        waiting = any(trial.state == TrialState.WAITING for trial in known)
        if not waiting and (grid is not None or len(known) >= plan.settings["n_trials"]):
            return
        study.sampler = sampler(plan, len(known))
        yield study.ask()


def sampler(plan: Plan, number: int) -> optuna.samplers.BaseSampler:
    """One whose draws depend on the sweep's seed, the trial's number and the trials before it; not on interruptions."""
    seed = int(np.random.SeedSequence([plan.settings["seed"], number]).generate_state(1)[0])
    if plan.settings["sampler"] == "tpe":
        return optuna.samplers.TPESampler(seed=seed, constant_liar=plan.settings["n_jobs"] > 1)
    return optuna.samplers.RandomSampler(seed=seed)


def pruner(plan: Plan) -> optuna.pruners.BasePruner:
    settings = plan.settings
    if settings["pruner"] == "median":
        return optuna.pruners.MedianPruner(settings["prune_startup"], n_warmup_steps=settings["prune_after"])
    if settings["pruner"] == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=settings["prune_after"])
    return optuna.pruners.NopPruner()


class _Running:
    """A trial whose runs are made one after the other, one for each seed."""

    def __init__(self, plan: Plan, study: optuna.Study, trial: Trial, launcher: Launcher, slot: int) -> None:
        self.plan, self.study, self.trial, self.launcher, self.slot = plan, study, trial, launcher, slot
        study.pruner = pruner(plan)
        self.values = space.suggest(trial, plan.parameters)
        self.seeds = plan.seeds()
        self.results: list[dict[str, Any]] = []
        self.pruned, self.seen = False, set(study._storage.get_trial(trial._trial_id).intermediate_values)
        self.job = self._start()

    @property
    def run(self) -> Path:
        """The folder of the run that is going on."""
        return self.plan.folder / "trials" / f"{self.trial.number:03d}" / f"seed-{self.seeds[len(self.results)]}"

    def _start(self) -> Job:
        options = self.plan.command(self.values, self.seeds[len(self.results)], self.run)
        return self.launcher.start(options, self.run, self.slot)

    def is_over(self) -> bool:
        """Look at the run: report its progress, take its result, start the next one. True once all is told."""
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
        """Note what the run came to; what is wrong with it, or None."""
        try:
            results = json.loads((self.run / folder.RESULTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return f"{self.run} has no {folder.RESULTS}"
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
        while self.job.poll() is None:
            time.sleep(TICK)


def _last_line(path: Path) -> str:
    """What a run has said last, an error message before its place."""
    text = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.is_file() else []
    errors = [line for line in text if line.startswith("error: ")]
    return (errors or text or ["no output"])[-1][:300]
