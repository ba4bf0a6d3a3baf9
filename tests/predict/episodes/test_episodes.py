"""predict.py of an agent: its steps in a file, its first episode on the console."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from omegaconf import OmegaConf

from lightloom.data.environments.cart_pole import CartPole
from lightloom.data.environments.grid import Grid
from lightloom.modules.environment_ppo import EnvironmentPPO
from lightloom.networks.perceptron import Perceptron
from lightloom.predict.episodes.command import run
from lightloom.predict.episodes.predictor import Predictor


def predictor(world) -> Predictor:
    torch.manual_seed(0)
    networks = {"network": Perceptron(world.observations, world.actions), "critic": Perceptron(world.observations, 1)}
    return Predictor(EnvironmentPPO(world, **networks, optimizer=partial(torch.optim.Adam)), {})


@pytest.mark.parametrize("world", [Grid(["S..", "..G"], steps=30), CartPole(25)], ids=["grid", "cart_pole"])
def test_episodes_are_written_and_the_first_is_shown(world, tmp_path, capsys):
    """Those of a seed are the first of more of them."""
    played = predictor(world)
    for count in (2, 3):
        folder = tmp_path / str(count)
        cfg = OmegaConf.create({"num_samples": count, "seed": 0, "paths": {"output_dir": str(folder)}})
        run(cfg, OmegaConf.create({}), played)
    two, three = ((tmp_path / name / "episodes.csv").read_text().splitlines() for name in ("2", "3"))
    assert two == three[: len(two)]
    assert {row.split(",")[0] for row in three[1:]} == {"0", "1", "2"}
    shown, steps = capsys.readouterr().out, sum(row.startswith("0,") for row in two)
    assert shown.count(", reward ") == 2 * min(steps, 20)
    assert ("steps more" in shown) == (steps > 20)
