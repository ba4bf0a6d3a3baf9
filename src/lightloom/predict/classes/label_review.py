"""Which labels the predictions of a trained classifier speak against, on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.findings import Findings
from lightloom.core.text import first_of, line
from lightloom.data import contract
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.engine import evaluate
from lightloom.metrics.label_issues import Issue, confident_joint, label_issues
from lightloom.modules.protocols import classifies
from lightloom.ops.images import grid
from lightloom.predict.classes import pages
from lightloom.predict.classes.pages import Item
from lightloom.predict.tables import Table

ISSUES = "label_issues.csv"
SHOWN, MOST = 20, 12  # rows of the table; half as many as pictures


def add_label_issues(found: Findings, datamodule: ImageDataModule, cfg: DictConfig, folder: Path) -> None:
    """Labels of held-out images that a checkpoint's predictions speak against, the surest first."""
    trained, module = evaluate.restore(cfg)
    if not classifies(module):
        raise UserError(f"ckpt_path={cfg.ckpt_path}: {type(module).__name__} gives no classes; name a classifier's.")
    left_out = contract.SPLITS if evaluate.is_new(cfg, trained, datamodule) else ("val", "test")
    held_out = [part for part in left_out if part in datamodule.splits and datamodule.splits[part].labelled]
    predicted = [_predicted(module, datamodule, part) for part in held_out]
    if not predicted:
        raise UserError(f"{contract.name(datamodule)} has no labelled images that training left out.")
    probabilities, labels = (torch.cat(values) for values in zip(*predicted, strict=True))
    items = [item for part in held_out for item in pages.items_of(datamodule) if item.part == part]
    issues, classes = label_issues(probabilities, labels), datamodule.classes or []
    wrong = int(confident_joint(probabilities, labels).fill_diagonal_(0).sum())
    found.note(
        f"Labels: of {len(labels):,} images that training left out ({first_of(held_out, 3)}), predictions speak "
        f"confidently against {wrong:,}: {folder / ISSUES}"
    )
    rows = [(items[i.index].name, classes[i.label], classes[i.likely], f"{i.margin:.3f}") for i in issues]
    with Table(folder / ISSUES, ("file", "label", "likely", "margin")) as table:
        table.add(rows)
    found.table(
        "image", ["label", "likely", "margin"], [(line(row[0]), *row[1:]) for row in rows[:20]], "suspicious labels"
    )
    cells = [_labelled(datamodule, items[issue.index], issue, classes) for issue in issues[: 2 * MOST]]
    pages.add(found, folder, cells, 6, "label_issues.png", "Suspicious labels: the label, then the likely class")


def _labelled(datamodule: ImageDataModule, item: Item, issue: Issue, classes: Sequence[str]) -> Tensor:
    said = f"{line(classes[issue.label])[:9]} > {line(classes[issue.likely])[:9]}"
    return grid.captioned(pages.thumbnail(datamodule, item), top=[said])


@torch.inference_mode()
def _predicted(module: Any, datamodule: ImageDataModule, part: str) -> tuple[Tensor, Tensor]:
    """Probabilities (N, K) and labels (N,) of a part, in its order."""
    batches = (datamodule.on_after_batch_transfer(batch, 0) for batch in datamodule.eval_loader(part))
    pairs = [(module.predict_step((images,), 0).float().cpu(), labels) for images, labels in batches]
    probabilities, labels = (torch.cat(values) for values in zip(*pairs, strict=True))
    return probabilities, labels
