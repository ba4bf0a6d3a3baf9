"""The loop of PPO: what its first step is, what stays still, what it comes to, and that it goes on exactly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import at_hand, data_of, in_turn, models_for
from one_step import reader_of_sets, train_and_restore
from resumable import KeepAll, continue_each, state, train
from torch import Tensor, nn
from two_processes import one_and_two

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.callbacks.run.rng import KeyedRandomness
from lightloom.core.errors import UserError
from lightloom.data.environments.bandit import Bandit
from lightloom.data.environments.datamodule import EnvironmentDataModule
from lightloom.data.environments.grid import Grid
from lightloom.modules.environment_ppo import EnvironmentPPO
from lightloom.networks.perceptron import Perceptron
from lightloom.optim import schedules

DATA = data_of("environment")
FEW = ["data.train_size=8", "data.batch_size=8", "data.val_size=4", "data.test_size=4"]
ADAM = partial(torch.optim.Adam, lr=3e-3)
WAY = ["S..", ".O.", "..G"]
QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)


@pytest.fixture(scope="module")
def datasets():
    """Of each name its datamodule."""
    return reader_of_sets("ppo", FEW)


@pytest.mark.parametrize(("model", "data"), in_turn(models_for("control"), DATA, "bandit"))
def test_one_step_saved_and_reloaded_acts_equally(model, data, datasets, tmp_path):
    datamodule = at_hand(datasets(data))
    _, module, again = train_and_restore(model, data, FEW, datamodule, tmp_path)
    keys = datamodule.split("test").keys
    assert torch.equal(module.play(keys).actions, again.play(keys).actions)
    assert torch.equal(module(datamodule.example(4, 0)), again(datamodule.example(4, 0)))


def episodes(world: Any = None, **options: Any) -> EnvironmentDataModule:
    sizes = {"train_size": 64, "val_size": 16, "test_size": 16, "batch_size": 16, "eval_batch_size": 16}
    return EnvironmentDataModule(world or Grid(WAY, steps=9), "mine", "environment", **{**sizes, **options})


def agent(world: Any, network: nn.Module | None = None, **options: Any) -> EnvironmentPPO:
    torch.manual_seed(0)
    network = network or Perceptron(world.observations, world.actions, 16, gain=0.01)
    critic = Perceptron(world.observations, 1, 16)
    return EnvironmentPPO(world, network=network, critic=critic, **{"optimizer": ADAM, **options})


def fitted(module: EnvironmentPPO, data: EnvironmentDataModule, epochs: int = 1) -> pl.Trainer:
    trainer = pl.Trainer(accelerator="cpu", max_epochs=epochs, callbacks=[KeyedRandomness(0)], **QUIET)  # type: ignore[arg-type]
    trainer.fit(module, data)
    return trainer


# --- an iteration


def test_the_first_minibatch_has_ratio_1_and_loss_0():
    """To the bit, though weights have been trained; the mean of whitened advantages is 0."""
    data = episodes()
    module = agent(data.environment, kl_weight=0.1)
    trainer = fitted(module, data, 2)
    found = trainer.callback_metrics
    assert found["train/first_log_ratio"] == 0
    for part in map(module.judged, module.play(data.split("val").keys).parts(4)):
        module.value_weight = 0.0
        assert float(module.loss(part).detach()) == pytest.approx(0, abs=1e-6)


def test_an_iteration_is_a_step_and_leaves_the_reference_alone():
    data = episodes()
    module = agent(data.environment, kl_weight=0.1)
    module.network[0].weight.data.mul_(2)  # as a checkpoint would, after the module was built
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    trainer = fitted(module, data, 2)
    assert trainer.global_step == 8
    assert all(torch.equal(before[name], value) for name, value in module.reference.state_dict().items())
    assert not any(torch.equal(before[name], value) for name, value in module.network.state_dict().items())
    assert trainer.callback_metrics["val/kl"] > 0


def test_an_episode_does_not_hang_on_those_beside_it():
    data = episodes()
    module, keys = agent(data.environment), data.split("test").keys
    together, alone = module.play(keys), module.play(keys[3:4])
    steps = int(alone.taken.sum())
    assert torch.equal(together.actions[3, :steps], alone.actions[0, :steps])
    assert together.measured["score"][3] == alone.measured["score"][0]
    assert not together.rewards[~together.taken].any()


def test_dropout_is_off():
    module = agent(Bandit(), nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5)))
    module.train()
    assert module.training
    assert not module.network.training


def test_a_schedule_takes_a_step_for_each_iteration():
    data = episodes()
    module = agent(data.environment, scheduler=partial(schedules.cosine, final=0.0))
    trainer = fitted(module, data, 2)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    waits = agent(
        data.environment, scheduler=partial(schedules.plateau, monitor="x", mode="min", factor=0.5, patience=1)
    )
    with pytest.raises(UserError, match="choose scheduler=cosine"):
        fitted(waits, data)


def test_a_target_without_a_weight_is_refused():
    with pytest.raises(UserError, match=r"model\.kl_target=3"):
        agent(Bandit(), kl_target=3.0)


# --- what it comes to


def test_it_finds_the_best_arm_and_the_way():
    for world, best in ((Bandit((0.2, 0.4, 0.8)), 0.8), (Grid(WAY, steps=9), 0.96)):
        data = episodes(world, train_size=512, batch_size=64, val_size=256, eval_batch_size=256)
        module = agent(world, optimizer=partial(torch.optim.Adam, lr=1e-2))
        score = float(module.play(data.split("val").keys).measured["score"].mean())
        found = float(fitted(module, data, 3).callback_metrics["val/score"])
        assert score < best - 0.25
        assert found == pytest.approx(best, abs=0.06)


class Paid(Bandit):
    """Arms that pay what they say, always."""

    def step(self, states: Tensor, actions: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return states, self.means[actions], torch.ones_like(actions, dtype=torch.bool)


@pytest.mark.parametrize("beta", [0.5, 100.0])
def test_the_optimum_is_the_reference_times_e_to_the_reward_over_beta(beta):
    """Ziegler et al. 2019, section 2: on one step the best policy is known; a large beta keeps the reference."""
    world = Paid((0.1, 0.9, 0.5))
    data = episodes(world, train_size=64 * 512, batch_size=512, val_size=1, seed=1)
    network = nn.Linear(1, 3, bias=False)
    network.weight.data = torch.tensor([[0.5], [-0.5], [0.0]])
    reference = network(torch.ones(1)).detach().softmax(0)
    module = agent(
        world, network, kl_weight=beta, optimizer=partial(torch.optim.Adam, lr=0.05), minibatches=1, epochs=2,
        scheduler=schedules.cosine,
    )  # fmt: skip
    fitted(module, data)
    expected = reference * (world.means / beta).exp()
    torch.testing.assert_close(network(torch.ones(1)).softmax(0), expected / expected.sum(), atol=0.02, rtol=0)


# --- guarantees


def run(
    folder: Path, resume: Path | None = None, keeper: type[RunCheckpoint] = RunCheckpoint, **options: Any
) -> dict[str, Any]:
    """Two epochs of four iterations with a reference whose weight adapts, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    data = episodes()
    module = agent(data.environment, kl_weight=0.1, kl_target=0.01, scheduler=schedules.cosine)
    module.save_hyperparameters({"model": {}, "data": {}})
    keep = keeper(str(folder / "checkpoints"), "val/objective", "max", every_n_steps=1)
    trainer = train(folder, module, data, keep, resume, **{"max_epochs": 2, **options})
    return state(trainer, folder, resume)


def test_resume_is_exact_between_and_inside_epochs(tmp_path):
    full = run(tmp_path / "full", keeper=KeepAll)
    assert continue_each(tmp_path, full, run=run) >= 6


GRID = ("model=ppo", "data=grid", "data.train_size=64", "data.batch_size=16", "data.val_size=10", "data.test_size=12")
GRID += ("model.kl_weight=0.1", "trainer.max_epochs=2", "preflight=false", "optimizer=sgd")


def test_two_processes_train_and_measure_what_one_does(tmp_path):
    """Three processes of some seconds."""
    one_and_two(tmp_path, *GRID)
