"""A pl.Trainer from its options, and which of the two training loops it uses."""

from __future__ import annotations

import logging
from types import MethodType
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping, Timer
from pytorch_lightning.plugins.precision import MixedPrecision, Precision

from lightloom.config.foreign import as_config, plain
from lightloom.config.instantiate import OWN_OPTIONS, build
from lightloom.engine import launcher
from lightloom.engine import lightning_internals as internals
from lightloom.engine.lightning_options import check_options
from lightloom.engine.null_profiler import NullProfiler
from lightloom.ops.typed_trainer import typed

log = logging.getLogger("lightloom")


def make(options: DictConfig, **extra: Any) -> pl.Trainer:
    """The Trainer of these options, without those that it does not know (`loop`). extra: built parts of it."""
    check_options(options)
    own = {key.removeprefix("trainer.") for key in OWN_OPTIONS}
    known = {k: v for k, v in plain(options).items() if k not in own}
    trainer = build(as_config(known), "trainer", **extra)
    _let_fused_steps_clip(trainer)
    if not hasattr(trainer, "val_check_interval"):  # of validations by the clock, for EarlyStopping, which asks for it
        trainer.val_check_interval = None
    return trainer


def _let_fused_steps_clip(trainer: pl.Trainer) -> None:
    """Clip before a fused step where no scaler is at work, as with bfloat16; Lightning refuses it under any autocast.

    With a scaler a fused step unscales the gradients itself, after they would have been clipped.
    """
    precision = trainer.precision_plugin
    if type(precision) is MixedPrecision and precision.scaler is None:
        precision.clip_gradients = MethodType(Precision.clip_gradients, precision)  # type: ignore[method-assign]


def stopped_by(trainer: pl.Trainer) -> str | None:
    """What has ended training before its last epoch: max_time, max_steps, early stopping; None where nothing has."""
    for callback in typed(trainer).callbacks:
        if isinstance(callback, Timer) and (callback.time_remaining() or 1.0) <= 0:
            return "max_time"
        if isinstance(callback, EarlyStopping) and callback.stopped_epoch:
            return f"early stopping on {callback.monitor}"
    epochs = trainer.max_epochs
    ends_early = trainer.max_steps > 0 and (epochs in (None, -1) or trainer.current_epoch < (epochs or 0))
    return "max_steps" if ends_early and trainer.global_step >= trainer.max_steps else None


def profiler(options: DictConfig) -> dict[str, Any]:
    """The Trainer's `profiler` where none is asked for: one that costs nothing, or with its own loop Lightning's."""
    return {} if options.profiler or options.get("loop") == "lightning" else {"profiler": NullProfiler()}


def prepare(trainer: pl.Trainer, loop: str) -> pl.Trainer:
    """Make a trainer fit for a run that may be interrupted and resumed. loop: `fast` or `lightning`."""
    launcher.replace_launcher(trainer)
    internals.replace_signal_handlers(trainer)
    internals.count_epochs_by_data(trainer)
    internals.stop_where_measured(trainer)
    return _use_fast_loop(trainer) if loop == "fast" else trainer


def _use_fast_loop(trainer: pl.Trainer) -> pl.Trainer:
    if not internals.is_known():
        log.info(
            "trainer.loop=fast is for pytorch-lightning %s; with %s this run uses Lightning's own loop.",
            ", ".join(internals.KNOWN),
            internals.VERSION,
        )
        return trainer
    from lightloom.engine.fast_loop import use_fast_loop  # which another version may not even let load

    return use_fast_loop(trainer)
