"""Before step 1: what would stop a run later, found in seconds, on copies that leave no trace in the run.

`doctor=true` tries everything and prints a table. Every run begins with the brief part: a few samples through a
training and a validation step, a checkpoint written and read again, the disk, the workers.
"""

from __future__ import annotations

import copy
import logging
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.model_helpers import is_overridden
from pytorch_lightning.utilities.seed import isolate_rng

from lightloom.callbacks.run.checkpoints import checkpoint_keeper
from lightloom.callbacks.run.nan_guard import NaNGuard
from lightloom.config.foreign import as_config, plain
from lightloom.core import run_dir
from lightloom.core.errors import UserError, did_you_mean, message_of, raise_all
from lightloom.core.redaction import redact_options
from lightloom.core.screen import show_table
from lightloom.core.text import megabytes
from lightloom.data import contract
from lightloom.data.loading import allow_files, bytes_of_sample, check_shared_memory
from lightloom.engine import checkpoint, facts, lightning_internals, train
from lightloom.engine import trainer as trainers
from lightloom.engine.null_profiler import NullProfiler
from lightloom.ops.typed_trainer import typed

log = logging.getLogger("lightloom")

WORKERS = 2  # as many show whether they work
FEW = 4  # samples of a batch in the brief part
SHOWN = 3  # files that cannot be read
FILES = 4  # checkpoints that must fit on the disk: last, previous, best, and one that is being written


@dataclass
class Findings:
    """What each check found, and what stops the run."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def check(self, name: str, examine: Callable[[], str]) -> None:
        """One row: what `examine` returns, or why it failed. After a failure the checks that follow are left out."""
        if self.problems:
            return
        try:
            self.rows.append((name, "ok", examine()))
        except Exception as error:
            log.debug("doctor: %s\n%s", name, "".join(traceback.format_exception(error)))
            said = message_of(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
            self.rows.append((name, "error", said))
            self.problems += said.splitlines()

    def warn(self, name: str, problem: str | None, well: str) -> None:
        if not self.problems:
            self.rows.append((name, "warning" if problem else "ok", problem or well))


def examine(cfg: DictConfig) -> None:
    """Print a table of all that is found; raise UserError with what must be mended."""
    found = Findings()
    made: dict[str, Any] = {}

    def data() -> str:
        _, made["data"] = train.build_data(cfg)
        batches = contract.num_train_batches(made["data"])
        of = getattr(made["data"], "size_of_batches", cfg.data.get("batch_size"))
        sizes = "" if batches is None else f"{batches} batches of {of} to train on; "
        return f"{cfg.data.name}: {sizes}{facts.shown(contract.facts(made['data']))}"

    def model() -> str:
        made["module"] = train.build_module(cfg)
        name = cfg.model["_target_"].rpartition(".")[2]
        return f"{name}, {sum(p.numel() for p in made['module'].parameters()):,} weights"

    def machine() -> str:
        made["trainer"] = train.build_trainer(cfg, made["module"])
        return f"{made['trainer'].world_size} x {cfg.trainer.accelerator}, precision {cfg.trainer.precision}"

    found.check("data", data)
    found.check("model", model)
    found.check("machine, monitor, options", machine)
    if not found.problems:
        found.warn(
            "workers", too_many_workers(cfg, made["trainer"]), f"data.num_workers={cfg.data.get('num_workers', 0)}"
        )
        with Trial(cfg, made["trainer"], made["module"], made["data"], brief=False) as trial:
            for name, step in trial.checks():
                found.check(name, step)
    show_table(("check", "", "found"), found.rows, cfg.run_name, left=3)
    raise_all(found.problems)


def preflight(
    cfg: DictConfig, trainer: pl.Trainer, module: pl.LightningModule, datamodule: pl.LightningDataModule
) -> None:
    """The brief part, which a run begins with unless `preflight=false`; raises what a first step would raise."""
    asked = cfg.get("preflight", False) and not typed(trainer).fast_dev_run
    if not asked or run_dir.rank() != 0 or _is_sharded(cfg):
        return
    started = time.monotonic()
    if problem := too_many_workers(cfg, trainer):
        log.warning(problem)
    with Trial(cfg, trainer, module, datamodule, brief=True) as trial:
        for name, step in trial.checks():
            log.debug("preflight: %s: %s", name, step())
    log.debug("preflight: %.2f s", time.monotonic() - started)


def too_many_workers(cfg: DictConfig, trainer: pl.Trainer) -> str | None:
    """What to say where there are more loader processes than cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = trainer.world_size // trainer.num_nodes
    workers = cfg.data.get("num_workers") or 0
    if workers * here <= cores:
        return None
    each = f" for each of {here} processes" if here > 1 else ""
    return (
        f"data.num_workers={workers}{each}, but there are {cores} cores; set data.num_workers={max(cores // here, 1)}."
    )


class Trial:
    """A training and an evaluation of one batch, of copies of a run's module and datamodule, on its own device.

    brief: of a few samples, without workers and without a test.
    """

    def __init__(
        self,
        cfg: DictConfig,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        datamodule: pl.LightningDataModule,
        brief: bool,
    ) -> None:
        self.cfg, self.brief = cfg, brief
        self.file = Path(cfg.paths.output_dir) / run_dir.CHECKPOINTS / ".preflight.ckpt"
        self.module: Any = copy.deepcopy(module)
        self.whole, self.data = datamodule, _few(datamodule, FEW if brief else None, trainer.world_size)
        self.processes, self.processes_here = trainer.world_size, trainer.world_size // trainer.num_nodes
        if hasattr(self.module, "scheduler"):
            self.module.scheduler = None  # type: ignore[assignment]  # it would ask for the length of the run
        record = checkpoint.RunRecord(redact_options(plain(cfg)), contract.state(datamodule))
        self.trainer = _trainer_of_one_batch(cfg, getattr(module, "batches_per_step", 1), record)
        callbacks = typed(trainer).callbacks
        self.elsewhere = [name for callback in callbacks for name in getattr(callback, "logged", ())]
        self.others_may_log = checkpoint_keeper(trainer) is not None and any(map(train.may_log, callbacks))

    def __enter__(self) -> Trial:
        self._quiet = _without_trace(self.trainer)
        self._quiet.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.file.unlink(missing_ok=True)
        self._quiet.__exit__(*error)

    def checks(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """A name and a function that returns what it found, or raises."""
        yield "files", self._files
        yield "shared memory", self._shared_memory
        yield "training and validation step", self._fit
        if not self.brief and self.cfg.test and is_overridden("test_step", self.module):
            yield "test step", self._test
        yield "checkpoint", self._save_and_load
        yield "disk", self._disk

    def _files(self) -> str:
        """All that cannot be read of all splits that the run will use, in one message."""
        found = contract.unreadable(self.whole)
        listed = [f"{path} ({said})" for split in found.values() for path, said in split.items()]
        if listed:
            counts = ", ".join(f"{len(files)} of {split}" for split, files in found.items())
            more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
            raise UserError(
                f"{self.cfg.data.name}: {counts} cannot be read: {'; '.join(listed[:SHOWN])}{more}. "
                "Replace the files or delete them."
            )
        splits = getattr(self.whole, "splits", None)
        return f"all of {', '.join(splits)} can be read" if splits else "not ours"

    def _shared_memory(self) -> str:
        data: Any = self.whole
        workers = getattr(data, "num_workers", 0)
        if not workers or not contract.orders_its_batches(data):
            return "no workers of ours"
        allow_files(workers)
        sample = bytes_of_sample(_few(data, None, self.processes).train_dataloader())
        sizes = (data.batch_size // self.processes, data.eval_batch_size)
        check_shared_memory(sample, sizes, workers, self.processes_here)
        return f"a sample takes {sample:,} bytes" if sample else "no workers of ours"

    def _fit(self) -> str:
        started = time.monotonic()
        self._fit_as_precise()
        seen = sorted(self.trainer.callback_metrics)
        for where in ("monitor", "callbacks", "model"):
            for key, metric, _ in train.monitors(plain(self.cfg.get(where)), where):
                self._check_monitor(key, metric, seen)
        return f"{time.monotonic() - started:.1f} s; {', '.join(seen) or 'nothing'} logged"

    def _fit_as_precise(self) -> None:
        """A step; of a model that makes tensors of its own type beside the asked one UserError."""
        asked = self.cfg.trainer.precision
        try:
            self.trainer.fit(self.module, datamodule=self.data)
        except RuntimeError as error:
            if not (str(asked).endswith("-true") and asked != "32-true" and "dtype" in str(error)):
                raise
            name = type(self.module).__name__
            raise UserError(
                f"trainer.precision={asked}: {name} on {self.cfg.data.name} has numbers of another precision beside it "
                f"({error}); use trainer.precision={asked.removesuffix('-true').replace('64', '32')}"
                f"{'-true' if asked == '64-true' else '-mixed'}."
            ) from error

    def _check_monitor(self, key: str, metric: str, seen: list[str]) -> None:
        """Raise UserError where neither the steps nor a callback log what is monitored.

        Of a callback that does not say what it logs RunCheckpoint sees it, when the first epoch ends.
        """
        unvalidated = self.trainer.limit_val_batches == 0 and metric.startswith("val")
        if metric in (*seen, *self.elsewhere) or unvalidated or self.others_may_log:
            return
        told = f"they log {', '.join(seen)}" if seen else "they log nothing"
        raise UserError(
            f"{key}={metric}: the training and validation steps log no such metric, {told}."
            f"{did_you_mean(metric, seen)} Set monitor.metric to one that is logged."
        )

    def _test(self) -> str:
        if not contract.can_be_tested(self.data, self.cfg.get("labelled", True)):
            return "no test data with labels"
        self.trainer.test(self.module, datamodule=self.data, verbose=False)
        return ", ".join(sorted(self.trainer.callback_metrics)) or "nothing logged"

    def _save_and_load(self) -> str:
        self.trainer.save_checkpoint(self.file)
        saved = checkpoint.load(self.file)["state_dict"]
        own = self.module.state_dict()
        if saved.keys() != own.keys():
            raise UserError(f"a checkpoint loses {', '.join(own.keys() ^ saved.keys())}; mend the module's state_dict.")
        return f"written and read as plain data: {megabytes(self.file.stat().st_size)}"

    def _disk(self) -> str:
        needed, free = FILES * self.file.stat().st_size, shutil.disk_usage(self.file.parent).free
        if free < needed:
            raise UserError(
                f"{self.file.parent} has {megabytes(free)} free, but {FILES} checkpoints take {megabytes(needed)}; "
                f"free some space or set paths.log_dir=<a folder on a larger disk>."
            )
        return f"{megabytes(free)} free, {FILES} checkpoints take {megabytes(needed)}"


def _few(datamodule: pl.LightningDataModule, most: int | None, world_size: int) -> Any:
    """A datamodule that shares the data but not the position, with the batches of one process, or smaller ones."""
    data: Any = copy.copy(datamodule)
    data.trainer = None
    if not contract.orders_its_batches(data):
        return data  # its batches are its own affair
    data.position, data.splits = (0, 0), dict(data.splits)
    data.batch_size = max(data.batch_size // world_size, 1)
    data.num_workers = min(getattr(data, "num_workers", 0), WORKERS) if most is None else 0
    if most is not None:
        data.batch_size, data.eval_batch_size = min(data.batch_size, most), min(data.eval_batch_size, most)
    return data


def _trainer_of_one_batch(cfg: DictConfig, batches: int, record: checkpoint.RunRecord) -> pl.Trainer:
    """The run's trainer in one process, for as many training batches as the module says that one of its steps takes."""
    options: dict[str, Any] = plain(cfg.trainer)
    devices = options["devices"]
    options |= {"strategy": "auto", "num_nodes": 1, "devices": devices[:1] if isinstance(devices, list) else 1}
    options |= {"fast_dev_run": batches, "max_time": None, "profiler": None}
    plugins = [checkpoint.SafeCheckpointIO(record)]
    trainer = trainers.make(
        as_config(options),
        callbacks=[NaNGuard()],
        plugins=plugins,
        logger=False,
        profiler=NullProfiler(),
    )
    trainer.limit_val_batches = 0 if cfg.trainer.limit_val_batches == 0 else 1
    lightning_internals.replace_signal_handlers(trainer)
    return trainer


@contextmanager
def _without_trace(trainer: pl.Trainer) -> Iterator[None]:
    """Random states are as before, and the libraries' words on a run of one batch stay out of the log."""
    library = logging.getLogger("pytorch_lightning")
    level, device = library.level, trainer.strategy.root_device
    devices = [device] if device.type == "cuda" else []
    library.setLevel(logging.ERROR)
    try:
        with isolate_rng(include_cuda=False), torch.random.fork_rng(devices):
            yield
    finally:
        library.setLevel(level)


def _is_sharded(cfg: DictConfig) -> bool:
    """A model that needs several GPUs has no room for a copy on one."""
    return "FSDP" in str(OmegaConf.select(cfg, "trainer.strategy._target_"))
