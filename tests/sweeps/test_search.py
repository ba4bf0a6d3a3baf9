"""A sweep tries what its plan says, loses no trial however it ends, and reports what its runs have found."""

from __future__ import annotations

import csv
import json
import os
import signal
import statistics
from pathlib import Path

import commands
import pytest
from given_plan import SHORT, TINY, Forked, Instant, plan, search_all
from omegaconf import OmegaConf
from optuna.trial import TrialState
from seeds import seed

from lightloom.config import compose
from lightloom.core.errors import UserError
from lightloom.engine.resume import differences
from lightloom.sweeps import plan as plans
from lightloom.sweeps import report, search
from lightloom.sweeps.metrics import new_values
from lightloom.sweeps.trial import FAULT

LR = "model.optimizer.lr=tag(log,interval(1e-4,1e-1))"
COMPLETE, PRUNED, FAIL, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(search, "TICK", 0.01)
    monkeypatch.setattr("lightloom.sweeps.trial.TICK", 0.01)


def near(options: dict[str, str]) -> float:
    """Best at a learning rate of 0.01."""
    return -abs(float(options["model.optimizer.lr"]) - 0.01)


def results_of(found: plans.Plan, trial: int) -> list[dict[str, float]]:
    folders = sorted((found.folder / "trials" / f"{trial:03d}").iterdir())
    return [json.loads((folder / "results.json").read_text()) for folder in folders]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A grid over a group and a value, two seeds, and one point whose runs fail."""
    folder = tmp_path_factory.mktemp("sweep")
    space = ("optimizer=adamw,nag", "data.batch_size=32,9999")
    found = plan(folder, *SHORT, *space, "sweep.sampler=grid", "sweep.seeds=2", "sweep.n_jobs=2", "seed=5")
    study = search_all(found, Forked())
    assert report.report(found, study) == 1  # of the point whose runs fail
    return found, study


def test_a_grid_is_covered_exactly_and_a_crash_harms_no_other_trial(searched):
    _, study = searched
    tried = [(t.params["optimizer@model.optimizer"], t.params["data.batch_size"], t.state) for t in study.trials]
    assert sorted(tried) == sorted(
        (optimizer, size, state) for optimizer in ("adamw", "nag") for size, state in (("32", COMPLETE), ("9999", FAIL))
    )
    faults = [t.user_attrs[FAULT] for t in study.trials if t.state == FAIL]
    assert all(fault.startswith("exit code 2: error:") and "data.batch_size" in fault for fault in faults)


def test_a_trial_counts_by_the_mean_of_its_seeds(searched):
    found, study = searched
    for trial in study.get_trials(states=[COMPLETE]):
        results = results_of(found, trial.number)
        assert [p.name for p in sorted((found.folder / f"trials/{trial.number:03d}").iterdir())] == ["seed-5", "seed-6"]
        assert trial.value == pytest.approx(statistics.mean(r["best val/acc"] for r in results))
        assert report.figures(found, trial)["test/acc"] == [r["test/acc"] for r in results]
        assert results[0]["test/loss"] != results[1]["test/loss"]


def test_the_table_has_each_trial_the_best_first(searched):
    found, study = searched
    with (found.folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["complete", "complete", "fail", "fail"]
    assert float(rows[0]["val/acc"]) == study.best_value >= float(rows[1]["val/acc"])
    tested = [result["test/acc"] for result in results_of(found, int(rows[0]["trial"]))]
    assert float(rows[0]["test/acc"]) == pytest.approx(statistics.mean(tested))
    assert float(rows[0]["test/acc std"]) == pytest.approx(statistics.stdev(tested))
    assert (found.folder / "sweep.png").stat().st_size > 1000


def test_the_best_options_are_an_experiment(searched):
    found, study = searched
    run = found.folder / f"trials/{study.best_trial.number:03d}/seed-5"
    own = compose.without_hydra(compose.compose("train", ["experiment=best_s", "seed=5"], found.config_dir))
    trained = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    changed = [key for key, *_ in differences(trained, OmegaConf.to_container(own)) if "dir" not in key]
    assert changed == ["data.classes"]  # which the data has told


@pytest.mark.learns
def test_a_run_that_does_worse_than_others_ends_early(tmp_path):
    long = (*TINY, "trainer.max_epochs=40", "trainer.limit_train_batches=4", "test=false", "scheduler=constant")
    long += (f"seed={seed()}",)
    rates = "model.optimizer.lr=0.01,0.02,1e-9"
    found = plan(tmp_path, *long, rates, "sweep.sampler=grid", "sweep.pruner=median", "sweep.prune_startup=2")
    study = search_all(found, Forked())
    assert [t.state for t in study.trials] == [COMPLETE, COMPLETE, PRUNED]
    ended = found.folder / f"trials/002/seed-{seed()}"
    assert not (ended / "results.json").exists()
    assert (ended / "checkpoints/last.ckpt").exists()
    full = {t.number: t.intermediate_values for t in study.trials}
    assert len(full[0]) == 40 > len(full[2])
    assert full[0] == dict(new_values(found.folder / f"trials/000/seed-{seed()}/metrics.csv", "val/acc", ()))
    at = max(full[2])
    assert full[2][at] < statistics.median([full[0][at], full[1][at]])


@pytest.mark.parametrize("sampler", ["random", "tpe", "grid"])
def test_an_interrupted_sweep_tries_what_one_that_was_not_tries(sampler, tmp_path):
    """Whatever the moment: each start of a run is the last one in turn."""
    wanted = LR if sampler != "grid" else "model.optimizer.lr=0.1,0.01,0.001,1e-4"
    options = (*TINY, wanted, f"sweep.sampler={sampler}", "sweep.n_trials=7", "sweep.seeds=2")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = search_all(plan(tmp_path / "a", *options), Instant(near))
    starts: list[str] = []
    found = plan(tmp_path / "b", *options)
    for most in range(100):
        launcher = Instant(near, most=most % 4)
        try:
            study = search_all(found, launcher)
            break
        except KeyboardInterrupt:
            pass
        finally:
            starts += launcher.started
    assert [t.params for t in study.trials] == [t.params for t in plain.trials]
    assert [t.values for t in study.trials] == [t.values for t in plain.trials]
    assert {t.state for t in study.trials} == {COMPLETE}
    assert len(study.trials) == (4 if sampler == "grid" else 7)
    assert len(set(starts)) == 2 * len(study.trials)


def test_a_longer_sweep_goes_on_with_the_same_trials(tmp_path):
    options = (*TINY, LR, "sweep.sampler=random")
    short = search_all(plan(tmp_path, *options, "sweep.n_trials=3"), Instant(near))
    first = [t.params for t in short.trials]
    launcher = Instant(near)
    longer = search_all(plan(tmp_path, *options, "sweep.n_trials=5"), launcher)
    assert [t.params for t in longer.trials][:3] == first
    assert launcher.started == ["003/seed-0", "004/seed-0"]
    assert len({t.params["model.optimizer.lr"] for t in longer.trials}) == 5


def test_several_trials_run_at_a_time(tmp_path):
    """A slot is never used twice at a time, and the grid is the same."""
    found = plan(tmp_path, *TINY, "seed=range(0,7)", "sweep.sampler=grid", "sweep.n_jobs=3")
    study = search_all(found, Instant(lambda options: float(options["seed"])))
    assert sorted(t.value for t in study.trials) == [0, 1, 2, 3, 4, 5, 6]
    assert study.best_trial.params == {"seed": "6"}


def test_other_options_are_another_sweep(tmp_path):
    search_all(plan(tmp_path, *TINY, LR, "sweep.n_trials=1"), Instant(near))
    with pytest.raises(UserError, match=r"holds a sweep with other options: overrides.*sweep.name=<name>"):
        search.open_study(plan(tmp_path, *TINY, LR, "sweep.n_trials=1", "trainer.max_epochs=2"))


def test_half_a_line_in_the_journal_is_no_loss(tmp_path):
    found = plan(tmp_path, *TINY, LR, "sweep.n_trials=3")
    before = search_all(found, Instant(near)).trials
    with (found.folder / search.JOURNAL).open("ab") as file:
        file.write(b'{"op_code":6,"worker')
    Path(f"{found.folder / search.JOURNAL}.lock").symlink_to("left")
    again = search_all(plan(tmp_path, *TINY, LR, "sweep.n_trials=4"), Instant(near))
    assert [t.params for t in again.trials][:3] == [t.params for t in before]
    assert len(again.trials) == 4


def test_the_file_of_another_is_not_replaced(tmp_path):
    found = plan(tmp_path, *TINY, LR, "sweep.n_trials=1")
    report.report(found, search_all(found, Instant(near)))
    longer = plan(tmp_path, *TINY, LR, "sweep.n_trials=8")
    report.report(longer, search_all(longer, Instant(near)))
    path = tmp_path / "configs/experiment/best_s.yaml"
    path.write_text("# @package _global_\n# Mine.\n")
    with pytest.raises(UserError, match=r"best_s.yaml is there, and not as this sweep has written it"):
        search.open_study(longer)
    assert "Mine" in path.read_text()


def test_a_sweep_without_a_result_is_a_failure(tmp_path):
    found = plan(tmp_path, *TINY, LR, "sweep.n_trials=1")
    study = search_all(found, Instant(lambda options: float("nan")))
    with pytest.raises(UserError, match="no trial of sweep s has a result; trial 0: the run has no val/acc"):
        report.report(found, study)


def test_a_killed_sweep_goes_on_with_its_runs(tmp_path):
    """SIGKILL, in the middle of a run: the run saves and ends, and is continued where it was.

    One trial is enough, for each is a process that imports torch.
    """
    long = (*TINY, "trainer.max_epochs=40", "trainer.limit_train_batches=5", "test=false")
    options = (*long, "model.network.hidden=[8],[9]", "sweep.sampler=random", "sweep.n_trials=1")
    options += (f"--config-dir={tmp_path}",)
    first = commands.start(tmp_path, *options, script="sweep")
    run = tmp_path / "sweeps/default/trials/000/seed-0"
    first.wait_until((run / "checkpoints/last.ckpt").exists)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    commands.run(tmp_path, *options, script="sweep")
    assert "Resuming from" in (run / "output.txt").read_text()
    with (tmp_path / "sweeps/default/trials.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["trial"], row["state"]) == ("0", "complete")
    commands.run(tmp_path, *long, f"model.network.hidden={row['model.network.hidden']}", "seed=0", "run_name=plain")
    plain = (tmp_path / "runs/plain/metrics.csv").read_text()
    assert (run / "metrics.csv").read_text() == plain
