"""The private names of Optuna that lightloom uses. Seen in optuna 5.0."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, Trial

from lightloom.core.errors import UserError


def continue_trial(study: optuna.Study, running: FrozenTrial) -> Trial:
    """A trial that another process has begun. Raises UserError where this version of Optuna has no such way."""
    number = getattr(running, "_trial_id", None)
    if number is None:
        raise UserError(
            f"optuna {optuna.__version__} cannot continue trial {running.number} of {study.study_name}; install the "
            "version that the sweep was begun with, or begin another sweep with sweep.name=<name>."
        )
    return Trial(study, number)
