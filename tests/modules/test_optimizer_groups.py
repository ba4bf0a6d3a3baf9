"""Groups and freezing in training: what is frozen keeps every bit, what thaws trains as if nothing had been."""

from __future__ import annotations

from functools import partial
from typing import Any

import commands
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lightloom.core.errors import UserError
from lightloom.engine import checkpoint
from lightloom.losses.adversarial import NonSaturating
from lightloom.modules.bigan import BiGAN
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.optim import schedules
from lightloom.optim.groups import OptimizerGroups

ADAMW = partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1)
STEPS = 3  # in an epoch


class Toy(pl.LightningModule):
    """Somebody's module, DETR-like: a backbone with statistics, a head; it calls the shared function and no more."""

    def __init__(self, optimizer_groups: dict[str, Any] | None = None, freezes: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, affine=False), spectral_norm(nn.Linear(8, 8)))
        self.head = nn.Linear(8, 2)
        self.optimizer_groups, self.freezes = OptimizerGroups.of(optimizer_groups), freezes
        self.seen: list[dict[str, Tensor]] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.head(self.backbone(batch[0])).square().mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Lightning puts everything into evaluation mode for it, and back."""

    def on_train_epoch_end(self) -> None:
        self.seen.append({name: value.clone() for name, value in self.state_dict().items()})

    def configure_optimizers(self) -> Any:
        cosine = partial(schedules.cosine, total_steps=3 * STEPS)
        return configure_optimizer(self, ADAMW, lambda optimizer, total_steps: cosine(optimizer), self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return freezing(self.optimizer_groups) if self.freezes else []


class Noise(pl.LightningDataModule):
    num_train_batches = STEPS

    def train_dataloader(self) -> Any:
        samples = torch.rand(8 * STEPS, 4, generator=torch.Generator().manual_seed(0))
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(samples), batch_size=8)

    val_dataloader = train_dataloader


def fit(module: pl.LightningModule, epochs: int = 3) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(module, datamodule=Noise())
    return trainer


def parts(state: dict[str, Tensor], prefix: str) -> list[Tensor]:
    return [value for name, value in state.items() if name.startswith(prefix)]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(map(torch.equal, a, b))


def test_what_is_frozen_keeps_every_bit_of_weights_and_statistics():
    module = Toy({"freeze": ["backbone"]})
    start = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = fit(module)
    assert same(parts(start, "backbone"), parts(module.state_dict(), "backbone"))
    assert not same(parts(start, "head"), parts(module.state_dict(), "head"))
    assert sum(len(g["params"]) for g in trainer.optimizers[0].param_groups) == 2


def test_without_it_statistics_and_power_iteration_move():
    module = Toy()
    start = {name: value.clone() for name, value in module.state_dict().items()}
    fit(module)
    moved = {name for name, value in module.state_dict().items() if not torch.equal(value, start[name])}
    assert {"backbone.1.running_mean", "backbone.1.num_batches_tracked"} <= moved
    assert any(name.endswith("_u") for name in moved)


def test_what_thaws_is_still_until_then_and_moves_from_then_on():
    module = Toy({"freeze": ["backbone"], "unfreeze_at_epoch": 2})
    start = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = fit(module)
    assert all(same(parts(start, "backbone"), parts(seen, "backbone")) for seen in module.seen[:2])
    moved = {name for name in start if not torch.equal(start[name], module.seen[2][name])}
    assert {"backbone.0.weight", "backbone.1.running_mean", "head.weight"} <= moved
    steps = [float(state["step"]) for state in trainer.optimizers[0].state.values()]
    assert sorted(steps) == [STEPS] * 4 + [3 * STEPS] * 2


def test_a_head_trains_the_same_whether_the_rest_is_frozen_for_good_or_for_longer_than_the_run():
    good, longer = Toy({"freeze": ["backbone"]}), Toy({"freeze": ["backbone"], "unfreeze_at_epoch": 9})
    fit(good)
    fit(longer)
    assert same(list(good.state_dict().values()), list(longer.state_dict().values()))


def test_a_second_fit_begins_as_the_first():
    module = Toy({"freeze": ["backbone"], "unfreeze_at_epoch": 9})
    fit(module, epochs=1)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_the_rate_of_a_backbone_follows_the_schedule_at_its_share():
    module = Toy({"lr_multipliers": {"backbone": 0.1}})
    trainer = fit(module, epochs=2)
    rates = {p: group["lr"] for group in trainer.optimizers[0].param_groups for p in group["params"]}
    for name, parameter in module.named_parameters():
        share = 0.1 if name.startswith("backbone") else 1.0
        assert rates[parameter] == pytest.approx(share * rates[module.head.bias])
    assert 0 < rates[module.head.bias] < 0.01


def test_a_module_that_would_not_freeze_is_refused():
    with pytest.raises(UserError, match=r"Toy does not freeze; return freezing"):
        fit(Toy({"freeze": ["backbone"]}, freezes=False))


def test_a_player_that_could_not_move_is_refused():
    module = Toy({"freeze": ["backbone", "head"]})
    with pytest.raises(UserError, match=r"freeze leaves nothing of backbone to train"):
        fit(module)


def test_one_of_several_networks_of_a_player_can_be_frozen():
    """BiGAN's generator and encoder share an optimizer."""

    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score = nn.Linear(6, 1)

        def forward(self, x: Tensor, z: Tensor) -> Tensor:
            return self.score(torch.cat([x, z], 1)).squeeze(1)

    torch.manual_seed(0)
    generator, encoder = nn.Linear(2, 4), nn.Linear(4, 2)
    generator.latent_dim = 2  # type: ignore[assignment]
    groups = {"freeze": ["generator"], "lr_multipliers": {"encoder.bias": 3}}
    module = BiGAN(generator, encoder, Pairs(), NonSaturating(), ADAMW, ADAMW, optimizer_groups=groups)
    module.validation_step = lambda *_: None  # type: ignore[method-assign]
    start = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = fit(module, epochs=1)
    moved = {
        name.partition(".")[0] for name, value in module.state_dict().items() if not torch.equal(value, start[name])
    }
    assert moved == {"encoder", "discriminator"}
    assert [group["lr"] for group in trainer.optimizers[1].param_groups] == pytest.approx([0.03, 0.01])


@pytest.mark.timeout(300)
def test_two_processes_thaw_as_one(tmp_path):
    """DDP exchanges the gradients of what thaws; before, none of it moves."""
    quick = ["model=lenet", "data=digits", "data.batch_size=64", "optimizer=sgd", "test=false", "preflight=false"]
    quick += ["trainer.max_epochs=2", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1"]
    still = "model.optimizer_groups.freeze=[layer1]"
    options = [*quick, still, "model.optimizer_groups.unfreeze_at_epoch=1", "run_name=run"]
    commands.run(tmp_path / "one", *options, "trainer=cpu")
    commands.run_two(tmp_path / "two", *options)
    one, two = (checkpoint.load(tmp_path / n / "runs/run/checkpoints/last.ckpt")["state_dict"] for n in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
