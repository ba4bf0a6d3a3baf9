"""A run may begin with a part of another's weights: what fits by name and shape, and nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import commands
import pytest
import torch
from torch import nn

from lightloom.core.errors import UserError
from lightloom.engine.partial_init import chosen, load_parts
from lightloom.modules.classifier import Classifier


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer1, self.layer2 = nn.Linear(4, 5), nn.Linear(5, 5)


class Net(nn.Module):
    def __init__(self, classes: int, body: str = "body") -> None:
        super().__init__()
        setattr(self, body, Body())
        self.head = nn.Linear(5, classes)


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        (["layer1"], {"body.layer1.weight", "body.layer1.bias"}),
        (["body.layer1.bias"], {"body.layer1.bias"}),
        (["*.bias"], {"body.layer1.bias", "body.layer2.bias", "head.bias"}),
        (["layer"], set()),
        (["layer?.bias"], {"body.layer1.bias", "body.layer2.bias"}),
        (["body.*.bias"], {"body.layer1.bias", "body.layer2.bias"}),
        (["body*bias"], set()),  # a wildcard stops at a dot, as in optim/patterns.py
        (["head", "layer2.weight"], {"head.weight", "head.bias", "body.layer2.weight"}),
    ],
)
def test_patterns_are_of_parts_of_names(parts, names):
    assert chosen(Net(3), parts) == names


@pytest.mark.parametrize("body", ["body", "backbone"])
def test_the_backbone_is_what_is_called_so_or_all_but_the_output_layer(body):
    names = set(Net(3, body).state_dict())
    assert chosen(Net(3, body), ["backbone"]) == {name for name in names if name.startswith(body)}


def test_what_fits_is_taken_and_the_rest_stays_new(caplog):
    old, new = Net(7), Net(3)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    with caplog.at_level(logging.INFO, "lightloom"):
        load_parts(new, {"state_dict": old.state_dict()}, ["body", "head"], Path("x.ckpt"))
    for name, value in new.state_dict().items():
        assert torch.equal(value, before[name] if name.startswith("head") else old.state_dict()[name])
    assert "4 of 6 weights of x.ckpt; new: head.weight, head.bias." in caplog.text


@pytest.mark.parametrize("beside", [[], ["body"], ["backbone"]])
def test_a_pattern_that_names_nothing_is_refused_beside_others_too(beside):
    with pytest.raises(UserError, match=r"weights_only_init: 'hed' matches no parameter .* Did you mean head"):
        load_parts(Net(3), {"state_dict": Net(3).state_dict()}, [*beside, "hed"], Path("x.ckpt"))


def test_where_no_shape_fits_it_is_refused():
    with pytest.raises(UserError, match=r"weights_only_init=\[head\]: x.ckpt has no weights of that name and shape"):
        load_parts(Net(3), {"state_dict": Net(7).state_dict()}, ["head"], Path("x.ckpt"))


def test_the_backbone_is_learned_and_leaves_the_normalisation_of_the_images():
    """The mean and std of a classifier are the configuration's; the statistics of batch norm are the network's."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    made = chosen(Classifier(network, torch.optim.SGD, 3, mean=[0.5], std=[0.5]), ["backbone"])
    assert {"network.0.weight", "network.1.running_mean"} <= made
    assert all(name.startswith(("network.0.", "network.1.")) for name in made)
    assert "mean" in chosen(Classifier(network, torch.optim.SGD, 3, mean=[0.5], std=[0.5]), ["mean"])


def test_a_run_begins_with_a_backbone(tmp_path):
    quick = ("model=lenet", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "test=false")
    commands.run(tmp_path, *quick, "run_name=first")
    first = tmp_path / "runs/first"
    told = commands.run(tmp_path, *quick, f"ckpt_path={first}", "run_name=second", "weights_only_init=backbone")
    assert "Beginning with" in told
    assert "; new: mean, std, network." in told
    assert "weights_only_init=backbone" in (tmp_path / "runs/second/README.md").read_text()
    command = commands.start(tmp_path, *quick, f"ckpt_path={first}", "run_name=third", "weights_only_init=3")
    assert command.wait() == 2
    assert "weights_only_init=3: expected true, false, backbone, or a list of patterns" in command.text
