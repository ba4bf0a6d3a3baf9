"""The private names of Lightning that lightloom uses, each under a public name. No other file mentions one,
but for `CURRENT_HOOK` of ops/torch_internals.

Seen in pytorch-lightning 2.6.0, 2.6.1, 2.6.4, 2.6.5 and 2.6.6, whose loops are the same but for one check of
`val_check_interval` (new after 2.6.1). On another version:

- A loop that changed would train differently without a word, so `trainer.loop=fast` needs a version of `KNOWN`
  (`engine.trainer` then takes Lightning's loop and says so).
- Where one of the classes is gone, so is what is built on them: the loop, and the launcher, which is then Lightning's:
  a process that fails ends the others with SIGKILL.
- Whatever else is not found is left alone, with one warning that names what a run then lacks.

The classes bind private methods under public names once, at import: a call costs what it costs in Lightning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer import call

from lightloom.ops.torch_internals import CURRENT_HOOK as CURRENT_HOOK  # which modules set too

try:
    from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
    from pytorch_lightning.loops.fetchers import _PrefetchDataFetcher, _profile_nothing
    from pytorch_lightning.loops.optimization.automatic import _AutomaticOptimization
    from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
    from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
    from pytorch_lightning.utilities.combined_loader import _MaxSizeCycle
except ImportError:  # a version that is not in KNOWN

    class _Missing:
        """In place of all of these: nothing is an instance of it, and nothing is built from it."""

    _PrefetchDataFetcher = _MaxSizeCycle = _Missing  # type: ignore[assignment,misc]
    _AutomaticOptimization = _TrainingEpochLoop = _SubprocessScriptLauncher = _Missing  # type: ignore[assignment,misc]
    _profile_nothing = _set_num_threads_if_needed = None  # type: ignore[assignment]

log = logging.getLogger("lightloom")

VERSION = pl.__version__
KNOWN = ("2.6.6",)  # tests/engine/test_fast_loop.py passed under each

PrefetchDataFetcher = _PrefetchDataFetcher
limit_threads = _set_num_threads_if_needed  # (num_processes): OMP_NUM_THREADS for each of them, where it is not set


def is_known(version: str = VERSION) -> bool:
    """Has the fast loop been compared with this version's own?"""
    return version in KNOWN


def public_names(**names: str) -> Callable[[type], type]:
    """Give private methods of a class's base public names; a subclass that overrides one is called by Lightning too.

    names: public name = private name.
    """

    def bind(cls: type) -> type:
        """The class, with its public names, and with subclasses that override what Lightning calls."""
        for public, private in names.items():
            setattr(cls, public, getattr(cls, private, None))

        def override(subclass: type) -> None:
            for public in names.keys() & vars(subclass).keys():
                setattr(subclass, names[public], vars(subclass)[public])

        cls.__init_subclass__ = classmethod(override)  # type: ignore[assignment]
        return cls

    return bind


# --- loops


@public_names(
    all_batches_ready="_num_ready_batches_reached",
    accumulates="_should_accumulate",
    validates_now="_should_check_val_fx",
    agree_on_sigterm="_broadcast_sigterm_tensor",
)
class EpochLoop(_TrainingEpochLoop):
    """Lightning's loop over the batches of an epoch."""

    all_batches_ready: Callable[[], bool]
    accumulates: Callable[[], bool]
    validates_now: Callable[[Any], bool]
    skips_next_validation = property(attrgetter("_skip_next_val"))

    def warn_once(self, message: str) -> None:
        self._warning_cache.warn(message)

    def count_step(self) -> None:
        """One more batch with an optimizer step, by which loggers know their axis."""
        self._batches_that_stepped += 1

    def begin_batch(self, batch: Any) -> None:
        """Tell the collection of logged values which batch they come from."""
        results, connector = self._results, self.trainer._logger_connector
        connector._first_loop_iter = connector._first_loop_iter is None
        results.batch, results.batch_size, results.dataloader_idx = batch, None, None

    def end_batch(self) -> None:
        """Count the batch, and hand on what it has logged; Lightning's steps for that, where something was logged."""
        results, connector = self._results, self.trainer._logger_connector
        logged = any(True for _ in results.valid_items())
        if logged:
            connector.on_batch_end()
        else:
            results.batch = results.batch_size = None
        self.batch_progress.increment_completed()
        if logged:
            connector.update_train_step_metrics()


@public_names(result_of_step="_training_step")
class AutomaticOptimization(_AutomaticOptimization):
    """Lightning's step of one optimizer."""

    result_of_step: Callable[..., Any]
    skips_backward = property(attrgetter("_skip_backward"))


def set_epoch_loop(trainer: pl.Trainer, loop: type[EpochLoop]) -> None:
    """Replace the epoch loop of a trainer that has not begun to fit."""
    old = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = loop(trainer, min_steps=old.min_steps, max_steps=old.max_steps)


def only_loader(fetcher: Any) -> Any:
    """What holds the iterator of an epoch's only loader, as `iterators[0]`; None where several are combined.

    Not that iterator itself, which Lightning lets go of when the fit ends.
    """
    combined = fetcher.iterator
    alone = type(combined._iterator) is _MaxSizeCycle and len(combined._iterator.iterators) == 1
    return combined._iterator if alone and combined._spec.is_leaf() and fetcher.length is not None else None


def do_not_profile(fetcher: Any) -> None:
    """Leave out a fetcher's two calls to the profiler around each batch."""
    fetcher._start_profiler = fetcher._stop_profiler = _profile_nothing


def averages_gradients(strategy: pl.strategies.DDPStrategy) -> bool:
    """Are gradients averaged at each step, and not the weights now and then (post-local SGD)?"""
    return strategy._model_averager is None


def batch_hook(trainer: Any, hook: str) -> Callable[..., Any]:
    """A hook of the transfer to the device: the datamodule's, or else the module's."""
    owner = trainer._data_connector._datahook_selector.get_instance(hook)
    of_module = partial(call._call_lightning_module_hook, trainer, hook)
    return of_module if owner is trainer.lightning_module else getattr(owner, hook)


# --- what holds under either loop


def count_epochs_by_data(trainer: pl.Trainer) -> None:
    """Continue a run with `max_steps` in the epoch of its checkpoint; Lightning ends that epoch a second time."""
    if _has(trainer.fit_loop, "_iteration_based_training", "a resumed run with max_steps counts one epoch more"):
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]


def replace_signal_handlers(trainer: pl.Trainer) -> None:
    """None of Lightning's, which end a run with exit code 0 or 1, and let SLURM requeue it from another file."""
    connector = getattr(trainer, "_signal_connector", None)
    if _has(connector, "register_signal_handlers", "an interrupted run may end with exit code 0"):
        connector.register_signal_handlers = _do_nothing  # type: ignore[union-attr]


def stop_where_measured(trainer: pl.Trainer) -> None:
    """Let early stopping judge a metric when it is measured: after a validation, or, of training, after an epoch.

    Lightning asks at one of both, by how often the run validates: at the end of an epoch, a run that ends before its
    first validation would end in an error; and a value that nobody has measured since would count as one more that is
    no better.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        of_training = isinstance(callback, pl.callbacks.EarlyStopping) and callback.monitor.startswith("train")
        if of_training or (isinstance(callback, pl.callbacks.EarlyStopping) and callback.monitor.startswith("val")):
            name = "_check_on_train_epoch_end"
            if _has(callback, name, "early stopping fails where a run ends before a validation") and (
                getattr(callback, name) is None
            ):
                setattr(callback, name, of_training)


def set_purge_step(logger: pl.loggers.TensorBoardLogger, step: int) -> None:
    """Let TensorBoard hide what was logged at `step` and later, which a resumed run logs again."""
    if _has(logger, "_kwargs", "TensorBoard shows the repeated steps of a resumed run twice"):
        logger._kwargs["purge_step"] = step


# --- processes


@public_names(start_processes="_call_children_scripts")
class SubprocessLauncher(_SubprocessScriptLauncher):
    """Lightning's launcher, which starts the other processes of a run by its own command line."""

    start_processes: Callable[[], None]


def replace_launcher(trainer: pl.Trainer, make: Callable[[Any], SubprocessLauncher]) -> None:
    """Put make(launcher) in the place of a launcher that starts subprocesses; leave any other."""
    strategy: Any = trainer.strategy
    old = getattr(strategy, "_launcher", None)
    if type(old) is _SubprocessScriptLauncher:
        strategy._launcher = make(old)


def _has(owner: Any, name: str, otherwise: str) -> bool:
    if hasattr(owner, name):
        return True
    log.warning("pytorch-lightning %s has no %s, so %s; known are %s.", VERSION, name, otherwise, ", ".join(KNOWN))
    return False


def _do_nothing() -> None:
    """In place of Lightning's handlers."""


def share_data_only(strategy: pl.strategies.ModelParallelStrategy) -> None:
    """Let all processes of a ModelParallelStrategy be data parallel: its `auto` is the number of nodes, and a number is
    asked for before there is one. Without it, setup ends with an error about the product of two sizes (seen in 2.6.6).
    """
    strategy._data_parallel_size = strategy.num_nodes * strategy.num_processes
