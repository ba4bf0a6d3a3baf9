"""When a run validates, when it ends, how large its last batches are: what is kept, stopped and scheduled must follow.

Runs of seconds whose epochs, validations, ends, schedules and callbacks are drawn at random. Beside each stands a
witness that writes down what was measured and when; from that alone is worked out what the run should have done:

- last.ckpt is of the last step, and there are as many steps as the options say, unless something stopped the run;
- best.ckpt is there where the monitored metric was measured, is the best of what was measured, and measured anew, in
  batches of another size, its weights give that value;
- early stopping stops at the first validation after which `patience` of them were no better, and at no other;
- a plateau schedule has fallen as often as the epochs say in which its metric was measured;
- any other schedule is as long as the run.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from attacks.tasks import FOUND, MODELS
from attacks.watch import Baits, Case
from omegaconf import DictConfig

from lightloom.callbacks.run.checkpoints import checkpoint_keeper, ends_epoch
from lightloom.config import compose as config
from lightloom.core.errors import UserError, message_of
from lightloom.data.images import readers
from lightloom.engine import checkpoint, train
from lightloom.engine.resume import Start

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
import pairs
from data_of_task import DATA

QUICK = 0  # tests/engine/test_rhythms.py
MODES = {"val/acc": "max", "val/loss": "min", "train/loss": "min", "val/rare": "max"}
FEW = ("data.val_size=9", "data.test_size=9")
OTHERS: dict[str, tuple[str, ...]] = {  # of tasks whose checkpoints are attacked elsewhere
    "bidirectional": ("bigan",), "detection": ("yolo_fast",), "generation": ("gan",), "latent_variable": ("vae",),
    "reconstruction": ("autoencoder",), "signal_reconstruction": ("signal_ae", *FEW), "denoising": ("bolts_unet",),
    "conditional_generation": ("cgan",), "representation": ("bigbigan",), "averaged_generation": ("biggan_small",),
}  # fmt: skip
HERE = frozenset({"subprocess.Popen"})  # git is asked what is run


def drawn(rng: random.Random) -> tuple[str, ...]:
    """Options of a run."""
    batches, monitor = rng.choice((1, 2, 3, 5, 7)), rng.choice(list(MODES))
    found = [f"trainer.limit_train_batches={batches}", f"trainer.max_epochs={rng.randrange(1, 6)}"]
    for place in ("monitor.metric", "callbacks.checkpoint.monitor"):
        found += [f"{place}={monitor}", f"{place.rpartition('.')[0]}.mode={MODES[monitor]}"]
    found += ["trainer.max_steps=-1", "callbacks.console=null"]
    found.append(f"callbacks.sometimes._target_={__name__}.Sometimes")
    if rng.random() < 0.5:
        found.append(f"trainer.max_steps={rng.randrange(1, 16)}")
    between = rng.choice((None, None, 1, 2, 3, 0.5, 0.34))
    if between is not None and (isinstance(between, float) or between <= batches or rng.random() < 0.3):
        found.append(f"+trainer.val_check_interval={between}")
    found.append(f"trainer.check_val_every_n_epoch={rng.choice((1, 1, 2, 3, 7, 'null'))}")
    found.append(f"trainer.limit_val_batches={rng.choice(('1.0', '1', '2'))}")
    found.append(f"data.eval_batch_size={rng.choice((7, 44, 89, 100, 1000))}")
    found.append(f"trainer.accumulate_grad_batches={rng.choice((1, 1, 2, 3))}")
    found.append(f"trainer.num_sanity_val_steps={rng.choice((0, 0, 1))}")
    found.append(f"trainer.loop={rng.choice(('fast', 'lightning'))}")
    found.append(f"callbacks.checkpoint.every_n_epochs={rng.choice((1, 1, 1, 2, 3))}")
    if rng.random() < 0.3:
        found.append("callbacks=ema")
    if rng.random() < 0.5:
        found += ["callbacks=early_stopping", f"callbacks.early_stopping.patience={rng.choice((1, 1, 2))}"]
        found += [f"callbacks.early_stopping.min_delta={rng.choice((0.0, 0.05))}"]
    schedule = rng.choice(pairs.files("scheduler"))
    found.append(f"scheduler@model.scheduler={schedule}")
    if schedule == "plateau":
        found.append("model.scheduler.patience=0")
    return tuple(found)


class Sometimes(pl.Callback):
    """Logs `val/rare` in every other validation: noise, which is none of the weights."""

    logged = ("val/rare",)

    def __init__(self) -> None:
        self.count, self.measured = 0, False

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.count += not trainer.sanity_checking
        self.measured = self.count % 2 == 1
        if self.measured:
            module.log("val/rare", random.Random(self.count).random())


class Witness(pl.callbacks.Checkpoint):  # of the callbacks that see what an epoch has logged
    """What was measured of a metric: (epoch, step, value), after each validation, or, of training, after each epoch."""

    def __init__(self, metric: str) -> None:
        self.metric, self.seen = metric, list[tuple[int, int, float]]()
        self.rates, self.ended = list[float](), list[int]()

    def _note(self, trainer: pl.Trainer) -> None:
        value = trainer.callback_metrics.get(self.metric)
        assert value is not None, f"{self.metric} was not logged"
        self.seen.append((trainer.current_epoch, trainer.global_step, float(value)))

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        rare = next(c for c in trainer.callbacks if isinstance(c, Sometimes))  # type: ignore[attr-defined]
        is_measured = self.metric.startswith("val") and (self.metric != "val/rare" or rare.measured)
        if not trainer.sanity_checking and trainer.state.fn == "fit" and is_measured:
            self._note(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if ends_epoch(trainer):
            self.ended.append(trainer.current_epoch)
            if not self.metric.startswith("val"):
                self._note(trainer)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def run(options: Sequence[str]) -> str:
    """Train so, and compare with what was seen; AssertionError where it is another."""
    before = set(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        try:
            cfg = pairs.options(tuple(options), Path(folder))
            cfg, datamodule = train.build_data(cfg)
            module = train.build_module(cfg)
            trainer = train.build_trainer(cfg, module)
            witness = Witness(cfg.monitor.metric)
            trainer.callbacks.insert(1, witness)  # type: ignore[attr-defined]
            train.fit(cfg, trainer, module, datamodule, Start())
        except Exception as error:
            if (said := message_of(error)) and "\n" not in said:
                raise UserError(said) from error
            raise
        finally:
            for name in set(os.environ) - before:
                del os.environ[name]
        stopped = check_stop(cfg, witness)
        check_last(cfg, trainer, stopped)
        check_best(cfg, trainer, witness)
        check_schedule(cfg, trainer, witness, stopped)
        train.close(trainer)
        return f"{trainer.global_step} steps, {len(witness.seen)} looks"


def check_last(cfg: DictConfig, trainer: pl.Trainer, stopped: bool) -> None:
    keeper = checkpoint_keeper(trainer)
    assert keeper is not None
    assert keeper.last.is_file(), "there is no last.ckpt"
    content = checkpoint.load(keeper.last)
    assert content["global_step"] == trainer.global_step, f"last.ckpt is of step {content['global_step']}"
    each = math.ceil(cfg.trainer.limit_train_batches / cfg.trainer.accumulate_grad_batches)
    asked = each * cfg.trainer.max_epochs
    asked = asked if cfg.trainer.max_steps < 0 else min(asked, cfg.trainer.max_steps)
    assert stopped or trainer.global_step == asked, f"{trainer.global_step} steps instead of {asked}"


def check_stop(cfg: DictConfig, witness: Witness) -> bool:
    """Has early stopping ended the run, as it should have, or not?"""
    own = cfg.callbacks.get("early_stopping")
    if own is None:
        return False
    best, waited = math.inf, 0
    sign = -1 if own.mode == "max" else 1
    for number, (_, _, value) in enumerate(witness.seen, 1):
        improved = sign * value < best - own.min_delta
        best, waited = (sign * value, 0) if improved else (best, waited + 1)
        if waited >= own.patience:
            late = witness.seen[number:]
            assert not late, f"went on after look {number} of {witness.seen}"
            return True
    return False


def check_best(cfg: DictConfig, trainer: pl.Trainer, witness: Witness) -> None:
    keeper = checkpoint_keeper(trainer)
    assert keeper is not None
    looks = [value for _, _, value in witness.seen]
    best = max if cfg.monitor.mode == "max" else min
    if cfg.callbacks.checkpoint.every_n_epochs == 1:
        assert keeper.best_score == (best(looks) if looks else None), f"best {keeper.best_score} of {witness.seen}"
    assert keeper.best.is_file() == (keeper.best_score is not None), f"{keeper.best_score} without a file"
    if keeper.best_score is None:
        return
    assert keeper.best_score in looks, f"best {keeper.best_score} of {witness.seen}"
    if cfg.monitor.metric in ("val/acc", "val/loss") and isinstance(cfg.trainer.limit_val_batches, float):
        again = measured(cfg, keeper.best)
        assert math.isclose(again, keeper.best_score, rel_tol=1e-4), f"best.ckpt gives {again}, not {keeper.best_score}"


def measured(cfg: DictConfig, path: Path) -> float:
    """The monitored metric of a checkpoint's weights, of all images at once."""
    _, module = checkpoint.restore(path)
    data: Any = train.build_data(cfg.copy())[1]
    data.eval_batch_size = 64
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, devices=1
    )
    with contextlib.redirect_stdout(None):
        found = trainer.validate(module, datamodule=data, verbose=False)
    return float(found[0][cfg.monitor.metric])


def check_schedule(cfg: DictConfig, trainer: pl.Trainer, witness: Witness, stopped: bool) -> None:
    """A plateau's rate is that of torch's schedule told the same values; another's has its whole length behind it."""
    (config,) = trainer.lr_scheduler_configs
    if config.reduce_on_plateau:
        last = {epoch: value for epoch, _, value in witness.seen}  # of an epoch with several the last
        other = torch.optim.lr_scheduler.ReduceLROnPlateau(
            torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=witness.rates[0]),
            mode=cfg.model.scheduler.mode, factor=cfg.model.scheduler.factor, patience=cfg.model.scheduler.patience,
        )  # fmt: skip
        for epoch in witness.ended:
            if epoch in last:
                other.step(last[epoch])
        rate = other.optimizer.param_groups[0]["lr"]
        assert math.isclose(rate, witness.rates[1]), f"rate {witness.rates[1]}, not {rate}, after {witness.seen}"
    elif config.interval == "step" and not stopped:
        assert trainer.estimated_stepping_batches == trainer.global_step
        assert config.scheduler.last_epoch == trainer.global_step


@cache
def prepared() -> None:
    """Digits are read once; nothing is said."""
    readers.read_digits = cache(readers.read_digits)
    logging.getLogger("lightloom").setLevel(logging.ERROR)


def rhythms(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Runs whose validations, ends, schedules and last batches are drawn at random."""
    prepared()
    for _ in range(count):
        options = drawn(random.Random(chance.random()))
        yield Case(" ".join(options), partial(run, options), allowed=HERE)


def built(task: str, *more: str) -> tuple[DictConfig, pl.LightningModule, Any]:
    """The configuration, the module and the data of a task's small model."""
    model, *options = MODELS[task] if task in MODELS else OTHERS[task]
    given = [f"model={model}", *DATA.get(task, ()), *options, "trainer=cpu", "seed=0", "run_name=measured", *more]
    given = [option for option in given if not option.startswith(FOUND)]
    pl.seed_everything(0, verbose=False)
    cfg, data = train.build_data(config.without_hydra(config.compose("train", given)))
    return cfg, train.build_module(cfg), data


def figures(task: str, size: int | None, items: int | None) -> dict[str, float]:
    """Of a validation and a test in batches of this size, or the usual one, of so many of each split, or all."""
    cfg, module, data = built(task)
    data.eval_batch_size = size or cfg.data.eval_batch_size
    trainer = pl.Trainer(accelerator="cpu", devices=1, enable_model_summary=False, logger=False,
                         enable_progress_bar=False, enable_checkpointing=False)  # fmt: skip
    found = dict[str, float]()
    for name, measure in (("val", trainer.validate), ("test", trainer.test)):
        if items is not None and len(split := data.split(name)) > items:
            data.splits[name] = split.pick(torch.arange(items))
        with contextlib.redirect_stdout(io.StringIO()):
            found |= measure(module, datamodule=data, verbose=False)[0]
    return found


def in_batches(task: str, size: int, items: int | None = None) -> str:
    """Each figure in batches of this size is that of the usual ones, up to rounding. items: of a split; None: all."""
    usual, other = (figures(task, each, items) for each in (None, size))
    assert usual.keys() == other.keys()
    apart = [(name, usual[name], other[name]) for name in usual
             if not math.isclose(usual[name], other[name], rel_tol=1e-3, abs_tol=1e-4)
             and not math.isnan(usual[name] + other[name])]  # fmt: skip
    assert not apart, f"in batches of {size}: {apart}"
    return f"{len(usual)} figures"


def measures(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Each task in turn, validated in batches whose last is small."""
    prepared()
    for i in range(count):
        task = [*MODELS, *OTHERS][i % len(MODELS | OTHERS)]
        size = chance.choice((3, 5, 7, 11))
        yield Case(f"{task} by {size}", partial(in_batches, task, size), allowed=HERE, patience=240.0)


KINDS = {"validation, end and last batch": rhythms, "figures in batches of other sizes": measures}
