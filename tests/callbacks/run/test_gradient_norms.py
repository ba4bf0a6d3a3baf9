"""The norms are those of autograd, once an epoch, and a run that goes on within an epoch keeps what it saw."""

import csv
from types import SimpleNamespace

import commands
import pytest
import torch
from torch import nn

from lightloom.callbacks.run.gradient_norms import GradientNorms, spaced


def step(callback, network, optimizer, epoch):
    callback.on_before_optimizer_step(SimpleNamespace(current_epoch=epoch), network, optimizer)


def test_norms_are_those_of_the_gradient_and_of_the_weights_of_an_epochs_first_step():
    """Of y = w x with the loss w x the gradient is x."""
    network = nn.Sequential(nn.Linear(4, 1), nn.Linear(1, 1, bias=False))
    optimizer = torch.optim.SGD(network[:1].parameters(), lr=0.1)
    callback, x = GradientNorms("."), torch.tensor([[1.0, 2.0, 2.0, 4.0]])
    for epoch in (0, 1):
        callback.on_train_epoch_start(None, network)
        for scale in (1.0, 100.0):  # only the first step counts
            network.zero_grad()
            (scale * network[0](x)).sum().backward()
            step(callback, network, optimizer, epoch)
    weight = network[0].weight.norm().item()
    assert callback.history == {
        1: {"0.weight": pytest.approx([5.0, weight])},
        2: {"0.weight": pytest.approx([5.0, weight])},
    }


def test_a_run_that_goes_on_within_an_epoch_keeps_what_it_saw():
    network = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    seen, resumed = GradientNorms("."), GradientNorms(".")
    network(torch.ones(1, 2)).sum().backward()
    step(seen, network, optimizer, 0)
    resumed.load_state_dict(seen.state_dict())
    network.weight.grad *= 10
    step(resumed, network, optimizer, 0)
    assert resumed.history == seen.history


def test_lines_of_the_picture_are_spread_over_the_epochs():
    assert spaced([1, 2, 3], 6) == [1, 2, 3]
    assert spaced(list(range(1, 12)), 6) == [1, 3, 5, 7, 9, 11]


def test_a_run_writes_a_row_for_each_weight_and_epoch(tmp_path):
    limits = ["trainer.max_epochs=2", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "test=false"]
    commands.run(tmp_path, "model=gan", "data=digits", "callbacks=gradient_norms", "trainer=cpu", *limits)
    (run,) = commands.runs(tmp_path)
    rows = list(csv.DictReader((run / "gradient_norms.csv").read_text().splitlines()))
    players = {row["weights"].split(".")[0] for row in rows}
    assert players == {"generator", "discriminator"}
    assert {row["epoch"] for row in rows} == {"1", "2"}
    assert len({(row["epoch"], row["weights"]) for row in rows}) == len(rows)
    assert all(float(row["gradient norm"]) > 0 for row in rows)
    assert (
        "gradient_norms.png" in (run / "report.html").read_text() or (run / "gradient_norms.png").stat().st_size > 5000
    )
