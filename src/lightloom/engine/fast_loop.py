"""A fast path for Lightning's training loop: same order, same counters, same checkpoints.

Around each batch Lightning 2.6 calls about 45 hooks, most of which are the empty ones that it defines itself; it looks
up anew which of them are overridden and how many arguments `training_step` takes, and it hands the optimizer's step
through five layers. For a small network on a CPU that is a quarter of the time. Left out here, and why that is safe:

- Hooks that are Lightning's own, empty ones. Which hooks a callback or the module overrides, in a class or on an
  instance, is looked up when an epoch starts; whoever listens is called, in Lightning's order.
- LightningOptimizer, strategy and precision plugin between the loop and the optimizer, without gradient scaler: there
  they call hooks and the next layer, nothing else. Where one of these hooks is overridden, or gradients are clipped or
  accumulated, the optimizer's step is Lightning's. Of several processes (DDP), training_step goes through the strategy.
- The combination of several loaders, where there is one.
- A look for schedules at each batch: they are those of the epoch's start.
- The collection of a step's metrics, where the step has logged none.

Where anything else is at work (another strategy or precision, a profiler, `dataloader_iter`, the first batch of a
resumed run) the method is Lightning's, and so is all of manual optimisation but the batch around it. This follows
Lightning line by line; tests/engine/test_fast_loop.py compares the two under each version of lightning_internals.KNOWN,
and `trainer.loop=lightning` does without it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loops.optimization.automatic import Closure, ClosureResult
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor
from torch.optim import Optimizer

from lightloom.engine import lightning_internals as internals
from lightloom.engine.lightning_internals import CURRENT_HOOK, PrefetchDataFetcher
from lightloom.engine.null_profiler import NullProfiler

# The hooks around a batch and inside the optimizer's step that Lightning defines empty; those that are parts of a step.
AROUND = ("on_train_batch_start", "on_train_batch_end")
INSIDE = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
PARTS = ("optimizer_step", "optimizer_zero_grad", "backward", "configure_gradient_clipping", "clip_gradients")
UNUSUAL = {*INSIDE, *PARTS} - {"on_before_backward", "on_before_optimizer_step"}  # for which Lightning's step is used
TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def use_fast_loop(trainer: pl.Trainer) -> pl.Trainer:
    """The trainer, before its first fit, with the loops of this file."""
    internals.set_epoch_loop(trainer, FastEpochLoop)
    return trainer


class EpochPlan:
    """What the batches of an epoch need, as trainer, module and callbacks are when it starts.

    lean: the batch may take the short way. direct: so may the optimizer's step. callbacks: who listens to which hook.
    """

    def __init__(self, trainer: Any, fetcher: Any) -> None:
        module, precision = trainer.lightning_module, trainer.precision_plugin
        self.trainer, self.module, self.device = trainer, module, trainer.strategy.root_device
        self.full_precision = type(precision) is Precision
        strategy = trainer.strategy
        alone = type(strategy) is SingleDeviceStrategy and strategy.model is module
        shared = type(strategy) is DDPStrategy and internals.averages_gradients(strategy)
        self.step = module.training_step if alone else strategy.training_step  # through DDP, which averages gradients
        self.lean = (
            (alone or shared)
            and type(fetcher) is PrefetchDataFetcher
            and (self.full_precision or (type(precision) is MixedPrecision and precision.scaler is None))
            and type(trainer.profiler) in (PassThroughProfiler, NullProfiler)
        )
        self.callbacks = {h: [c for c in trainer.callbacks if _overrides(c, pl.Callback, h)] for h in AROUND + INSIDE}
        own = {hook for hook in AROUND + INSIDE + PARTS if _overrides(module, pl.LightningModule, hook)}
        self.heard = own.union(hook for hook, listeners in self.callbacks.items() if listeners)
        self.direct = self.lean and self.heard.isdisjoint(UNUSUAL)
        self.plain_schedules = (
            self.direct
            and module.automatic_optimization
            and not _overrides(module, pl.LightningModule, "lr_scheduler_step")
        )
        by_step = [config for config in trainer.lr_scheduler_configs if config.interval == "step"]
        self.schedules = [config for config in by_step if not config.reduce_on_plateau]
        self.plateaus = len(by_step) > len(self.schedules)
        self.takes_index = is_param_in_hook_signature(module.training_step, "batch_idx", min_args=2)
        before, self.transfer, self.after_transfer = (internals.batch_hook(trainer, hook) for hook in TRANSFER)
        empty = getattr(before, "__func__", None) is pl.LightningDataModule.on_before_batch_transfer
        self.before_transfer = None if empty else before

    def to_device(self, batch: Any) -> Any:
        if self.before_transfer is not None:
            batch = self.before_transfer(batch, 0)
        return self.after_transfer(self.transfer(batch, self.device, 0), 0)

    def fetch_from(self, fetcher: Any) -> None:
        """Take the epoch's batches from its only loader, past Lightning's combination of several."""
        self.fetcher, self.only_loader = fetcher, internals.only_loader(fetcher)
        internals.do_not_profile(fetcher)

    def next_batch(self) -> Any:
        fetcher = self.fetcher
        if self.only_loader is None:
            return next(fetcher)[0]
        try:
            batch = next(self.only_loader.iterators[0])
        except StopIteration:
            fetcher.done = True
            raise
        fetcher.fetched += 1
        fetcher.done = fetcher.fetched >= fetcher.length
        return batch

    def call(self, hook: str, *args: Any) -> Any:
        """The hook of the callbacks, then of the module; returns what the module's returns."""
        if hook not in self.heard:
            return None
        trainer, module = self.trainer, self.module
        before = getattr(module, CURRENT_HOOK)
        setattr(module, CURRENT_HOOK, hook)
        for callback in self.callbacks[hook]:
            getattr(callback, hook)(trainer, module, *args)
        answer = getattr(module, hook)(*args)
        setattr(module, CURRENT_HOOK, before)
        return answer


def _forget_gradients(optimizer: Optimizer) -> None:
    """`zero_grad`, which opens a profiler's range and keeps statistics before it does the same."""
    if type(optimizer).zero_grad is not Optimizer.zero_grad or "zero_grad" in vars(optimizer):
        return optimizer.zero_grad()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def _overrides(listener: Any, base: type, hook: str) -> bool:
    return getattr(getattr(listener, hook), "__func__", None) is not getattr(base, hook)


class FastEpochLoop(internals.EpochLoop):
    """The batches of an epoch."""

    plan: EpochPlan

    def __init__(self, trainer: pl.Trainer, min_steps: int | None = None, max_steps: int = -1) -> None:
        super().__init__(trainer, min_steps, max_steps)
        self.automatic_optimization: FastOptimization = FastOptimization(trainer)

    def on_run_start(self, data_fetcher: Any) -> None:
        super().on_run_start(data_fetcher)
        self.plan = self.automatic_optimization.plan = EpochPlan(self.trainer, data_fetcher)
        if self.plan.lean:
            self.plan.fetch_from(data_fetcher)

    @property
    def done(self) -> bool:
        trainer: Any = self.trainer
        usual = self.plan.lean and not (self.restarting or trainer.should_stop) and self.max_steps == -1
        return self.all_batches_ready() if usual else super().done

    def advance(self, data_fetcher: Any) -> None:
        if not self.plan.lean or self.restarting:
            return super().advance(data_fetcher)
        plan, progress = self.plan, self.batch_progress
        self.val_loop.restarting = False
        batch = plan.next_batch()
        batch_idx = progress.current.ready
        progress.is_last_batch = data_fetcher.done
        batch = plan.to_device(batch)
        progress.increment_ready()
        self.begin_batch(batch)
        output, skipped = None, False
        if batch is None:
            self.warn_once("train_dataloader yielded None. If this was on purpose, ignore this warning...")
        elif plan.call("on_train_batch_start", batch, batch_idx) == -1:
            skipped = True
            progress.increment_by(0, is_last_batch=True)
        else:
            progress.increment_started()
            output = self._optimize(batch, batch_idx)
        progress.increment_processed()
        self.update_lr_schedulers("step", update_plateau_schedulers=False)
        if self.all_batches_ready():
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        if skipped:
            raise StopIteration
        plan.call("on_train_batch_end", output, batch, batch_idx)
        self.end_batch()

    def agree_on_sigterm(self) -> None:
        """Nothing: the processes agree on signals in `callbacks.run.preemption`, and not before each batch."""

    def _optimize(self, batch: Any, batch_idx: int) -> Any:
        kwargs = OrderedDict(batch=batch)
        if self.plan.takes_index:
            kwargs["batch_idx"] = batch_idx
        if self.plan.module.automatic_optimization:
            return self.automatic_optimization.run(self.trainer.optimizers[0], batch_idx, kwargs)
        return self.manual_optimization.run(kwargs)

    def on_advance_end(self, data_fetcher: Any) -> None:
        trainer: Any = self.trainer
        by_clock = trainer.val_check_batch is None
        usual = self.plan.lean and not (trainer.should_stop or self.skips_next_validation or by_clock)
        if not usual or self.validates_now(data_fetcher):
            return super().on_advance_end(data_fetcher)
        if self.plan.plateaus:
            self.update_lr_schedulers("step", update_plateau_schedulers=True)
        if not self.accumulates():
            self.count_step()

    def accumulates(self) -> bool:
        return self.trainer.accumulate_grad_batches != 1 and super().accumulates()

    def update_lr_schedulers(self, interval: str, update_plateau_schedulers: bool) -> None:
        if interval == "epoch" or update_plateau_schedulers or not self.plan.plain_schedules:
            return super().update_lr_schedulers(interval, update_plateau_schedulers)
        if self.accumulates():
            return
        for config in self.plan.schedules:
            if self.batch_progress.current.ready % config.frequency == 0:
                self.scheduler_progress.increment_ready()
                config.scheduler.step()  # type: ignore[call-arg]
                self.scheduler_progress.increment_completed()

    def validates_now(self, data_fetcher: Any) -> bool:
        trainer: Any = self.trainer
        every = trainer.val_check_batch
        by_batches = self.plan.lean and every is not None and every != float("inf")
        if by_batches and not trainer.should_stop:
            batches = self.total_batch_idx if trainer.check_val_every_n_epoch is None else self.batch_idx
            if (batches + 1) % every:
                return False
        return super().validates_now(data_fetcher)


class FastOptimization(internals.AutomaticOptimization):
    """The step of one optimizer."""

    plan: EpochPlan

    def run(self, optimizer: Optimizer, batch_idx: int, kwargs: OrderedDict) -> dict[str, Any]:
        trainer: Any = self.trainer
        usual = trainer.accumulate_grad_batches == 1 and not trainer.gradient_clip_val and not self.skips_backward
        if not (usual and self.plan.direct):
            return super().run(optimizer, batch_idx, kwargs)
        plan = self.plan
        step, zero_grad = self.optim_progress.optimizer.step, self.optim_progress.optimizer.zero_grad
        result = ClosureResult(None)

        def closure() -> Tensor | None:
            nonlocal result
            with torch.enable_grad():
                result = self.result_of_step(kwargs)
                zero_grad.increment_ready()
                zero_grad.increment_started()
                _forget_gradients(optimizer)
                zero_grad.increment_completed()
                if result.closure_loss is None:
                    Closure.warning_cache.warn("`training_step` returned `None`. If this was on purpose, ignore this.")
                else:
                    plan.call("on_before_backward", result.closure_loss)
                    result.closure_loss.backward()
                plan.call("on_before_optimizer_step", optimizer)
            return result.loss

        step.increment_ready()
        optimizer.step(closure=closure)  # type: ignore[arg-type]
        step.increment_completed()
        return {} if result.loss is None else result.asdict()

    def result_of_step(self, kwargs: OrderedDict) -> ClosureResult:
        plan = self.plan
        if not (plan.direct and plan.full_precision and self.trainer.accumulate_grad_batches == 1):
            return super().result_of_step(kwargs)
        before = getattr(plan.module, CURRENT_HOOK)
        setattr(plan.module, CURRENT_HOOK, "training_step")
        output = plan.step(*kwargs.values())
        setattr(plan.module, CURRENT_HOOK, before)
        if output is None and self.trainer.world_size > 1:  # the others would wait for this one's gradients
            raise RuntimeError("training_step returned None on one of several processes, where no step can be skipped.")
        return ClosureResult(output) if isinstance(output, Tensor) else ClosureResult.from_training_step_output(output)
