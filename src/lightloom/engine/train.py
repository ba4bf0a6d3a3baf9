"""The flow of a run, in the order in which `train.py` calls it."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.model_helpers import is_overridden

from lightloom.callbacks.run.checkpoints import checkpoint_keeper
from lightloom.config.declarations import declares
from lightloom.config.foreign import as_config, literal, plain
from lightloom.config.instantiate import build, build_datamodule, check_targets, import_target, targets
from lightloom.core import atomic_io, lock, run_dir
from lightloom.core.documents import MOST_CONFIG, read_yaml
from lightloom.core.errors import Interrupted, UserError, did_you_mean
from lightloom.core.log_format import BRIEF, FULL, LogFormat
from lightloom.core.redaction import redact_options
from lightloom.core.screen import show_table
from lightloom.data import contract
from lightloom.engine import accelerator, facts, lightning_internals, partial_init, record
from lightloom.engine import checkpoint as checkpoints
from lightloom.engine import trainer as trainers
from lightloom.engine.lightning_options import check_callbacks
from lightloom.engine.resume import Start, check_same_data, holds_a_run
from lightloom.ops.typed_trainer import typed

log = logging.getLogger("lightloom")


class Trained(NamedTuple):
    """seconds: of this start. stopped_by: what ended training before its last epoch; a test loads another state."""

    seconds: float
    stopped_by: str | None


def open_run(cfg: DictConfig) -> DictConfig:
    """Start the run's log, write down the command's options, seed everything. All in the run's folder."""
    run = Path(cfg.paths.output_dir)
    run.mkdir(parents=True, exist_ok=True)
    if run_dir.rank() == 0:
        lock.take(run)
    start_log(run)
    OmegaConf.set_struct(cfg, False)
    overrides, choices = cfg.pop("overrides"), cfg.pop("choices")
    if run_dir.rank() == 0 and not (run / run_dir.OVERRIDES).exists():
        run_dir.record_choices(run, plain(choices))
        run_dir.record_overrides(run, overrides)
    log.debug("command: %s", " ".join(sys.argv))
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    check_targets(cfg, "")
    settle_options(cfg, run)
    return cfg


def settle_options(cfg: DictConfig, run: Path) -> None:
    """Let each object whose options mean something else tomorrow (`last`) write down what they mean now.

    Such a class has a static `settle_options(options, begun, cfg)`; begun are its options when the run began, or None.
    """
    asked = list(targets(cfg, ""))
    hooks = [(w, o, getattr(import_target(str(o["_target_"])), "settle_options", None)) for w, o in asked]
    settling = [(where, options, hook) for where, options, hook in hooks if hook is not None]
    has_begun = settling and (run / run_dir.CONFIG).exists()
    recorded = as_config(read_yaml(run / run_dir.CONFIG, MOST_CONFIG)) if has_begun else None
    for where, options, hook in settling:
        hook(options, None if recorded is None else OmegaConf.select(recorded, where), cfg)
    if new := [where for where, _ in targets(cfg, "") if where not in {known for known, _ in asked}]:
        raise UserError(f"{run / run_dir.CONFIG}: {new[0]} is an object where a value belongs; it is not built.")


class _RunLog(logging.FileHandler):
    """A full disk is reported once, by what the run has to write; not at each line of its log."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Screen(logging.StreamHandler):
    """Writes to what sys.stdout is at that moment: while a live bar is shown, to what keeps lines and bar apart."""

    @property
    def stream(self) -> Any:
        return sys.stdout

    @stream.setter
    def stream(self, value: Any) -> None:
        """Nothing to keep."""


def start_log(run: Path) -> None:
    """Our messages to the console; everything, the libraries' warnings too, to the run's log."""
    rank = run_dir.rank()
    file = _RunLog(
        run / (run_dir.LOG if rank == 0 else f"run-rank{rank}.log"), encoding="utf-8", errors="backslashreplace"
    )
    file.setFormatter(LogFormat(FULL))
    screen = _Screen()
    screen.setFormatter(LogFormat(BRIEF))
    screen.addFilter(
        lambda record: rank == 0 and record.name.startswith("lightloom") and record.levelno >= logging.INFO
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.addHandler(file)
    root.addHandler(screen)
    root.setLevel(logging.INFO)
    log.setLevel(logging.DEBUG)
    log.disabled = False  # Hydra disables the loggers that it finds
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True


def build_data(cfg: DictConfig) -> tuple[DictConfig, pl.LightningDataModule]:
    """The datamodule; what only the data knows is written into the configuration, and where a model asks for it."""
    started = time.monotonic()
    datamodule = build_datamodule(cfg.data)
    checkpoints.check_hyperparameters(datamodule, "data")
    _adopt(cfg, datamodule)
    facts.prepare(datamodule)
    found = contract.facts(datamodule)
    cfg.data.update(literal({"name": contract.name(datamodule), **found}))
    facts.fill_in(cfg, found)
    if not contract.orders_its_batches(datamodule):
        facts.leave_order_to_lightning(cfg, datamodule)
    algorithm = OmegaConf.select(cfg, "model._target_")
    tests = bool(cfg.get("test") and algorithm and _can_test(str(algorithm)))
    contract.read_splits(datamodule, test=tests)
    facts.tell(datamodule, *([_untested(cfg)] if tests and not _is_testable(cfg, datamodule) else []))
    log.debug("data: read in %.1f s", time.monotonic() - started)
    return cfg, datamodule


def _adopt(cfg: DictConfig, datamodule: pl.LightningDataModule) -> None:
    """Of a run that begins with weights of another, on data of a kind that shares its state: a word has the id that
    these know.
    """
    if not (cfg.get("weights_only_init") and cfg.get("ckpt_path")):
        return
    content = checkpoints.load(Path(str(cfg.ckpt_path)))
    kept, known = content["data_state"], content["config"].get("data", {})
    if kept and known.get("kind") in (cfg.data.get("kind"), *getattr(datamodule, "adopts_state_of", ())):
        contract.adopt(datamodule, kept)
        log.info("The data takes over the %s of %s.", " and ".join(kept), cfg.ckpt_path)


def _is_testable(cfg: DictConfig, datamodule: pl.LightningDataModule) -> bool:
    return contract.can_be_tested(datamodule, cfg.get("labelled", True))


def _untested(cfg: DictConfig) -> str:
    return "no labelled test data: validation is measured at the end" if cfg.get("labelled", True) else "not tested"


def _can_test(target: str) -> bool:
    """Has the algorithm a test, as far as its class tells?"""
    own = getattr(import_target(target), "test_step", None)
    return own is not None and own is not pl.LightningModule.test_step


def build_module(cfg: DictConfig) -> pl.LightningModule:
    """The algorithm with its network.

    A class whose options may contradict each other has a static `check_options(options)`, which raises UserError before
    anything is built.
    """
    check_options = getattr(import_target(str(cfg.model["_target_"])), "check_options", None)
    if check_options is not None:
        check_options(cfg.model)
    module = build(cfg.model, "model")
    checkpoints.check_hyperparameters(module, "model")
    parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    name = type(getattr(module, "network", module)).__name__
    log.info("%s on %s: %s parameters", name, cfg.data.name, f"{parameters:,}")
    return module


def build_trainer(cfg: DictConfig, module: pl.LightningModule) -> pl.Trainer:
    """The trainer for this machine, with the run's callbacks and loggers; the monitored metric must exist."""
    asked = checkpoints.RunRecord(
        redact_options(plain(cfg))
    )  # what this machine makes of it is no part of what the run is
    accelerator.settle(cfg.trainer)
    named = {str(name): build(c, f"callbacks.{name}") for name, c in (cfg.get("callbacks") or {}).items() if c}
    check_callbacks(named)
    callbacks = list(named.values())
    for where in ("monitor", "callbacks", "model"):
        check_monitors(plain(cfg.get(where)), where, [module, *callbacks])
    check_validates(cfg)
    loggers = [build(c, f"logger.{name}") for name, c in (cfg.get("logger") or {}).items() if c]
    plugins = [checkpoints.SafeCheckpointIO(asked)]
    parts = {"callbacks": [*callbacks, asked], "logger": loggers or False, "plugins": plugins}
    trainer = trainers.make(cfg.trainer, **parts, **trainers.profiler(cfg.trainer))
    return trainers.prepare(trainer, cfg.trainer.get("loop", "fast"))


def check_monitors(node: Any, where: str, sources: Sequence[Any]) -> None:
    """Raise UserError where a metric that is monitored is never logged in training, or kept at its worst.

    sources: the module and the callbacks, whose `logged` names what they log, and whose `better` says which way. Of a
    module that does not say, the preflight sees it; of such a callback, the end of the first epoch.
    """
    logged = [name for source in sources for name in getattr(source, "logged", ()) if not name.startswith("test/")]
    if not logged or not hasattr(sources[0], "logged"):
        return
    others_may_log = any(map(may_log, sources[1:]))
    for key, metric, mode in monitors(node, where):
        if metric in logged or not others_may_log:
            _check_monitor(key, metric, mode, logged, better(metric, sources))


def check_validates(cfg: DictConfig) -> None:
    """Raise UserError where a callback or a schedule waits for a metric of validation, and nothing validates."""
    if cfg.trainer.get("limit_val_batches") != 0:
        return
    for where in ("callbacks", "model"):
        for key, metric, _ in monitors(plain(cfg.get(where)), where):
            target = OmegaConf.select(cfg, f"{key.rpartition('.')[0]}._target_")
            if metric.startswith("val/") and not (target and declares(str(target), "does_without_monitor")):
                raise UserError(
                    f"{key}={metric}: with trainer.limit_val_batches=0 nothing measures it; leave that limit out, or "
                    f"{key.removesuffix('.monitor')}."
                )


def check_interval(cfg: DictConfig, datamodule: pl.LightningDataModule) -> None:
    """Raise UserError where an epoch has fewer batches than lie between two validations."""
    every, batches = cfg.trainer.get("val_check_interval"), contract.num_train_batches(datamodule)
    by_epochs = cfg.trainer.get("check_val_every_n_epoch", 1) is not None
    if isinstance(every, bool) or not isinstance(every, int) or batches is None or not by_epochs:
        return
    limit = cfg.trainer.get("limit_train_batches")
    if limit is not None:
        batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
    if every > batches and cfg.trainer.get("limit_val_batches") != 0:
        raise UserError(
            f"trainer.val_check_interval={every}: an epoch has {batches} batches, so no validation would come; give a "
            f"smaller number, or trainer.check_val_every_n_epoch=null to count over epochs."
        )


def may_log(callback: Any) -> bool:
    """Is it somebody's own callback, which does not say what it logs?"""
    ours = type(callback).__module__.startswith(("lightloom.", "pytorch_lightning."))
    return not ours and not hasattr(callback, "logged")


def monitors(node: Any, where: str) -> Iterator[tuple[str, str, str | None]]:
    """(key, metric, mode) of each metric that a configuration, plain, says to monitor."""
    if not isinstance(node, dict):
        return
    key = "metric" if where == "monitor" else "monitor"
    if isinstance(node.get(key), str | int | float):  # 7 is a name that nothing logs, not a number
        yield f"{where}.{key}", str(node[key]), node.get("mode")
    for name, child in node.items():
        yield from monitors(child, f"{where}.{name}")


def better(metric: str, sources: Sequence[Any]) -> str | None:
    """min or max, as whoever logs the metric declares: `better = {"acc": "max"}`, by its name or the first word of it.

    None where nobody does.
    """
    name = metric.rpartition("/")[2]
    declared = next((getattr(s, "better", {}) for s in sources if metric in getattr(s, "logged", ())), {})
    return declared.get(name, declared.get(name.partition("_")[0]))


def _check_monitor(key: str, metric: str, mode: str | None, logged: list[str], best: str | None) -> None:
    if metric not in logged:
        raise UserError(
            f"{key}={metric}: training logs no such metric.{did_you_mean(metric, logged)} It logs {', '.join(logged)}."
        )
    if None not in (mode, best) and mode != best:
        raise UserError(f"{key}={metric} with mode {mode} would prefer the worst; set monitor.mode={best}.")


def fit(
    cfg: DictConfig,
    trainer: pl.Trainer,
    module: pl.LightningModule,
    datamodule: pl.LightningDataModule,
    start: Start,
) -> Trained:
    """Train from `start` on."""
    if checkpoint_keeper(trainer) is None and not typed(trainer).fast_dev_run:
        log.warning("No checkpoint is kept, so this run can be neither resumed nor used; callbacks=default keeps them.")
    check_interval(cfg, datamodule)
    asked = checkpoints.record_of(trainer)
    asked.state = contract.state(datamodule)
    if start.path:
        _take_weights(start, module)
    asked.splits = contract.describe(datamodule)
    run, path = Path(cfg.paths.output_dir), None if start.weights_only else start.path
    if path:
        _check_resumed(start, run, asked.splits, accept=cfg.get("data_changed") == "accept")
    if path or holds_a_run(run):  # what was logged by a run that came to no checkpoint is void
        _continue_logs(trainer, _logged_step(start.content, module) if path else 0)
    if run_dir.rank() == 0:
        _record(cfg)
        origin = record.origin_of(start.path, start.content, start.weights_only, asked.config)
        record.begin(run, trainer, module, datamodule, asked.splits, origin)
    started = time.monotonic()
    try:
        trainer.fit(module, datamodule=datamodule, ckpt_path=path, weights_only=True)
    except (Exception, Interrupted):
        if run_dir.rank() == 0:
            record.end(run, time.monotonic() - started, finished=False)
        raise
    return Trained(time.monotonic() - started, trainers.stopped_by(trainer))


def _check_resumed(start: Start, run: Path, splits: Any, accept: bool) -> None:
    """Say where the run goes on; raises UserError where its data are others and are not accepted."""
    log.info("Resuming from %s (epoch %d, step %d).", start.path, start.content["epoch"], start.content["global_step"])
    if run_dir.rank() == 0:
        check_same_data(start, run, splits, accept)


def _take_weights(start: Start, module: pl.LightningModule) -> None:
    """Of another run all weights, or those of the parts that are asked for; those of the same run Lightning loads."""
    assert start.path is not None
    if not isinstance(start.weights_only, bool):
        partial_init.load_parts(module, start.content, start.weights_only, start.path)
        return
    checkpoints.check_fits(start.content, module, start.path)
    content = {"state_dict": start.content["state_dict"]} if start.weights_only else start.content
    checkpoints.check_finite(content, module, start.path)
    if start.weights_only:
        module.load_state_dict(start.content["state_dict"])
        log.info("Beginning with the weights of %s.", start.path)


def _record(cfg: DictConfig) -> None:
    """What is run, for a later resume: the whole configuration, and the options that a resumed run was given anew."""
    run = Path(cfg.paths.output_dir)
    atomic_io.write_text(run / run_dir.CONFIG, OmegaConf.to_yaml(as_config(redact_options(plain(cfg))), resolve=True))
    run_dir.record_overrides(run, (a for a in sys.argv[1:] if not a.startswith("--")))


def _logged_step(content: dict[str, Any], module: pl.LightningModule) -> int:
    """Where a checkpoint is on the logs' axis, which counts batches under manual optimization."""
    if module.automatic_optimization:
        return content["global_step"]
    return content["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"]


def _continue_logs(trainer: pl.Trainer, step: int) -> None:
    for logger in trainer.loggers:
        if isinstance(logger, pl.loggers.TensorBoardLogger):
            lightning_internals.set_purge_step(logger, step)
        elif run_dir.rank() == 0 and hasattr(logger, "continue_from"):
            logger.continue_from(step)


def test_best(
    cfg: DictConfig, trainer: pl.Trainer, module: pl.LightningModule, datamodule: pl.LightningDataModule
) -> dict[str, float]:
    """Test the best checkpoint (the weights at hand where none was saved); returns the metrics.

    On the validation part, with `val/` in the metrics' names, where the data has no test part with the labels that the
    task needs. Nothing where the algorithm has no test, or needs no labels and there is no test part.
    """
    if not (cfg.test and is_overridden("test_step", module)):
        return {}
    labelled = cfg.get("labelled", True)
    if _is_testable(cfg, datamodule):
        return _tested(trainer, module, datamodule)
    on_validation = labelled and sum(trainer.num_val_batches) > 0
    log.info(
        "%s has no test data%s: %s.",
        cfg.data.name,
        " with labels" if labelled else "",
        "the best checkpoint is measured on that of validation" if on_validation else "not tested",
    )
    return _tested_on_validation(trainer, module, datamodule) if on_validation else {}


def _tested(trainer: pl.Trainer, module: pl.LightningModule, datamodule: pl.LightningDataModule) -> dict[str, float]:
    keeper = checkpoint_keeper(trainer)
    best = keeper.best if keeper and keeper.best.is_file() and not typed(trainer).fast_dev_run else None
    results = trainer.test(module, datamodule=datamodule, ckpt_path=best, verbose=False, weights_only=True)
    return dict(results[0]) if results else {}


def _tested_on_validation(
    trainer: pl.Trainer, module: pl.LightningModule, datamodule: pl.LightningDataModule
) -> dict[str, float]:
    """As a test, for figures and pictures of the run's folder; the loggers would call it a test, and hear nothing."""
    loggers, trainer.loggers = trainer.loggers, []
    datamodule.test_dataloader = lambda: contract.eval_loader(datamodule, "val")  # type: ignore[method-assign]
    try:
        found = _tested(trainer, module, datamodule)
    finally:
        trainer.loggers = loggers
        del datamodule.test_dataloader
    return {f"val/{name.removeprefix('test/')}": value for name, value in found.items()}


def report(cfg: DictConfig, trainer: pl.Trainer, tested: dict[str, float], trained: Trained) -> dict[str, float]:
    """Print the table of results and the run's folder, close the logs; returns what results.json is to say."""
    keeper = checkpoint_keeper(trainer)
    score = keeper.best_score if keeper else None
    rows = {f"best {cfg.monitor.metric}": score, **tested} if score is not None else dict(tested)
    run, (seconds, stopped_by) = Path(cfg.paths.output_dir), trained
    whole = round(seconds + record.seconds_before(run), 2)
    facts = {"epochs": trainer.current_epoch, "steps": trainer.global_step, "train_seconds": whole}
    if trainer.is_global_zero:
        (run / run_dir.RESULTS).unlink(missing_ok=True)  # of an earlier end: no longer true
        print_table(f"{cfg.run_name}", rows)
        record.end(run, seconds, True, stopped_by)
        if datamodule := typed(trainer).datamodule:
            record.add_test_data(run, datamodule)
        why = f", stopped by {stopped_by}" if stopped_by else ""
        log.info("%d epochs, %d steps in %.1f s%s. Run folder: %s", *facts.values(), why, run)
        _log_hyperparameters(cfg, trainer, rows)
    close(trainer)
    return {**rows, **facts}


def _log_hyperparameters(cfg: DictConfig, trainer: pl.Trainer, results: dict[str, float]) -> None:
    """What TensorBoard compares runs by on its page HPARAMS: options of the model and of training, and the results."""
    options = {key: plain(cfg.get(key)) for key in ("seed", "model", "optimizer", "trainer")}
    for logger in trainer.loggers:
        if isinstance(logger, pl.loggers.TensorBoardLogger):
            named = {f"hparams/{name.replace(' ', '_')}": value for name, value in results.items()}
            logger.log_hyperparams(redact_options({**options, "data": cfg.data.name}), named)


def finish(cfg: DictConfig, results: dict[str, float]) -> float | None:
    """Write results.json, which says that the run is finished, when nothing else is left to write.

    Returns the best monitored metric.
    """
    run = Path(cfg.paths.output_dir)
    if run_dir.rank() == 0:
        best = run / run_dir.CHECKPOINTS / run_dir.BEST
        words = {"monitor": cfg.monitor.metric, "best_checkpoint": str(best) if best.is_file() else None}
        written = {**results, **words, "run_folder": str(run)}
        atomic_io.write_text(run / run_dir.RESULTS, json.dumps(written, indent=2) + "\n")
    return results.get(f"best {cfg.monitor.metric}")


def report_finished(cfg: DictConfig, results: dict[str, Any]) -> float | None:
    """One line about a run that had ended before this command; returns its best monitored metric."""
    done = f"{results['epochs']} epochs, {results['steps']} steps"
    log.info("This run is finished (%s): nothing to train. Results: %s", done, cfg.paths.output_dir)
    return results.get(f"best {cfg.monitor.metric}")


def print_table(title: str, rows: dict[str, float]) -> None:
    """A table of metrics, on the console and in the run's log."""
    show_table(("metric", "value"), [(name, f"{value:.4f}") for name, value in rows.items()], title)
    log.debug("results: %s", json.dumps(rows))


def close(trainer: pl.Trainer) -> None:
    """Close the logs, and leave the process group, so that the next run of a sweep can form its own."""
    for logger in trainer.loggers:
        if hasattr(logger, "finish"):
            logger.finish()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
