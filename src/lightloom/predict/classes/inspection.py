"""What is in a set of labelled images: its splits, and how often each class occurs in them."""

from __future__ import annotations

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightloom.data.images.datamodule import ImageDataModule
from lightloom.predict import inspection


def accepts(datamodule: pl.LightningDataModule) -> bool:
    """Has it images that lie in classes?"""
    return isinstance(datamodule, ImageDataModule)


def inspect(datamodule: ImageDataModule, cfg: DictConfig) -> None:
    """The table of any set, and one of its classes."""
    inspection.inspect(datamodule, cfg)
    labels = {name: split.labels for name, split in datamodule.splits.items() if split.labels is not None}
    classes = datamodule.classes or []
    counts = [found.bincount(minlength=len(classes)).tolist() for found in labels.values()]
    rows = [(name, *(f"{n:,}" for n in row)) for name, row in zip(classes, zip(*counts, strict=True), strict=True)]
    inspection.table("class", list(labels), rows, "images per class")
