"""What inspect_data.py says of a data set: what the `inspection.py` of its kind of data tells, or what any set has.

Such a file has two functions: `accepts(datamodule) -> bool` and `inspect(datamodule, cfg)`, which prints its tables and
writes pictures into `cfg.paths.output_dir`; cfg is the configuration of the command. A page is made of the `Findings`
that it may return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_helpers import is_overridden

from lightloom.config.instantiate import build_datamodule
from lightloom.core.discovery import discover
from lightloom.core.errors import UserError
from lightloom.core.findings import Findings
from lightloom.data import contract
from lightloom.engine import evaluate, facts

SPLITS = ("train", "val", "test")


def read(cfg: DictConfig) -> Any:
    """The datamodule with all its splits: of `data=`, or the one that a checkpoint was trained on."""
    if cfg.ckpt_path is None and not evaluate.is_swapped(cfg):
        raise UserError("Say what to look at: data=<data set>, data=auto data.root=<folder>, or ckpt_path=<run>.")
    if cfg.ckpt_path is None:
        datamodule = build_datamodule(cfg.data)
        facts.prepare(datamodule)
    else:
        datamodule = evaluate.test_data(cfg, evaluate.restore(cfg)[0])
    datamodule.setup("validate")
    datamodule.setup("test")
    return datamodule


def choose(datamodule: pl.LightningDataModule) -> Callable[[Any, DictConfig], Findings | None]:
    """`inspect` of the first kind that accepts the data; for data that none knows, of what any has."""
    found = discover("lightloom.predict", "*/inspection.py")
    return next((module.inspect for module in found if module.accepts(datamodule)), inspect)


def begin(datamodule: pl.LightningDataModule, cfg: DictConfig) -> Findings:
    """With the line that a run says of its data."""
    found = Findings(str((cfg.data or {}).get("name") or contract.name(datamodule)))
    if summary := contract.summary(datamodule):
        found.note(f"{summary}.")
    return found


def inspect(datamodule: pl.LightningDataModule, cfg: DictConfig) -> Findings:
    """Each split's count and whether it has labels, and the facts that the data states."""
    found = begin(datamodule, cfg)
    add_splits(found, datamodule)
    stated = contract.facts(datamodule)
    found.table("fact", ["value"], [(name, _short(value)) for name, value in stated.items()], "facts")
    return found


def add_splits(found: Findings, datamodule: pl.LightningDataModule) -> None:
    """The table of splits, and a line for each that there is not."""
    rows, missing = [], []
    for name in SPLITS:
        try:
            rows.append((name, *_count_and_labels(split_of(datamodule, name))))
        except UserError as error:
            missing.append(str(error))
    found.table("", ["items", "labelled"], rows, found.title)
    for message in missing:
        found.note(message)


def split_of(datamodule: pl.LightningDataModule, name: str) -> Any:
    """The data of `train`, `val` or `test`; of a plain LightningDataModule what its (first) loader reads.

    Raises UserError where there is none.
    """
    if own := contract.offered(datamodule, "split", name):
        return own(name)
    loader = f"{name}_dataloader"
    if not is_overridden(loader, datamodule, pl.LightningDataModule):
        raise UserError(f"{type(datamodule).__name__} has no {loader}.")
    found = getattr(datamodule, loader)()
    found = found[0] if isinstance(found, list | tuple) else found
    return getattr(found, "dataset", found)


def _count_and_labels(split: Any) -> tuple[str, str]:
    labelled: Mapping[Any, str] = {True: "yes", False: "no"}
    count = f"{len(split):,}" if isinstance(split, Sized) else "unknown"
    return count, labelled.get(getattr(split, "labelled", None), "unknown")


def _short(value: Any) -> str:
    values = list(map(str, value)) if isinstance(value, list | tuple) else [str(value)]
    return ", ".join(values[:8]) + (f", ... ({len(values):,})" if len(values) > 8 else "")
