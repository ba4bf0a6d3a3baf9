"""The lean loops do what Lightning's own do: same hooks in the same order, same weights, steps and checkpoints."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader

from lightloom.callbacks.run.ema import WeightAverage
from lightloom.engine.fast_loop import AROUND, INSIDE, PARTS, FastEpochLoop, use_fast_loop
from lightloom.engine.null_profiler import NullProfiler


class Module(pl.LightningModule):
    """A regression whose schedule steps each batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))
        self.heard: list[str] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return self.loss(batch)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch))

    def loss(self, batch: Tensor) -> Tensor:
        return (self.network(batch) - batch.sum(1, keepdim=True)).square().mean()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.05)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.7)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Logging(Module):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("train/loss", loss, on_step=True, on_epoch=True, batch_size=len(batch))
        return {"loss": loss, "extra": batch_idx}


class WithoutIndex(Module):
    def training_step(self, batch: Tensor) -> Any:  # type: ignore[override]
        return self.loss(batch)


class Skipping(Module):
    """Some batches give no loss, and the second epoch is cut short."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return None if batch_idx == 2 else self.loss(batch)

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> int | None:
        return -1 if self.current_epoch == 1 and batch_idx == 4 else None


class Alternating(Module):
    """Two optimizers in manual optimisation; the second steps every other batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        for optimizer in self.optimizers()[: 1 + batch_idx % 2]:
            self.toggle_optimizer(optimizer)
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()
            self.untoggle_optimizer(optimizer)

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.network[i].parameters(), lr=0.05) for i in (0, 3)], []


def hearing(base: type, *hooks: str) -> type:
    """A subclass that writes down when these hooks are called, then does what its base does."""

    def listener(hook: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(self, pl.LightningModule):
                self.heard.append(f"module {hook} {self._current_fx_name} {self.global_step}")
            else:
                trainer, module = args[:2]
                module.heard.append(f"{self.name} {hook} {module._current_fx_name} {trainer.global_step}")
            return getattr(base, hook)(self, *args, **kwargs)

        return call

    return type(f"Hearing{base.__name__}", (base,), {hook: listener(hook) for hook in hooks})


class Named(pl.Callback):
    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def state_key(self) -> str:
        return self.name


class Kept(pl.Callback):
    """Everything that a checkpoint would hold, after each batch."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: Module, outputs: Any, batch: Any, batch_idx: int) -> None:
        state = trainer._checkpoint_connector.dump_checkpoint()
        module.heard.append(f"outputs {outputs} {batch_idx} {trainer.fit_loop._should_accumulate()}")
        parts = {key: state[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "loops")}
        self.states.append(tree_map(lambda x: x.tolist() if isinstance(x, Tensor) else x, parts))


def fit(lean: bool, module: Module, folder: Path, callbacks: Callable[[], list[pl.Callback]], **options: Any) -> Any:
    """What the run did: hooks, states after each batch, final weights, logged metrics, global_step."""
    torch.manual_seed(1)
    data = torch.randn(7, 5, 4)
    kept = Kept()
    settings: dict[str, Any] = {"max_epochs": 3, "num_sanity_val_steps": 0, **options}
    loader = settings.pop("loader", lambda data: DataLoader(data, batch_size=None))
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, profiler=NullProfiler(), enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        callbacks=[*callbacks(), kept], **settings,
    )  # fmt: skip
    if lean:
        use_fast_loop(trainer)
    torch.manual_seed(2)
    trainer.fit(module, loader(data), DataLoader(data[:2], batch_size=None))
    weights = [p.detach().clone() for p in module.parameters()]
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return module.heard, kept.states, weights, metrics, trainer.global_step, trainer.fit_loop.state_dict()


def same(module: Callable[[], Module], folder: Path, callbacks: Any = list, **options: Any) -> Any:
    """Fit with Lightning's loops and with ours; returns ours after comparing all."""
    stock = fit(False, module(), folder, callbacks, **options)
    ours = fit(True, module(), folder, callbacks, **options)
    for was, now in zip(stock, ours, strict=True):
        if isinstance(was, list) and was and isinstance(was[0], Tensor):
            assert all(torch.equal(a, b) for a, b in zip(was, now, strict=True))
        else:
            assert was == now
    return ours


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulated": {"accumulate_grad_batches": 3},
    "clipped": {"gradient_clip_val": 0.1},
    "clipped by value": {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    "bf16": {"precision": "bf16-mixed"},
    "double": {"precision": "64-true"},
    "max_steps": {"max_steps": 10},
    "limited": {"limit_train_batches": 4},
    "validated inside the epoch": {"val_check_interval": 3},
    "validated across epochs": {"val_check_interval": 5, "check_val_every_n_epoch": None},
    "distributed": {"strategy": "ddp"},
    "distributed, clipped": {"strategy": "ddp", "gradient_clip_val": 0.1},
    "distributed, bf16": {"strategy": "ddp", "precision": "bf16-mixed"},
    "distributed, accumulated": {"strategy": "ddp", "accumulate_grad_batches": 3},
    "averaged": {"callbacks": lambda: [WeightAverage(decay=0.9)]},
    "changing accumulation": {"callbacks": lambda: [pl.callbacks.GradientAccumulationScheduler({0: 1, 1: 2})]},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("module", [Module, Logging, WithoutIndex])
def test_a_run_is_lightnings(module: type[Module], setting: str, tmp_path: Path) -> None:
    assert same(module, tmp_path, **SETTINGS[setting])[4] > 0


@pytest.mark.parametrize("setting", ["plain", "accumulated", "clipped"])
def test_a_skipped_batch_is_skipped_as_in_lightning(setting: str, tmp_path: Path) -> None:
    assert same(Skipping, tmp_path, **SETTINGS[setting])[4] > 0


@pytest.mark.parametrize("setting", ["plain", "accumulated", "clipped", "bf16"])
@pytest.mark.parametrize("hook", AROUND + INSIDE)
def test_callbacks_hear_their_hooks_in_lightnings_order(hook: str, setting: str, tmp_path: Path) -> None:
    first, second = hearing(Named, hook), hearing(Named, "on_train_batch_end", "on_before_optimizer_step")
    heard = same(Module, tmp_path, callbacks=lambda: [first("first"), second("second")], **SETTINGS[setting])[0]
    assert any(line.startswith(f"first {hook}") for line in heard)


@pytest.mark.parametrize("setting", ["plain", "accumulated", "clipped"])
@pytest.mark.parametrize("hook", AROUND + INSIDE + PARTS)
def test_a_module_hears_its_hooks_in_lightnings_order(hook: str, setting: str, tmp_path: Path) -> None:
    heard = same(hearing(Module, hook, "on_train_batch_end"), tmp_path, **SETTINGS[setting])[0]
    assert any(line.startswith(f"module {hook}") for line in heard)


def test_a_hook_set_on_an_instance_is_heard(tmp_path: Path) -> None:
    def callbacks() -> list[pl.Callback]:
        return [pl.callbacks.LambdaCallback(on_after_backward=lambda trainer, module: module.heard.append("backward"))]

    assert "backward" in same(Module, tmp_path, callbacks=callbacks)[0]


@pytest.mark.parametrize("hooks", [(), ("on_train_batch_start", "on_before_zero_grad", "on_before_optimizer_step")])
def test_manual_optimisation_is_lightnings(hooks: tuple[str, ...], tmp_path: Path) -> None:
    steps = same(hearing(Alternating, *hooks), tmp_path, callbacks=lambda: [hearing(Named, *hooks)("first")])[4]
    assert steps == 3 * (7 + 3)


class FromTwo(Module):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        first, second = batch.values() if isinstance(batch, dict) else batch
        return self.loss(first) + 2 * self.loss(second)


class WithoutLength:
    def __init__(self, data: Tensor) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.data)


class TooLong(WithoutLength):
    """Ends before its length says."""

    def __len__(self) -> int:
        return len(self.data) + 2


@pytest.mark.parametrize("kind", [dict, list])
def test_several_loaders_are_combined_as_in_lightning(kind: type, tmp_path: Path) -> None:
    """The shorter one begins again."""

    def loaders(data: Tensor) -> Any:
        parts = DataLoader(data, batch_size=None), DataLoader(data[:3], batch_size=None)
        return {"a": parts[0], "b": parts[1]} if kind is dict else list(parts)

    assert same(FromTwo, tmp_path, loader=loaders)[4] == 3 * 7


@pytest.mark.parametrize("loader", [WithoutLength, TooLong, lambda data: [WithoutLength(data)]])
def test_other_iterables_are_read_as_in_lightning(loader: Callable[..., Any], tmp_path: Path) -> None:
    class Unpacking(Module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.loss(batch[0] if isinstance(batch, list) else batch)

    assert same(Unpacking, tmp_path, loader=loader)[4] == 3 * 7


@pytest.mark.parametrize("strategy", [pl.strategies.SingleDeviceStrategy, pl.strategies.DDPStrategy])
def test_the_short_way_is_taken(strategy: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning's own batch is not used where all is usual, or the tests above would compare it to itself."""

    def refuse(*args: Any) -> None:
        raise AssertionError("Lightning's own")

    monkeypatch.setattr(FastEpochLoop.__base__, "advance", refuse)
    monkeypatch.setattr(strategy, "optimizer_step", refuse)
    options = {"strategy": "ddp"} if strategy is pl.strategies.DDPStrategy else {}
    assert fit(True, Module(), tmp_path, list, **options)[4] == 3 * 7


class Telling(torch.optim.SGD):
    def zero_grad(self, set_to_none: bool = True) -> None:
        self.heard.append("zeroed")
        super().zero_grad(set_to_none)


@pytest.mark.parametrize("on", ["its class", "itself"])
def test_an_optimizers_own_zero_grad_is_called(on: str, tmp_path: Path) -> None:
    class Own(Module):
        def configure_optimizers(self) -> Any:
            optimizer = (torch.optim.SGD if on == "itself" else Telling)(self.parameters(), lr=0.05)
            self.heard = optimizer.heard = []
            if on == "itself":
                optimizer.zero_grad = lambda: (optimizer.heard.append("zeroed"), torch.optim.SGD.zero_grad(optimizer))
            return optimizer

    assert same(Own, tmp_path)[0].count("zeroed") == 3 * 7


def test_of_several_processes_none_may_skip_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Lightning: the others would wait for its gradients."""
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    for lean in (False, True):
        with pytest.raises(RuntimeError, match=r"returning None in distributed|returned None on one of several"):
            fit(lean, Skipping(), tmp_path, list)
