"""What `predict.py` does with a checkpoint, step by step."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Column, Table
from torch import Tensor

from lightlab import hardware
from lightlab.data.image import FileImages, resize, to_float
from lightlab.data.readers import SUFFIXES, Split, is_image
from lightlab.data.sampling import EvenBatches
from lightlab.errors import UserError
from lightlab.evaluation import is_swapped, swapped_data

log = logging.getLogger("lightlab")
MOST_ROWS = 20  # on the console; predictions.csv has all


@dataclass(frozen=True)
class Images:
    """What is predicted: a split, and the header of a competition's submission file where there is one."""

    split: Split
    ids: list[str]
    submission: tuple[str, str] | None = None


def open_images(cfg: DictConfig, trained: DictConfig) -> Images:
    """The images of `input=`, or the test images of `data=`."""
    if (cfg.input is None) != is_swapped(cfg):
        raise UserError("Say what to predict: input=<image | folder | glob>, or data=<data set> for its test images.")
    if cfg.input is not None:
        paths = find_images(str(cfg.input))
        return Images(Split(paths=paths), [str(p) for p in paths])
    datamodule = swapped_data(cfg, trained)
    split = datamodule.split("test")
    submission = getattr(datamodule.reader, "submission", None)
    return Images(split, split.ids or [str(i) for i in range(len(split))], submission)


def find_images(where: str) -> list[Path]:
    """The image files that a path, a folder (searched to its depths) or a glob means, sorted."""
    path = Path(where).expanduser()
    if path.is_file():
        return [path]
    found = path.rglob("*") if path.is_dir() else Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    images = sorted(p for p in found if is_image(p, below=path if path.is_dir() else p.parent))
    if not images:
        kinds = ", ".join(sorted(SUFFIXES))
        raise UserError(
            f"input={where}: no images there ({kinds}); name an image, a folder or a glob such as 'photos/*.jpg'."
        )
    return images


@torch.inference_mode()
def predict(cfg: DictConfig, trained: DictConfig, module: pl.LightningModule, images: Images) -> Tensor:
    """Class probabilities (N, num_classes), on the CPU."""
    if cfg.trainer.strategy != "auto":
        raise UserError("predict.py works in one process; leave trainer= out, or use trainer=cpu or trainer=gpu.")
    hardware.settle(cfg.trainer)
    device = {"gpu": "cuda"}.get(cfg.trainer.accelerator, cfg.trainer.accelerator)
    module = module.to(device).eval()
    batches = []
    for batch in _batches(cfg, trained, images.split):
        batch = to_float(resize(batch.to(device), trained.data.image_size))
        batches.append(module.predict_step((batch,), 0).cpu())
    return torch.cat(batches)


def _batches(cfg: DictConfig, trained: DictConfig, split: Split):
    if split.images is not None:
        return split.images.split(cfg.batch_size)
    dataset = FileImages(split, trained.data.channels, trained.data.image_size)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, sampler=EvenBatches(len(split), cfg.batch_size), num_workers=cfg.num_workers
    )
    return (images for images, _, _ in loader)


def write(cfg: DictConfig, trained: DictConfig, images: Images, probabilities: Tensor) -> None:
    """predictions.csv (and submission.csv for a competition's data) in the output folder; the first rows as a table."""
    classes = list(trained.data.classes)
    best, labels = probabilities.max(1)
    names = [classes[i] for i in labels.tolist()]
    output = Path(cfg.paths.output_dir)
    rows = [[i, n, f"{p:.6f}"] for i, n, p in zip(images.ids, names, best.tolist(), strict=True)]
    _write_csv(output / "predictions.csv", ("file", "label", "probability"), rows)
    _show(rows)
    log.info("%d predictions: %s", len(rows), output / "predictions.csv")
    if images.submission:
        _write_csv(output / "submission.csv", images.submission, [row[:2] for row in rows])
        log.info("Submission: %s", output / "submission.csv")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _show(rows: Sequence[Sequence[str]]) -> None:
    table = Table("file", "label", Column("probability", justify="right"))
    for row in rows[:MOST_ROWS]:
        table.add_row(row[0], row[1], f"{float(row[2]):.3f}")
    if len(rows) > MOST_ROWS:
        table.add_row("...", f"{len(rows) - MOST_ROWS} more", "")
    Console().print(table)
