"""What `eval.py` does with a checkpoint, step by step."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader

from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.core.run_dir import find_checkpoint
from lightloom.engine import accelerator
from lightloom.engine import checkpoint as checkpoints
from lightloom.engine import trainer as trainers
from lightloom.engine.train import close, print_table
from lightloom.engine.trust import check_trusted

log = logging.getLogger("lightloom")
FACTS = ("kind", "channels", "num_classes")
CALLBACKS = "lightloom.callbacks."


def restore(cfg: DictConfig) -> tuple[DictConfig, pl.LightningModule]:
    """The configuration that the checkpoint was trained with, and its module."""
    if cfg.ckpt_path is None:
        raise UserError("ckpt_path is not set; name a checkpoint file, a run folder, or last.")
    path = find_checkpoint(str(cfg.ckpt_path), Path(cfg.paths.log_dir), prefer="best")
    cfg.ckpt_path = str(path)
    trained, module = checkpoints.restore(path)
    log.info("%s of %s, trained on %s", path.name, trained.run_name, trained.data.name)
    return trained, module


def test_data(cfg: DictConfig, trained: DictConfig) -> pl.LightningDataModule:
    """The data that the checkpoint was trained with, found on this machine, or the set that `data=` names."""
    if is_swapped(cfg):
        return swapped_data(cfg, trained)
    check_trusted(trained.data, str(cfg.ckpt_path))
    _relocate(trained.data, Path(cfg.paths.data_dir))
    return _built(trained.data, cfg)


def is_swapped(cfg: DictConfig) -> bool:
    """Was a data set chosen? (A machine's own settings may put single options under `data`.)"""
    return "_target_" in (cfg.get("data") or {})


def swapped_data(cfg: DictConfig, trained: DictConfig) -> Any:
    """The set that `data=` names, at the image size of the model; one with the same name is split as in training."""
    data = cfg.data
    if "image_size" in data:
        data.image_size = trained.data.image_size
    if "image_size" in (data.get("reader") or {}):
        data.reader.image_size = trained.data.image_size
    if data.name == trained.data.name and "val_fraction" in data:
        data.seed, data.val_fraction = trained.data.seed, trained.data.val_fraction
    datamodule = _built(data, cfg)
    check_same_facts(data, trained.data, trained.get("labelled", True))
    return datamodule


def _built(data: DictConfig, cfg: DictConfig) -> pl.LightningDataModule:
    data.eval_batch_size, data.num_workers = cfg.batch_size or data.eval_batch_size, cfg.num_workers
    datamodule = build(data, "data")
    data.update(datamodule.facts())
    return datamodule


def check_same_facts(data: DictConfig, trained: DictConfig, labelled: bool = True) -> None:
    """Raise UserError where a set cannot be put before a model that was trained on another."""
    for fact in FACTS if labelled else FACTS[:2]:
        if data[fact] != trained[fact]:
            raise UserError(
                f"data={data.name} has {fact} {data[fact]}, but the checkpoint was trained on {trained.name} with "
                f"{fact} {trained[fact]}; choose a data set that agrees."
            )
    if labelled and list(data.classes or []) != list(trained.classes or []):
        if data.kind == "detection":  # boxes carry names, in files too
            raise UserError(
                f"data={data.name} has the classes {_named(data)}, but the checkpoint was trained on {trained.name} "
                f"with {_named(trained)}; choose a data set that has the same, in this order."
            )
        log.warning(
            "The classes of %s are called otherwise than those of %s; they are compared by number.",
            data.name,
            trained.name,
        )


def _named(data: DictConfig) -> str:
    classes = list(data.classes or [])
    return ", ".join(map(str, classes[:5])) + (", ..." if len(classes) > 5 else "")


def _relocate(data: DictConfig, data_dir: Path) -> None:
    """Where the training machine's folder does not exist, look in this machine's data folder."""
    old = str(data.root)
    if Path(old).exists() or not old:
        return
    new = str(data_dir / data.name)
    for node in (data, data.reader):
        for key in node:
            if node[key] == old:
                node[key] = new


def build_trainer(cfg: DictConfig, trained: DictConfig) -> pl.Trainer:
    """A trainer for one pass; the callbacks of the task that measure and show a test come along."""
    accelerator.settle(cfg.trainer)
    callbacks = list(test_callbacks(cfg, trained))
    return trainers.make(cfg.trainer, callbacks=callbacks, logger=False, enable_checkpointing=False)


def test_callbacks(cfg: DictConfig, trained: DictConfig) -> Iterator[pl.Callback]:
    """Those of our own that say `at_test`, writing into this evaluation's folder, with the extractor asked for now."""
    for name, options in (trained.get("callbacks") or {}).items():
        target = str(options.get("_target_")) if options else ""
        if not (target.startswith(CALLBACKS) and getattr(get_class(target), "at_test", False)):
            continue
        if "dirpath" in options:
            options.dirpath = cfg.paths.output_dir
        if "extractor" in options:
            asked = OmegaConf.select(cfg, f"callbacks.{name}.extractor")
            options.extractor = asked or options.extractor
            check_trusted(options.extractor, str(cfg.ckpt_path))
        if "parzen" in options and cfg.split == "val":
            options.parzen = False  # its bandwidth is chosen on these images
        yield build(options, f"callbacks.{name}")


def choose_split(split: str | None, datamodule: Any, trained: DictConfig) -> str:
    """The split that was asked for; else the test images, or the validation images where those lack needed labels."""
    if split is None:
        return "test" if datamodule.can_be_tested(trained.get("labelled", True)) else "val"
    if split not in ("train", "val", "test"):
        raise UserError(f"split={split}: expected train, val or test.")
    return split


def test(
    trainer: pl.Trainer, module: pl.LightningModule, datamodule: pl.LightningDataModule, split: str, labelled: bool
) -> dict[str, float]:
    """The test metrics of the module on one split."""
    if not is_overridden("test_step", module):
        raise UserError(f"{type(module).__name__} has no test_step, so it cannot be tested; write one.")
    datamodule.test_dataloader = lambda: split_loader(datamodule, split, labelled)  # type: ignore[method-assign]
    results = trainer.test(module, datamodule=datamodule, verbose=False)
    return dict(results[0]) if results else {}


def split_loader(datamodule: pl.LightningDataModule, split: str, labelled: bool = True) -> DataLoader:
    """Any split in the evaluation's order; one without labels cannot be tested where they are needed."""
    if labelled and not datamodule.split(split).labelled:  # type: ignore[attr-defined]
        raise UserError(
            f"The {split} images of {datamodule.name} have no labels to compare with; use split=val, or src/predict.py."  # type: ignore[attr-defined]
        )
    return datamodule.eval_loader(split)  # type: ignore[attr-defined]


def report(cfg: DictConfig, trained: DictConfig, trainer: pl.Trainer, results: dict[str, float]) -> None:
    """Print the table, write results.json beside the confusion matrix."""
    if trainer.is_global_zero:
        output = Path(cfg.paths.output_dir)
        (output / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        tested = (cfg.data if is_swapped(cfg) else trained.data).name
        print_table(f"{trained.run_name} on the {cfg.split} images of {tested}", results)
        log.info("Results: %s", output)
    close(trainer)
