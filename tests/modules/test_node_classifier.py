"""Classes of nodes: the paper's decay, its stop, figures of the nodes that count, and exact continuation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import at_hand, data_of, in_turn, models_for
from one_step import reader_of_sets, train_and_restore
from random_graphs import random_graph
from resumable import SCHEDULES, KeepAll, continue_each, state, train
from torch.nn.functional import cross_entropy

from lightloom.callbacks.graphs.degrees import by_degree, wilson
from lightloom.callbacks.graphs.hidden_map import principal
from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.callbacks.run.window_stopping import WindowStopping
from lightloom.core.errors import UserError
from lightloom.data.graphs.datamodule import GraphDataModule
from lightloom.data.graphs.generated import Communities
from lightloom.modules.node_classifier import NodeClassifier
from lightloom.networks.graphs.gcn import GCN
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import build_optimizer

DATA = data_of("graph")


@pytest.fixture(scope="module")
def datasets():
    """Of each name its datamodule, read once."""
    return reader_of_sets("gcn", [])


@pytest.mark.parametrize(("model", "data"), in_turn(models_for("node_classification"), DATA, "communities"))
def test_one_step_saved_and_reloaded_classifies_equally(model, data, datasets, tmp_path):
    datamodule = at_hand(datasets(data))
    _, module, again = train_and_restore(model, data, [], datamodule, tmp_path)
    features, adjacency, *_ = datamodule.split("test")[0]
    with torch.inference_mode():
        assert torch.equal(module(features, adjacency), again(features, adjacency))
        *_, logits = module.states(features, adjacency)
        assert torch.equal(logits, module(features, adjacency))


def classifier(**options: Any) -> NodeClassifier:
    torch.manual_seed(0)
    return NodeClassifier(GCN(12, 3), partial(torch.optim.Adam, lr=0.01), 3, **options)


def test_it_needs_two_classes():
    with pytest.raises(UserError, match="nodes without labels, or all of one class"):
        NodeClassifier(GCN(12, 1), torch.optim.Adam, 1)  # type: ignore[arg-type]


def test_decay_of_the_first_layer_is_the_gradient_of_half_its_square():
    """As Adam takes it (L2, not AdamW's decay): one step is that of the loss + 5e-4 / 2 |W0|^2."""
    features, adjacency = random_graph()
    features, adjacency, labels = features.float(), adjacency.float(), torch.arange(40) % 3
    found, expected = classifier(), classifier()
    groups = OptimizerGroups.of({"decay": {"network.layers.0": 5e-4}})
    of_groups = build_optimizer(found.optimizer, found, groups)
    plain = torch.optim.Adam(expected.parameters(), lr=0.01)
    for _ in range(3):
        for module, optimizer in ((found, of_groups), (expected, plain)):
            loss = cross_entropy(module.eval()(features, adjacency), labels)
            if module is expected:
                loss = loss + 5e-4 / 2 * module.network.layers[0].weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=1e-4, atol=1e-6)


# --- the stop

LOSSES = [5.0, 4, 3, 3.5, 3.3, 3.2, 4.1, 1]


def stopped_at(values: list[float], **options: Any) -> int | None:
    """The number of the epoch after which it stops, from 0."""
    stop = WindowStopping("val/loss", **{"mode": "min", "window": 3, **options})
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", callbacks=[stop])
    trainer.state.fn = "fit"  # type: ignore[assignment]
    for epoch, value in enumerate(values):
        trainer.callback_metrics["val/loss"] = torch.tensor(value)
        again = WindowStopping("val/loss", **{"mode": "min", "window": 3, **options})
        again.load_state_dict(stop.state_dict())
        for one in (stop, again):  # a resumed run decides as the whole one
            trainer.should_stop = False
            one.on_validation_end(trainer, None)  # type: ignore[arg-type]
        assert again.state_dict() == stop.state_dict()
        if trainer.should_stop:
            return epoch
    return None


def test_it_stops_above_the_mean_of_the_last_values():
    """As Kipf's code: cost[-1] > mean(cost[-(n + 1):-1]) once there are n before it."""
    naive = next(i for i in range(3, len(LOSSES)) if LOSSES[i] > sum(LOSSES[i - 3 : i]) / 3)
    assert stopped_at(LOSSES) == naive == 6
    assert stopped_at([-v for v in LOSSES], mode="max") == 6
    assert stopped_at(sorted(LOSSES, reverse=True)) is None
    assert stopped_at([1.0] * 8) is None


# --- what is shown


def test_accuracy_by_degree_counts_each_node_once():
    degrees = torch.tensor([0, 1, 1, 2, 4, 5, 6, 30])
    right = torch.tensor([1, 1, 0, 1, 0, 1, 1, 0]).bool()
    assert by_degree(degrees, right) == [
        ("0", 1, 1.0), ("1", 2, 0.5), ("2", 1, 1.0), ("4 to 5", 2, 0.5), ("6 to 10", 1, 1.0), ("21 or more", 1, 0.0),
    ]  # fmt: skip
    low, high = wilson(0.5, 100)
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)  # Wilson's interval, as statsmodels has it
    for count in range(1, 200):
        assert wilson(0.0, count)[0] == 0.0
        assert wilson(1.0, count)[1] == 1.0


def test_principal_components_are_those_of_a_singular_value_decomposition():
    states = torch.rand(50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points, shares = principal(states)
    u, s, _ = torch.linalg.svd(states - states.mean(0), full_matrices=False)
    torch.testing.assert_close(points.abs(), (u * s)[:, :2].abs())
    torch.testing.assert_close(torch.tensor(shares), (s.square() / s.square().sum())[:2].float())
    points, shares = principal(torch.ones(4, 1))
    assert not points.any()
    assert shares == [0.0, 0.0]


# --- continuation


def run(
    folder: Path, resume: Path | None = None, keeper: type[RunCheckpoint] = RunCheckpoint, **options: Any
) -> dict[str, Any]:
    """Up to twelve epochs of a step, from `resume` on, ended by a window: as soon as the loss falls."""
    pl.seed_everything(0, verbose=False)
    adam = partial(torch.optim.Adam, lr=0.5)
    module = NodeClassifier(GCN(64, 4, width=4), adam, 4, SCHEDULES["cosine"])
    module.save_hyperparameters({"model": {}, "data": {}})
    datamodule = GraphDataModule(Communities(120), "communities", "graph", setting="inductive")
    keep = keeper(str(folder / "checkpoints"), "val/acc", "max")
    stop = WindowStopping("val/loss", "max", window=6)
    trainer = train(folder, module, datamodule, keep, resume, callbacks=[stop], **{"max_epochs": 12, **options})
    return state(trainer, folder, resume)


@pytest.mark.parametrize("options", [{}, {"precision": "bf16-mixed"}], ids=["float32", "bf16-mixed"])
def test_resume_is_exact(tmp_path, options):
    full = run(tmp_path / "full", keeper=KeepAll, **options)
    assert 4 < full["steps"] < 12  # the window has ended it
    assert continue_each(tmp_path, full, slice(0, None, 4), run=run, **options) >= 2
