"""Plot a sweep: its history, each parameter against the result, and each parameter's importance."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from lightloom.core.figures import new_figure
from lightloom.sweeps.plan import Plan
from lightloom.sweeps.space import Parameter
from lightloom.sweeps.trial import SCORES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENOUGH = 8  # trials, to say which parameter matters


def draw(plan: Plan, study: optuna.Study) -> Figure:
    """A matplotlib figure: history, slices, importance (where there are enough trials for it)."""
    shares = importance(study)
    panels = [partial(_history, plan, study), *(partial(_slice, plan, study, p) for p in plan.parameters)]
    panels += [partial(_importance, shares)] if shares else []
    columns = math.ceil(math.sqrt(len(panels)))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(figsize=(4.6 * columns, 3.4 * rows), layout="constrained")
    for number, panel in enumerate(panels, start=1):
        panel(figure.add_subplot(rows, columns, number))
    return figure


def importance(study: optuna.Study) -> dict[str, float]:
    """The share of each parameter in the variance of the results; nothing where there are too few trials to tell."""
    if len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])) < ENOUGH:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):
        return {}
    return {key: share for key, share in shares.items() if math.isfinite(share)} if len(shares) > 1 else {}


def _history(plan: Plan, study: optuna.Study, axes: Any) -> None:
    done = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    numbers, means = [t.number for t in done], [t.value or 0.0 for t in done]
    best = [(min if plan.mode == "min" else max)(means[: i + 1]) for i in range(len(means))]
    for trial in done:
        axes.plot([trial.number] * len(trial.user_attrs[SCORES]), trial.user_attrs[SCORES], ".", color="0.7")
    axes.plot(numbers, means, "o", label="trials")
    axes.step(numbers, best, where="post", color="C1", label="best so far")
    for trial in study.get_trials(deepcopy=False, states=[TrialState.PRUNED]):
        axes.plot(trial.number, trial.value, "x", color="C3")
    axes.set(xlabel="trial", ylabel=plan.monitor)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize="small")


def _slice(plan: Plan, study: optuna.Study, parameter: Parameter, axes: Any) -> None:
    done = [t for t in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]) if parameter.key in t.params]
    axes.plot([t.params[parameter.key] for t in done], [t.value for t in done], "o")
    if parameter.log:
        axes.set_xscale("log")
    axes.set(xlabel=parameter.name, ylabel=plan.monitor)


def _importance(shares: dict[str, float], axes: Any) -> None:
    keys = sorted(shares, key=lambda key: shares[key])
    axes.barh([key.partition("@")[0] for key in keys], [shares[key] for key in keys])
    axes.set(xlabel="importance (PED-ANOVA)")
