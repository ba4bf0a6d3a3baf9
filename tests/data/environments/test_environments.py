"""Environments: each a function of what it is given, with the dynamics that its source states."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from lightloom.core.errors import UserError
from lightloom.data.environments.bandit import Bandit
from lightloom.data.environments.cart_pole import CartPole
from lightloom.data.environments.datamodule import EnvironmentDataModule
from lightloom.data.environments.grid import Grid
from lightloom.ops.rng import uniforms

MAP = ["S.#", "O.G"]
ALL = [Bandit((0.0, 0.5, 1.0)), Grid(MAP), CartPole()]
UP, RIGHT, DOWN, LEFT = range(4)


@pytest.mark.parametrize("world", ALL, ids=lambda world: type(world).__name__)
def test_an_episode_is_a_function_of_its_own_draws(world):
    """Beside others or alone, to the bit; and what is seen has the size that it says."""
    draws, actions = uniforms(torch.arange(6), 4), torch.arange(6) % world.actions
    states = world.begin(draws)
    assert world.observe(states).shape == (6, world.observations)
    assert len(world.names) == world.actions
    together = world.step(states, actions, draws[:, 0])
    for i in range(6):
        own = slice(i, i + 1)
        alone = world.step(world.begin(draws[own]), actions[own], draws[own, 0])
        assert all(torch.equal(a[own], b) for a, b in zip(together, alone, strict=True))
    assert isinstance(world.show(world.observe(states)[0]), str)


def test_an_arm_pays_as_often_as_it_says():
    arms, draws = torch.arange(3).repeat(4000), uniforms(torch.arange(1), 12_000)[0]
    _, paid, over = ALL[0].step(torch.ones(12_000, 1), arms, draws)
    assert over.all()
    assert paid.view(-1, 3).mean(0).tolist() == pytest.approx([0, 0.5, 1], abs=0.03)


@pytest.mark.parametrize(
    ("place", "action", "there", "reward", "over"),
    [
        ((0, 0), UP, (0, 0), -0.01, False),
        ((0, 0), RIGHT, (0, 1), -0.01, False),
        ((0, 0), DOWN, (1, 0), -1.01, True),
        ((0, 1), RIGHT, (0, 1), -0.01, False),
        ((1, 1), RIGHT, (1, 2), 0.99, True),
        ((0, 1), LEFT, (0, 0), -0.01, False),
    ],
)
def test_a_step_in_a_grid(place, action, there, reward, over):
    states = torch.tensor([[place[0] * 3 + place[1]]])
    found = Grid(MAP).step(states, torch.tensor([action]), torch.tensor([0.3]))
    assert divmod(int(found[0]), 3) == there
    assert float(found[1]) == pytest.approx(reward)
    assert bool(found[2]) is over
    assert Grid(MAP).show(Grid(MAP).observe(states)[0]).count("@") == 1


def test_a_slip_goes_to_each_side_alike():
    draws = (torch.arange(8000) + 0.5) / 8000
    world = Grid(["...", ".S.", "..G"], slip=0.4)
    there, *_ = world.step(torch.full((8000, 1), 4), torch.full((8000,), UP), draws)
    assert (there[:, 0].bincount(minlength=9) / 8000).tolist() == pytest.approx(
        [0, 0.7, 0, 0.1, 0, 0.1, 0, 0.1, 0], abs=1e-3
    )


@pytest.mark.parametrize("rows", [[], ["S.", "G"], ["SG?"], ["S.."], ["..G"]])
def test_a_map_that_is_none_is_refused(rows):
    with pytest.raises(UserError, match=r"data\.environment\.rows"):
        Grid(rows)


def test_the_pole_moves_as_the_paper_has_it():
    """Their equations of motion, solved here for the accelerations as two linear ones."""
    states = torch.tensor([[0.1, -0.2, 0.15, 0.4]], dtype=torch.float64)
    found, paid, over = CartPole().step(states, torch.tensor([0]), torch.zeros(1))
    _, speed, angle, turning = states[0].tolist()
    cart, pole, half = 1.0, 0.1, 0.5
    sums = torch.tensor([[cart + pole, pole * half * math.cos(angle)], [math.cos(angle), 4 / 3 * half]])
    pushed = torch.tensor([-10.0 + pole * half * turning**2 * math.sin(angle), 9.8 * math.sin(angle)])
    gaining, falling = torch.linalg.solve(sums, pushed).tolist()
    expected = [0.1 + 0.02 * speed, speed + 0.02 * gaining, angle + 0.02 * turning, turning + 0.02 * falling]
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert (float(paid), bool(over)) == (1, False)


def bandit(**options: Any) -> EnvironmentDataModule:
    sizes = {"train_size": 12, "val_size": 5, "test_size": 7, "batch_size": 4, "eval_batch_size": 2}
    return EnvironmentDataModule(Bandit(), "bandit", "environment", **{**sizes, **options})


def test_each_epoch_has_keys_of_its_own_and_an_evaluation_the_same():
    data = bandit()
    loader = data.train_dataloader()
    epochs = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        epochs.append(torch.cat([keys for (keys,) in loader]))
    assert len({*torch.cat(epochs).tolist()}) == 24
    assert [len(keys) for (keys,) in data.eval_loader("test")] == [2, 2, 2, 1]
    again = torch.cat([keys for (keys,) in bandit(eval_batch_size=7).eval_loader("test")])
    assert torch.equal(torch.cat([keys for (keys,) in data.eval_loader("test")]), again)
    assert not {*again.tolist()} & {*data.split("val").keys.tolist()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"actions": 3}, "data.actions is 3"),
        ({"batch_size": 13}, "data.batch_size=12"),
        ({"train_size": 0}, "train_size is 0"),
    ],
)
def test_what_contradicts_the_environment_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        bandit(**options).facts()
