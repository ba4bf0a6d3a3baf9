"""Run the trials of a sweep. Optuna proposes them and keeps the journal.

A sweep that is killed loses nothing: a trial that was running is still so in the journal, and the next command goes on
with it, in its run folders, from its checkpoints.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from lightloom.core import atomic_io, lock, run_dir
from lightloom.core.documents import read_json
from lightloom.core.errors import Interrupted, UserError
from lightloom.core.log_format import BRIEF, FULL, LogFormat
from lightloom.core.redaction import redact_options
from lightloom.core.schema import anything, check, table, text
from lightloom.integrations.optuna_internals import continue_trial
from lightloom.sweeps import best, space
from lightloom.sweeps import plan as plans
from lightloom.sweeps.launchers import Launcher
from lightloom.sweeps.plan import Plan
from lightloom.sweeps.trial import TICK, Running

log = logging.getLogger("lightloom")
JOURNAL, RECORD = "journal.log", "sweep.json"


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
    file = logging.FileHandler(where / run_dir.LOG, encoding="utf-8")
    file.setFormatter(LogFormat(FULL))
    root = logging.getLogger()
    root.handlers[:] = [file, logging.StreamHandler(sys.stdout)]
    root.handlers[1].setFormatter(LogFormat(BRIEF))
    root.handlers[1].addFilter(lambda record: record.name == "lightloom" and record.levelno >= logging.INFO)
    log.setLevel(logging.INFO)
    logging.captureWarnings(True)


def _check_same(plan: Plan) -> None:
    path, now = plan.folder / RECORD, redact_options(json.loads(json.dumps(plan.identity())))
    if not path.is_file():
        atomic_io.write_text(path, json.dumps(now, indent=2) + "\n")
    elif changed := plans.changed(check(read_json(path), table(text(), anything), path), now):
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
    coming, running = _trials(plan, study), dict[int, Running]()
    try:
        while True:
            for slot in range(plan.settings["n_jobs"]):
                if slot not in running and (trial := next(coming, None)):
                    running[slot] = Running(plan, study, trial, launcher, slot)
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
        yield continue_trial(study, left)
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
