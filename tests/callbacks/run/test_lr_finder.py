"""The search for a learning rate: what it draws, where it ends, and what it says."""

import csv
import math
from types import SimpleNamespace

import commands
import pytest
import torch
from conftest import compose

from lightloom.callbacks.run.lr_finder import LearningRateFinder, suggestion
from lightloom.core.errors import UserError
from lightloom.optim.schedules import range_test

RATES = [10 ** (-6 + 6 * i / 99) for i in range(100)]


def test_rates_rise_evenly_on_a_logarithmic_scale_and_groups_keep_their_ratio():
    groups = [{"params": [torch.zeros(1)], "lr": 0.02}, {"params": [torch.zeros(1)]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = range_test(optimizer, 100, low=1e-6, high=1.0)["scheduler"]
    seen = []
    for _ in range(100):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert [rate for _, rate in seen] == pytest.approx(RATES)
    assert [lower / rate for lower, rate in seen] == pytest.approx([0.2] * 100)


@pytest.mark.parametrize("centre", [1e-4, 1e-3, 1e-2])
def test_the_steepest_fall_is_found(centre):
    losses = [1 / (1 + (rate / centre) ** 2) + rate**2 for rate in RATES]
    found = suggestion(RATES, losses)
    assert abs(math.log10(found / centre)) < 0.07  # a step


@pytest.mark.parametrize("losses", [[], [1.0], [1.0] * 100, [1.0 + i for i in range(100)]])
def test_a_loss_that_does_not_fall_suggests_nothing(losses):
    assert suggestion(RATES[: len(losses)], losses) is None


@pytest.mark.parametrize("last", [50.0, math.inf, math.nan])
def test_the_search_ends_where_the_loss_is_far_above_all_before(last, tmp_path):
    finder = LearningRateFinder(str(tmp_path))
    trainer = SimpleNamespace(should_stop=False, optimizers=[SimpleNamespace(param_groups=[{"lr": 0.1}])])
    for loss in [2.0 - i / 40 for i in range(40)]:
        finder.on_train_batch_start(trainer, None, None, 0)
        finder.on_train_batch_end(trainer, None, {"loss": torch.tensor(loss)}, None, 0)
    assert not trainer.should_stop
    finder.on_train_batch_end(trainer, None, {"loss": torch.tensor(last)}, None, 0)
    assert trainer.should_stop


def test_a_search_writes_what_it_saw_and_keeps_no_weights(tmp_path):
    commands.run(tmp_path, "model=mlp", "data=digits", "debug=learning_rate", "trainer=cpu", "trainer.max_steps=40")
    (run,) = commands.runs(tmp_path)
    rows = list(csv.DictReader((run / "learning_rates.csv").read_text().splitlines()))
    assert [float(row["lr"]) for row in rows] == pytest.approx([10 ** (-6 + 6 * i / 39) for i in range(len(rows))])
    assert (run / "learning_rates.png").stat().st_size > 5000
    assert not list(run.rglob("*.ckpt"))


def test_a_model_of_several_optimizers_is_refused():
    with pytest.raises(UserError, match="scheduler"):
        compose("model=gan", "debug=learning_rate")
    with pytest.raises(UserError, match="steps several itself"):
        LearningRateFinder(".").setup(None, SimpleNamespace(automatic_optimization=False), "fit")
