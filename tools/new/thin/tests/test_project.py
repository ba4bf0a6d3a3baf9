"""What must hold for this project."""

from pathlib import Path

import pytest
import torch
from lightloom.config import compose

from my_project.networks import SmallNet

ROOT = Path(__file__).parents[1]
FILES = [file for group in ("model", "experiment") for file in ROOT.glob(f"configs/{group}/*.yaml")]
CHOICES = [(file.parent.name, file.stem) for file in FILES]


def test_the_network_gives_a_logit_for_each_class():
    assert SmallNet(in_channels=3, num_classes=7, image_size=20)(torch.rand(2, 3, 20, 20)).shape == (2, 7)


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_each_choice_composes(group, name):
    """Every option is one that its class takes, and has a value of the right type and range."""
    cfg = compose.compose("train", compose.check("train", [f"{group}={name}"]))
    assert compose.without_hydra(cfg)["model"]["_target_"]
