"""What `eval.py` does with a checkpoint, step by step."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.utilities.model_helpers import is_overridden

from lightloom.config.declarations import declares
from lightloom.config.foreign import literal, plain
from lightloom.config.instantiate import build, build_datamodule, import_target
from lightloom.config.untrusted import plain_fact
from lightloom.core import atomic_io, run_dir
from lightloom.core.errors import UserError, did_you_mean
from lightloom.core.redaction import redacted
from lightloom.core.run_dir import find_checkpoint
from lightloom.core.text import first_of
from lightloom.data import contract
from lightloom.engine import accelerator, facts
from lightloom.engine import checkpoint as checkpoints
from lightloom.engine import trainer as trainers
from lightloom.engine.train import close, print_table
from lightloom.engine.trust import build_trusted

log = logging.getLogger("lightloom")
CALLBACKS = "lightloom.callbacks."


def restore(cfg: DictConfig) -> tuple[DictConfig, pl.LightningModule]:
    """The configuration that the checkpoint was trained with, and its module."""
    if cfg.ckpt_path is None:
        raise UserError("ckpt_path is not set; name a checkpoint file, a run folder, or last.")
    path = find_checkpoint(str(cfg.ckpt_path), Path(cfg.paths.log_dir), prefer="best")
    cfg.ckpt_path = literal(str(path))
    trained, module = checkpoints.restore(path, cfg.get("trust") or ())
    log.info("%s of %s, trained on %s", path.name, trained.run_name, trained.data.name)
    return trained, module


def test_data(cfg: DictConfig, trained: DictConfig) -> pl.LightningDataModule:
    """The data that the checkpoint was trained with, found on this machine, or the set that `data=` names."""
    if is_swapped(cfg):
        return swapped_data(cfg, trained)
    check_whole(trained.data, str(cfg.ckpt_path))
    recorded, given = str(trained.data.get("root") or ""), plain(cfg.get("data") or {})
    relocate(trained.data, Path(cfg.paths.data_dir), Path(cfg.paths.log_dir))
    move(trained.data, given)
    make = partial(_built, cfg=cfg, trained=trained)
    try:
        return build_trusted(trained.data, "data", str(cfg.ckpt_path), cfg.get("trust") or (), make)
    except UserError as error:
        if "root" in given or not recorded or Path(recorded).exists():
            raise
        raise UserError(
            f"{recorded}, where the data of {trained.run_name} lay, is not there, and {trained.data.root} has none "
            f"either; say where it lies now: data.root=<folder>."
        ) from error


def check_whole(data: DictConfig, source: str) -> None:
    """Raise UserError where the data's options were recorded without a login or token that they need."""
    if lacking := list(redacted(plain(data), "data")):
        raise UserError(
            f"{source}: {', '.join(lacking)} was recorded without its login or token; name the data again, with "
            f"data=<data set> {lacking[0]}=..."
        )


def move(data: DictConfig, given: Mapping[str, Any]) -> None:
    """Put the options that were given in place of the recorded ones; a new `root` wherever the recorded one stands."""
    for option, new in given.items():
        if option not in data:
            known = [str(name) for name in data if not str(name).startswith("_")]
            raise UserError(
                f"data.{option}={new}: the data that the checkpoint was trained on has no such option."
                f"{did_you_mean(str(option), known, 'data.') or f' It has {first_of(known, 20)}.'}"
            )
        old, data[option] = data[option], literal(new)
        if isinstance(new, str) and isinstance(old, str) and old:
            _replace(data, new, lambda _, value, old=old: value == old)  # type: ignore[misc]


def is_swapped(cfg: DictConfig) -> bool:
    """Was a data set chosen? (A machine's own settings may put single options under `data`.)"""
    return "_target_" in (cfg.get("data") or {})


def swapped_data(cfg: DictConfig, trained: DictConfig) -> Any:
    """The set that `data=` names, as the model takes it; one with the same name is split as in training.

    Raises UserError where it is of another kind, or its facts are others than those that the model was made for.
    """
    data, known = cfg.data, trained.data
    declared = import_target(str(data["_target_"]))
    contract.check_agrees(data, known, ("kind",))
    kept = getattr(declared, "splits_by", ()) if data.get("name") == known.get("name") else ()
    for fact in (*getattr(declared, "adopts", ()), *kept):
        if fact in data and fact in known:
            stated = plain(data[fact])
            taken = plain_fact(known[fact], f"data.{fact}", str(cfg.ckpt_path))
            _replace(data, taken, lambda key, value, own=(fact, stated): (key, value) == own)  # type: ignore[misc]
    datamodule = _built(data, cfg, trained, swapped=True)
    check_same_facts(datamodule, data, known, trained.get("labelled", True))
    return datamodule


def _built(data: DictConfig, cfg: DictConfig, trained: DictConfig, swapped: bool = False) -> pl.LightningDataModule:
    options = {"eval_batch_size": cfg.batch_size or data.get("eval_batch_size"), "num_workers": cfg.num_workers}
    data.update({option: value for option, value in options.items() if option in data})
    datamodule = build_datamodule(data)
    contract.adopt(datamodule, checkpoints.state_for(trained, cfg.ckpt_path))
    facts.prepare(datamodule)
    if swapped:
        contract.match(datamodule, plain(trained.data), bool(trained.get("labelled", True)))
    data.update(literal({"name": contract.name(datamodule), **contract.facts(datamodule)}))
    return datamodule


def check_same_facts(
    datamodule: pl.LightningDataModule, data: DictConfig, trained: DictConfig, labelled: bool = True
) -> None:
    """Raise UserError where a set cannot be put before a model that was trained on another; warn of other names."""
    must = getattr(datamodule, "must_match", ())
    if labelled:
        must = (*must, *getattr(datamodule, "labels_must_match", ()))
    contract.check_agrees(data, trained, must)
    for fact in getattr(datamodule, "names_of_labels", ()) if labelled else ():
        if plain(data.get(fact)) != plain(trained.get(fact)):
            log.warning(
                "The %s of %s are called otherwise than those of %s; they are compared by number.",
                fact,
                data.name,
                trained.name,
            )


def relocate(data: DictConfig, data_dir: Path, log_dir: Path) -> None:
    """Where the training machine's folder does not exist, look in this machine's data folder.

    A file does not say where caches are written, nor that something is fetched.
    """
    _replace(data, str(log_dir / "cache"), lambda key, value: key == "cache_dir" and bool(value))
    _replace(data, False, lambda key, value: key == "download" and bool(value))
    old = str(data.get("root") or "")
    if old and not Path(old).exists():
        _replace(data, str(data_dir / data.name), lambda _, value: value == old)


def _replace(node: Any, new: Any, fits: Callable[[Any, Any], bool]) -> None:
    """Put `new`, which is plain, in place of each value in a configuration that fits, by its key and what it is."""
    names: Any = range(len(node)) if isinstance(node, ListConfig) else node
    for name in names:
        if isinstance(node[name], DictConfig | ListConfig):
            _replace(node[name], new, fits)
        elif fits(name, node[name]):
            node[name] = literal(new)


def build_trainer(cfg: DictConfig, trained: DictConfig) -> pl.Trainer:
    """A trainer for one pass; the callbacks of the task that measure and show a test come along."""
    accelerator.settle(cfg.trainer)
    callbacks = list(test_callbacks(cfg, trained))
    return trainers.make(cfg.trainer, callbacks=callbacks, logger=False, enable_checkpointing=False)


def test_callbacks(cfg: DictConfig, trained: DictConfig) -> Iterator[pl.Callback]:
    """Those of our own that say `at_test`, writing into this evaluation's folder.

    A callback whose options mean something else here has a static `for_evaluation(options, asked, split)` that changes
    them; asked: what the command line says for it.
    """
    for name, options in (trained.get("callbacks") or {}).items():
        target = str(options.get("_target_")) if isinstance(options, DictConfig) else ""
        if not (target.startswith(CALLBACKS) and declares(target, "at_test")):
            continue
        if "dirpath" in options:
            options.dirpath = literal(cfg.paths.output_dir)
        where = f"callbacks.{name}"
        make = partial(_built_for_evaluation, where=where, asked=OmegaConf.select(cfg, where) or {}, split=cfg.split)
        yield build_trusted(options, where, str(cfg.ckpt_path), cfg.get("trust") or (), make)


def _built_for_evaluation(options: DictConfig, where: str, asked: Any, split: str) -> pl.Callback:
    for_evaluation = getattr(import_target(str(options["_target_"])), "for_evaluation", None)
    if for_evaluation is not None:
        for_evaluation(options, asked, split)
    return build(options, where)  # type: ignore[no-any-return]


def choose_split(
    split: str | None, datamodule: pl.LightningDataModule, trained: DictConfig, is_new: bool = False
) -> str:
    """The split that was asked for; else the test split.

    Where that lacks needed labels, that of validation; of a set that `is_new` to the model all that has labels.
    """
    if split is None:
        if contract.can_be_tested(datamodule, trained.get("labelled", True)):
            return "test"
        return contract.WHOLE if is_new and contract.offered(datamodule, "whole") else "val"
    if split not in (*contract.SPLITS, contract.WHOLE):
        raise UserError(f"split={split}: expected train, val, test or all.")
    if split == contract.WHOLE and not contract.offered(datamodule, "whole"):
        raise UserError(f"split=all: {contract.name(datamodule)} has its parts only; say train, val or test.")
    return split


def is_new(cfg: DictConfig, trained: DictConfig, datamodule: pl.LightningDataModule) -> bool:
    """Is it a set that the model has not trained on? Told by name, then by what the checkpoint recorded of it."""
    if not is_swapped(cfg):
        return False
    then = checkpoints.load(Path(cfg.ckpt_path))["splits"].get("train")
    if cfg.data.get("name") != trained.data.get("name") or then is None:
        return cfg.data.get("root") != trained.data.get("root")
    own = contract.offered(datamodule, "describe", "train")
    try:
        return own is None or own("train") != then
    except UserError:  # too few items to be split, for one
        return True


def test(
    trainer: pl.Trainer, module: pl.LightningModule, datamodule: pl.LightningDataModule, split: str, labelled: bool
) -> dict[str, float]:
    """The test metrics of the module on one split."""
    if not is_overridden("test_step", module):
        raise UserError(f"{type(module).__name__} has no test_step, so it cannot be tested; write one.")
    if own := contract.offered(datamodule, "split", split):
        own(split)
    facts.tell(datamodule, f"measured on {split}")
    datamodule.test_dataloader = lambda: split_loader(datamodule, split, labelled)  # type: ignore[method-assign]
    results = trainer.test(module, datamodule=datamodule, verbose=False)
    return {named_for(name, split): value for name, value in (results[0] if results else {}).items()}


def named_for(metric: str, split: str) -> str:
    """A metric of a test by the part that it was measured on: `val/acc`; of all of a set it is the test of that set."""
    stage, _, name = metric.partition("/")
    return f"{split}/{name}" if stage == "test" and split in ("train", "val") else metric


def split_loader(datamodule: pl.LightningDataModule, split: str, labelled: bool = True) -> Any:
    """Any split in the evaluation's order; one without labels cannot be tested where they are needed."""
    if labelled:
        contract.check_labelled(datamodule, split)
    return contract.eval_loader(datamodule, split)


def report(cfg: DictConfig, trained: DictConfig, trainer: pl.Trainer, results: dict[str, float]) -> None:
    """Print the table, write results.json beside the confusion matrix."""
    if trainer.is_global_zero:
        output = Path(cfg.paths.output_dir)
        atomic_io.write_text(output / run_dir.RESULTS, json.dumps(results, indent=2) + "\n")
        tested = (cfg.data if is_swapped(cfg) else trained.data).name
        part = "all" if cfg.split == contract.WHOLE else f"the {cfg.split} split"
        print_table(f"{trained.run_name} on {part} of {tested}", results)
        log.info("Results: %s", output)
    close(trainer)
