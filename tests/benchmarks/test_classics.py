"""Each classic has a row, all are tuned alike, and a benchmark that was killed goes on where it was."""

from __future__ import annotations

import importlib
import json
import re

import pytest
from conftest import ROOT, models_for
from omegaconf import OmegaConf

TOO_LARGE = {"inception_v3"}  # wants 75 px, and timm has it in one width
UNPUBLISHED = {"timm", "torchvision"}  # the libraries' own names
ROWS = OmegaConf.to_container(OmegaConf.load(ROOT / "benchmarks/scoreboard.yaml").rows)
CLASSICS = [name.removeprefix("classic_") for name, row in ROWS.items() if "introduced" in row]
SCORES = {"1e-3": 0.7, "3e-3": 0.9, "1e-2": 0.8}  # by rate


@pytest.fixture
def classics(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("classics")


@pytest.fixture
def trained(classics, monkeypatch):
    """(the runs that were started, what starts one); a run writes its results, but the one that dies."""
    started = []

    def train(options, run):
        started.append((run.parent.name, run.name))
        run.mkdir(parents=True, exist_ok=True)
        with run.with_suffix(".cpu").open("a") as file:
            file.write("30\n")
        if len(started) == getattr(train, "dies_at", None):
            raise KeyboardInterrupt
        (run / "results.json").write_text(json.dumps({"best val/acc": SCORES[run.parent.name[3:]], "test/acc": 0.5}))

    monkeypatch.setattr(classics, "train", train)
    return started, train


def cited(name: str) -> str | None:
    """The paper of a model: authors and year, as they stand in the first line of its file."""
    first = (ROOT / f"configs/model/{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    found = re.search(r"\(([^()]*? \d{4})", first)
    return found.group(1) if found else None


@pytest.mark.parametrize("name", sorted({*models_for("classification")} - TOO_LARGE - UNPUBLISHED))
def test_each_published_classifier_has_a_row(name):
    chosen = {o.partition("=")[2] for row in ROWS.values() for o in row["options"] if o.startswith("model=")}
    assert name in chosen or any(f"({cited(name)}" in row["what"] for row in ROWS.values())


@pytest.mark.parametrize("name", CLASSICS)
def test_none_costs_more_than_the_others_may(classics, name):
    parameters, gflop = classics.cost(classics.options_of(classics.rows()[name], [], full=False))
    assert 0 < gflop <= classics.LARGEST
    assert parameters < 10_000_000


@pytest.mark.parametrize("name", CLASSICS)
def test_rows_differ_in_the_network_and_in_a_rate_of_the_grid_alone(classics, name):
    common, model, *thin, rate = classics.rows()[name]["options"]
    assert common == "experiment=classic"
    assert model.startswith("model=")
    assert all(o.lstrip("+").startswith("model.network.") for o in thin)
    assert rate in {f"{classics.RATE}={r}" for r in classics.RATES}


def test_the_rate_that_is_best_in_validation_gets_the_other_seeds(classics, trained, tmp_path):
    found = classics.tune([], tmp_path / "vgg", float("inf"))
    grid = [(f"lr-{rate}", "seed-0") for rate in classics.RATES]
    assert trained[0] == [*grid, ("lr-3e-3", "seed-1"), ("lr-3e-3", "seed-2")]
    assert len(found) == 5


def test_a_killed_benchmark_repeats_no_finished_run(classics, trained, tmp_path):
    started, train = trained
    train.dies_at = 4
    with pytest.raises(KeyboardInterrupt):
        classics.tune([], tmp_path / "vgg", float("inf"))
    train.dies_at = None
    found = classics.tune([], tmp_path / "vgg", float("inf"))
    assert started[3:] == [("lr-3e-3", "seed-1"), ("lr-3e-3", "seed-1"), ("lr-3e-3", "seed-2")]
    assert found["3e-3", 1]["cpu_seconds"] == 60
    assert classics.tune([], tmp_path / "vgg", float("inf")) == found
    assert len(started) == 6


def test_after_the_time_is_up_only_what_is_there_counts(classics, trained, tmp_path):
    assert classics.tune([], tmp_path / "vgg", 0.0) == {}
    assert trained[0] == []


def test_the_table_is_of_the_best_rate(classics, monkeypatch):
    monkeypatch.setattr(classics, "cost", lambda options: (1234, 0.0123))
    run = {"test/acc": 0.0, "best val/acc": 0.0, "cpu_seconds": 60.0}
    found = {(rate, 0): run | {"best val/acc": score} for rate, score in SCORES.items()}
    found |= {("3e-3", 1): run | {"test/acc": 0.2}, ("3e-3", 2): run | {"test/acc": 0.4, "cpu_seconds": 120.0}}
    board = {"vgg": {"what": "VGG", "introduced": "depth", "options": ["model=vgg11", "model.optimizer.lr=1e-3"]}}
    *_, line = classics.table(board, {"vgg": []}, {"vgg": found})
    assert line == "| VGG | depth | 1,234 | 0.0123 | 3e-3 | 0.2 ± 0.2 | 3 | 1.20 |"
    assert classics.table(board, {"vgg": []}, {"vgg": {("1e-3", 0): run}})[2:] == ["", "Not trained yet: VGG."]
    assert classics.advice(board, {"vgg": found}) == ["vgg: 3e-3 is best; set it in scoreboard.yaml"]


def test_another_budget_has_another_folder(classics):
    assert classics.slug([], full=False) == "small"
    assert len({classics.slug(o, f) for o in ([], ["trainer.max_epochs=5"]) for f in (False, True)}) == 4
