"""Stop a run at the step whose loss or gradient is NaN or infinite, before it changes the weights."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from lightloom.callbacks.run.checkpoints import checkpoint_keeper
from lightloom.core.errors import UserError
from lightloom.ops.torch_internals import all_finite, norms

REMEDY = "lower model.optimizer.lr or set trainer.gradient_clip_val"
SMALLEST_SCALE = 2.0**-24  # of a GradScaler, which begins at 2**16 and halves at each overflow
LOOK_EVERY = 50  # steps, at the scale


class NaNGuard(pl.Callback):
    """Raises UserError at the first step, of any optimizer, whose loss or gradients are not finite.

    One look at the gradients and one synchronisation with the device for each step. A GradScaler leaves out the
    steps that overflow; it is stopped where its scale has collapsed, so that nothing is learned any more. No checkpoint
    is written of weights or buffers (the statistics of a batch norm) that are not finite, nor of an optimizer's state
    that is NaN; a buffer that was not finite when training began, such as a mask, may stay so.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all

    def __init__(self) -> None:
        self._loss: Tensor | None = None
        self._scaler: Any = None
        self._never_finite: frozenset[str] = frozenset()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._loss, self._scaler = None, getattr(trainer.precision_plugin, "scaler", None)
        self._never_finite = frozenset(name for name, buffer in module.named_buffers() if not _finite(buffer))

    def on_before_backward(self, trainer: pl.Trainer, module: pl.LightningModule, loss: Tensor) -> None:
        if self._scaler is None:
            self._loss = loss.detach() if self._loss is None else self._loss + loss.detach()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Optimizer) -> None:
        if self._scaler is not None:
            return self._check_scale(trainer, module)
        loss, self._loss = self._loss, None
        gradients = [g for group in optimizer.param_groups for p in group["params"] if (g := p.grad) is not None]
        if not _step_seems_finite(gradients, loss):
            self._stop(trainer, module, list(_faults(module, loss)))

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if broken := not_finite(checkpoint, self._never_finite):
            self._stop(trainer, module, [broken], changed=True)

    def _check_scale(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready % LOOK_EVERY == 0:
            scale = self._scaler.get_scale()
            if not scale >= SMALLEST_SCALE:
                self._stop(trainer, module, [f"every step overflows (the GradScaler's scale is down to {scale:.0e})"])

    def _stop(self, trainer: pl.Trainer, module: Any, faults: Sequence[str], changed: bool = False) -> None:
        """Raise UserError; nothing where a closer look finds no fault."""
        if not faults:
            return
        where = f"Step {trainer.global_step + (not changed)} (epoch {trainer.current_epoch + 1})"
        unchanged = "it was not saved" if changed else "the weights were not changed"
        remedy = getattr(getattr(module, "means", None), "remedy", REMEDY)
        raise UserError(f"{where}: {' and '.join(faults)}; {unchanged}. {_sentence(remedy)} {_last_good(trainer)}")


def _step_seems_finite(gradients: list[Tensor], loss: Tensor | None) -> bool:
    """As `_seem_finite`; on a CPU by what a GradScaler asks, at a scale of one: one call, not one for each gradient."""
    if gradients and gradients[0].is_cpu:
        try:
            finite = all_finite(gradients)
        except RuntimeError:  # a gradient that is sparse, complex, or one number for many weights
            return _seem_finite(gradients, loss)
        return finite and (loss is None or math.isfinite(loss.item()))
    return _seem_finite(gradients, loss)


def _seem_finite(tensors: list[Tensor], loss: Tensor | None = None) -> bool:
    """False where a value is NaN or infinite, or so large that its square is. One number comes from the device."""
    values = [*(norms(tensors) if tensors else []), *([] if loss is None else [loss])]
    if not values or values[0].is_cpu:
        return math.isfinite(sum(x.item() for x in values))
    return math.isfinite(torch.stack([x.float() for x in values]).sum().item())


def not_finite(checkpoint: Mapping[str, Any], besides: Container[str] = ()) -> str | None:
    """The first weights or buffers, () of any shape, of a checkpoint that are not finite, or the first optimizer whose
    state is NaN, in words; None where there is none.

    besides: names that are not looked at. On a CPU, or a device, all are looked at in one go.
    """
    saved = {name: x for name, x in checkpoint["state_dict"].items() if name not in besides and _is_float(x)}
    if not _seem_finite_anywhere(list(saved.values())):
        for name, x in saved.items():
            if not _finite(x):
                return f"the weights {name} are not finite"
    for i, optimizer in enumerate(checkpoint.get("optimizer_states", ())):
        kept = [x for state in optimizer.get("state", {}).values() for x in _values(state) if _is_float(x)]
        if not _seem_finite_anywhere(kept) and any(bool(x.isnan().any()) for x in kept):
            return f"the state of optimizer {i} is NaN"
    return None


def _values(state: Any) -> Iterable[Any]:
    return state.values() if isinstance(state, Mapping) else ()


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and x.layout is torch.strided and (x.is_floating_point() or x.is_complex())


def _seem_finite_anywhere(tensors: Sequence[Tensor]) -> bool:
    """As `_seem_finite`, of tensors on several devices."""
    devices = {x.device for x in tensors}
    return all(_seem_finite([x.detach() for x in tensors if x.device == device]) for device in devices)


def _finite(x: Tensor) -> bool:
    return bool(torch.isfinite(x.coalesce().values() if x.is_sparse else x).all())


def _faults(module: Any, loss: Tensor | None) -> Iterator[str]:
    """What is not finite: the loss, by its name where the module keeps means, and the first parameter's gradient."""
    if loss is not None and not _finite(loss):
        names = module.means.not_finite() if hasattr(module, "means") else []
        yield f"{names[0] if names else 'the loss'} is {loss.item()}"
    for name, parameter in module.named_parameters():
        if parameter.grad is not None and not _finite(parameter.grad):
            yield f"the gradient of {name} is not finite"
            return


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _last_good(trainer: pl.Trainer) -> str:
    keeper = checkpoint_keeper(trainer)
    if keeper is None or not keeper.last.is_file():
        return "No checkpoint was saved yet."
    return f"The last good checkpoint is {keeper.last}."
