"""What inspect_data.py says of a data set: what the `inspection.py` of its kind of data tells, or what any set has.

Such a file has two functions: `accepts(datamodule) -> bool` and `inspect(datamodule, cfg)`, which prints tables and
writes pictures into `cfg.paths.output_dir`; cfg is the configuration of the command.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_helpers import is_overridden

from lightloom.config.instantiate import build_datamodule
from lightloom.core.discovery import discover
from lightloom.core.errors import UserError
from lightloom.core.screen import say, show_table
from lightloom.data import contract
from lightloom.engine import facts

log = logging.getLogger("lightloom")
SPLITS = ("train", "val", "test")


def read(cfg: DictConfig) -> Any:
    """The datamodule with all its splits."""
    datamodule = build_datamodule(cfg.data)
    facts.prepare(datamodule)
    datamodule.setup("validate")
    datamodule.setup("test")
    return datamodule


def choose(datamodule: pl.LightningDataModule) -> Callable[[Any, DictConfig], None]:
    """`inspect` of the first kind that accepts the data; for data that none knows, of what any has."""
    found = discover("lightloom.predict", "*/inspection.py")
    return next((module.inspect for module in found if module.accepts(datamodule)), inspect)


def inspect(datamodule: pl.LightningDataModule, cfg: DictConfig) -> None:
    """Print each split's count and whether it has labels, and the facts that the data states."""
    rows, missing = [], []
    for name in SPLITS:
        try:
            rows.append((name, *_count_and_labels(split_of(datamodule, name))))
        except UserError as error:
            missing.append(str(error))
    table("", ["items", "labelled"], rows, str(cfg.data.get("name") or type(datamodule).__name__))
    for message in missing:
        say(message)
    found = contract.facts(datamodule)
    table("fact", ["value"], [(name, _short(value)) for name, value in found.items()], "facts")


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


def table(corner: str, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    """Print a table, and write it to the log."""
    if rows:
        show_table((corner, *columns), rows, title)
    log.debug("%s: %s", title, [list(row) for row in rows])


def _count_and_labels(split: Any) -> tuple[str, str]:
    labelled: Mapping[Any, str] = {True: "yes", False: "no"}
    count = f"{len(split):,}" if isinstance(split, Sized) else "unknown"
    return count, labelled.get(getattr(split, "labelled", None), "unknown")


def _short(value: Any) -> str:
    values = list(map(str, value)) if isinstance(value, list | tuple) else [str(value)]
    return ", ".join(values[:8]) + (f", ... ({len(values):,})" if len(values) > 8 else "")
