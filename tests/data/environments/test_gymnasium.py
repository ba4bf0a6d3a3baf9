"""Gymnasium's environments: what it makes of them is what they are, an episode a function of its seed."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from lightloom.core.errors import UserError
from lightloom.data.environments.gymnasium_environment import GymnasiumEnvironment
from lightloom.ops.rng import uniforms

DRAWS = uniforms(torch.arange(5), 4)


@pytest.fixture(scope="module")
def gymnasium():
    return pytest.importorskip("gymnasium", reason="the extra `gymnasium` is not installed")


def played(world: GymnasiumEnvironment, draws: torch.Tensor, steps: int = 12) -> list[tuple[torch.Tensor, ...]]:
    """What is seen, paid and over after each step of one action after the other."""
    states, found = world.begin(draws), []
    for t in range(steps):
        states, rewards, over = world.step(states, torch.full((len(draws),), t % world.actions), draws[:, 0])
        found.append((world.observe(states), rewards, over))
    return found


def test_an_episode_is_a_function_of_its_own_draws(gymnasium):
    """Beside others or alone, to the bit, in worlds that were played in before; chance slips on the ice."""
    world = GymnasiumEnvironment("FrozenLake-v1")
    together = played(world, DRAWS)
    assert together[0][0].shape == (5, world.observations) == (5, 16)
    for i in range(5):
        alone = played(world, DRAWS[i : i + 1])
        for one, other in zip(together, alone, strict=True):
            assert all(torch.equal(a[i : i + 1], b) for a, b in zip(one, other, strict=True))
    assert len({tuple(seen.flatten().tolist()) for seen, *_ in zip(*together[3], strict=True)}) > 1


def test_what_is_over_stays_and_pays_nothing(gymnasium):
    found = played(GymnasiumEnvironment("CartPole-v1", options={"sutton_barto_reward": True}), DRAWS[:2] * 0 + 0.5, 60)
    first = next(t for t, (*_, over) in enumerate(found) if over.all())
    assert found[first][1].tolist() == [-1, -1]
    assert all(paid.tolist() == [0, 0] and torch.equal(seen, found[first][0]) for seen, paid, _ in found[first + 1 :])


def test_a_limit_ends_no_episode(gymnasium):
    """It cuts them: whoever learns from them asks what else they would have paid."""
    world = GymnasiumEnvironment("FrozenLake-v1", options={"is_slippery": False})
    states = world.begin(DRAWS)
    assert world.steps == gymnasium.spec("FrozenLake-v1").max_episode_steps == 100
    for _ in range(world.steps + 1):
        states, _, over = world.step(states, torch.zeros(5, dtype=torch.int64), DRAWS[:, 0])
    assert not over.any()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("CartPole-v9", {}, "data.name=CartPole-v9: .* versioned environments"),
        ("os:CartPole-v1", {}, "no module is imported for an environment"),
        ("Pendulum-v1", {}, r"its actions are Box\(.*choose from some that are counted"),
        ("Blackjack-v1", {}, "its episodes have no limit; set data.environment.steps=1000"),
        ("Ant-v5", {"xml_file": "ant.xml"}, "options.xml_file is no number, true or false"),
        ("FrozenLake-v1", {"slip": 1.0}, "unexpected keyword argument 'slip'"),
    ],
)
def test_what_cannot_be_played_is_refused(gymnasium, name, options, said):
    with pytest.raises(UserError, match=said):
        GymnasiumEnvironment(name, options=options)


def test_without_the_library_it_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^data=gymnasium needs gymnasium, not installed here: .*gymnasium"):
        GymnasiumEnvironment("CartPole-v1")
