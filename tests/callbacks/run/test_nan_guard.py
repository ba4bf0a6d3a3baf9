"""A run stops at the step that is not finite, before it changes the weights, and says what it was."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import commands
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.callbacks.run.nan_guard import NaNGuard
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint
from lightloom.engine.fast_loop import use_fast_loop

BAD = 4  # the optimizer step that goes wrong, from 0


class Module(pl.LightningModule):
    """A regression in which step BAD is not finite: its loss, or one gradient only, or nothing but the loss' value."""

    def __init__(self, fault: str, manual: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        self.fault, self.automatic_optimization = fault, not manual
        self.seen: list[Tensor] = []

    def loss(self, batch: Tensor) -> Tensor:
        loss = (self.network(batch) - 1).square().mean()
        if self.global_step < BAD or self.fault == "none":
            return loss
        if self.fault == "gradient":  # d sqrt(x) / dx at 0
            return loss + (self.network[2].weight * 0).sqrt().sum()
        return loss * math.nan if self.fault == "loss" else loss + loss.detach() * math.inf

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor | None:
        self.seen = [p.detach().clone() for p in self.parameters()]
        if self.automatic_optimization:
            return self.loss(batch)
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()
        return None

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, lean: bool = True, **options: Any) -> pl.Trainer:
    keeper = RunCheckpoint(str(folder / "checkpoints"), "val/loss", "min", every_n_steps=1)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    plugins = [checkpoint.SafeCheckpointIO(), *options.pop("plugins", [])]
    made = pl.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[NaNGuard(), keeper], plugins=plugins, **quiet, **options
    )  # fmt: skip
    return use_fast_loop(made) if lean else made


def data() -> DataLoader:
    return DataLoader(torch.randn(100, 3, generator=torch.Generator().manual_seed(1)), batch_size=2)


SAID = {
    "loss": "the loss is nan and the gradient of network.0.weight is not finite",
    "gradient": r"Step 5 \(epoch 1\): the gradient of network.2.weight is not finite; the weights were not changed",
    "value": "the loss is inf; the weights were not changed",
}


@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
@pytest.mark.parametrize("fault", SAID)
def test_the_step_is_not_taken(tmp_path, fault, manual):
    """The weights are those before the step, and last.ckpt holds the same."""
    module = Module(fault, manual)
    with pytest.raises(UserError, match=SAID[fault]) as stopped:
        trainer(tmp_path).fit(module, data())
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert str(stopped.value).endswith(f"The last good checkpoint is {last}.")
    saved = torch.load(last, weights_only=True)
    assert saved["global_step"] == BAD
    for before, after, kept in zip(module.seen, module.parameters(), saved["state_dict"].values(), strict=True):
        assert torch.equal(before, after)
        assert torch.equal(before, kept)


@pytest.mark.parametrize(
    ("lean", "options"),
    [
        (False, {}),
        (True, {"accumulate_grad_batches": 2}),
        (True, {"gradient_clip_val": 0.1}),
        (True, {"precision": "bf16-mixed"}),
    ],
    ids=["Lightning's loop", "accumulated", "clipped", "bf16"],
)
def test_on_every_way_to_a_step(tmp_path, lean, options):
    with pytest.raises(UserError, match=rf"Step {BAD + 1} .*the loss is nan"):
        trainer(tmp_path, lean, **options).fit(Module("loss"), data())


class Unusual(Module):
    """Gradients that one kernel for all does not take: sparse, complex, or one number for a whole weight."""

    def __init__(self, kind: str) -> None:
        super().__init__("none")
        self.kind, self.network = kind, nn.ParameterList([nn.Embedding(3, 2, sparse=True).weight])
        if kind != "sparse":
            self.network[0] = nn.Parameter(torch.ones(3, 2, dtype=torch.complex64 if kind == "complex" else None))

    def loss(self, batch: Tensor) -> Tensor:
        weight = self.network[0]
        if self.kind == "sparse":
            weight = nn.functional.embedding(torch.tensor([1]), weight, sparse=True)
        return weight.sum().abs() * (math.inf if self.global_step == BAD else 1)


@pytest.mark.parametrize("kind", ["sparse", "complex", "one number"])
def test_unusual_gradients_are_looked_at(tmp_path, kind):
    with pytest.raises(UserError, match=f"Step {BAD + 1} .*the loss is inf"):
        trainer(tmp_path).fit(Unusual(kind), data())


def test_the_guard_changes_no_bit(tmp_path):
    found = []
    for guarded in (True, False):
        made = trainer(tmp_path / str(guarded))
        made.callbacks = [c for c in made.callbacks if guarded or not isinstance(c, NaNGuard)]
        module = Module("none")
        made.fit(module, data())
        found.append([p.detach() for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_large_is_not_infinite():
    """The sum of two large gradients overflows; each of them is a number."""
    module = nn.Linear(2, 2)
    for p in module.parameters():
        p.grad = torch.full_like(p, 3e38)
    NaNGuard().on_before_optimizer_step(None, module, torch.optim.SGD(module.parameters(), lr=0.1))


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    made, module = trainer(tmp_path), Module("none")
    made.fit(module, data())
    last = tmp_path / "checkpoints" / "last.ckpt"
    good = last.read_bytes()
    with torch.no_grad():
        module.network[2].bias[0] = math.inf
    with pytest.raises(UserError, match=r"the weights network\.2\.bias are not finite; it was not saved"):
        made.save_checkpoint(last)
    assert last.read_bytes() == good


class Keeps(Module):
    """Beside its weights: statistics, and a mask that is infinite by design."""

    def __init__(self) -> None:
        super().__init__("none")
        self.network.append(nn.BatchNorm1d(1))
        self.register_buffer("mask", torch.tensor([0.0, -math.inf]))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.1)


BESIDE = {
    ("statistics", math.nan): r"the weights network\.3\.running_var are not finite",
    ("statistics", math.inf): r"the weights network\.3\.running_var are not finite",
    ("optimizer", math.nan): "the state of optimizer 0 is NaN",  # infinity may be meant there
}


@pytest.mark.parametrize(("place", "value"), BESIDE)
def test_what_is_beside_the_weights_is_not_saved_broken(tmp_path, place, value):
    made, module = trainer(tmp_path), Keeps()
    made.fit(module, data())
    last = tmp_path / "checkpoints/last.ckpt"
    good = last.read_bytes()
    state = made.optimizers[0].state[module.network[0].weight]
    {"statistics": module.network[3].running_var, "optimizer": state["exp_avg"]}[place].fill_(value)
    with pytest.raises(UserError, match=f"{BESIDE[place, value]}; it was not saved"):
        made.save_checkpoint(last)
    assert last.read_bytes() == good


@pytest.mark.parametrize("place", ["weights", "statistics", "optimizer"])
def test_nothing_is_trained_from_what_is_broken(tmp_path, place):
    """Neither is the file called the last good one; a mask that the module has so is none of it."""
    trainer(tmp_path).fit(Keeps(), data())
    content = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    checkpoint.check_finite(content, Keeps(), tmp_path)
    weights = content["state_dict"]
    state = content["optimizer_states"][0]["state"][0]
    broken = {"weights": weights["network.0.weight"], "statistics": weights["network.3.running_mean"]}
    {**broken, "optimizer": state["exp_avg"]}[place].view(-1)[0] = math.nan
    with pytest.raises(UserError, match="nothing can be trained from it"):
        checkpoint.check_finite(content, Keeps(), tmp_path)


def scaled(tmp_path: Path, fault_from: int, fault_until: int) -> Any:
    class Overflowing(Module):
        def loss(self, batch: Tensor) -> Tensor:
            step = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
            loss = (self.network(batch) - 1).square().mean()
            return loss * math.inf if fault_from <= step < fault_until else loss

    module = Overflowing("none")
    scaler = torch.amp.GradScaler("cpu")
    made = trainer(tmp_path, plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)])
    made.callbacks = [c for c in made.callbacks if isinstance(c, NaNGuard)]
    made.fit(module, data())
    return module, scaler


def test_overflows_are_the_scalers_business(tmp_path):
    module, scaler = scaled(tmp_path / "overflowing", 3, 6)
    assert scaler.get_scale() == scaled(tmp_path / "sound", 0, 0)[1].get_scale() / 2**3
    assert all(torch.isfinite(p).all() for p in module.parameters())


def test_a_scale_that_has_collapsed_stops_the_run(tmp_path):
    with pytest.raises(UserError, match="every step overflows"):
        scaled(tmp_path, 1, 10**6)


TOO_HIGH = {
    "classifier": ("model=mlp", "optimizer=sgd", "model.optimizer.lr=1e30"),
    "GAN": ("model=dcgan", "model.generator.width=4", "model.discriminator_optimizer.lr=1e30"),
}


@pytest.mark.parametrize("name", TOO_HIGH)
def test_a_learning_rate_that_is_too_high_is_one_line(tmp_path, name):
    """Exit code 2, and no checkpoint holds weights that are not finite."""
    each_step = "callbacks.checkpoint.every_n_steps=1"
    command = commands.start(tmp_path, *TOO_HIGH[name], each_step, "trainer.max_epochs=2", "test=false")
    assert command.wait() == 2, command.text
    (error,) = [line for line in command.text.splitlines() if line.startswith("error: ")]
    assert "Step " in error
    assert " is not finite" in error
    assert "lr" in error
    for file in tmp_path.rglob("*.ckpt"):
        assert all(torch.isfinite(x).all() for x in torch.load(file, weights_only=True)["state_dict"].values())
