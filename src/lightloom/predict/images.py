"""What `predict.py` does with a checkpoint, step by step."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_helpers import is_overridden
from rich.console import Console
from rich.table import Column, Table
from torch import Tensor
from torch.nn.functional import pad

from lightloom.callbacks.samples.grid import COLUMNS
from lightloom.core.atomic_io import deduplicate
from lightloom.core.errors import UserError
from lightloom.data.images.datamodule import FileImages, resize, to_float
from lightloom.data.images.readers import SUFFIXES, Split, is_image
from lightloom.data.sampling import EvenBatches
from lightloom.engine import accelerator
from lightloom.engine.evaluate import is_swapped, swapped_data
from lightloom.modules.protocols import Detects, Generates, Reconstructs
from lightloom.ops.images.grid import grid, pairs, to_uint8, visible, write_png
from lightloom.ops.rng import latents
from lightloom.predict.boxes.images import WRITERS, detect
from lightloom.predict.boxes.video import detect_video, is_camera, open_video
from lightloom.tracking import video

log = logging.getLogger("lightloom")
Task = Callable[[DictConfig, DictConfig, pl.LightningModule], None]
MOST_ROWS = 20  # on the console; predictions.csv has all
MOST_FILES = 1000  # more images than these go into one .npz, uint8 (N, H, W, C)
ON_A_PAGE = 64  # images
WAYS = {
    "input": "input=<image | folder | glob>, for a detector also <video | camera index>",
    "data": "data=<data set> for its test images",
    "num_samples": "num_samples=<how many> for new images",
}


def choose(cfg: DictConfig, module: pl.LightningModule) -> Task:
    """What the options ask of this module: `sample`, `reconstruct` or `classify`; UserError where it cannot."""
    if cfg.format not in (None, *WRITERS):
        raise UserError(f"format={cfg.format}: expected {', '.join(WRITERS)}; models are written by src/export.py.")
    name, tasks = type(module).__name__, tasks_of(module)
    asked = {"input": cfg.input, "data": cfg.data.name if is_swapped(cfg) else None, "num_samples": cfg.num_samples}
    given = [f"{option}={value}" for option, value in asked.items() if value is not None]
    ways = ", or ".join(WAYS[option] for option in tasks)
    if not tasks:
        raise UserError(f"{name} has no predict_step, reconstruct or decode, so it predicts nothing; write one.")
    if not given:
        raise UserError(f"Say what to predict: {ways}.")
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} are two things to do; say one: {ways}.")
    option = given[0].partition("=")[0]
    if option not in tasks:
        cannot = "makes no new images" if option == "num_samples" else "neither classifies nor reconstructs images"
        raise UserError(f"{given[0]}: {name} {cannot}; say {ways}, or name another checkpoint.")
    return tasks[option]


def tasks_of(module: pl.LightningModule) -> dict[str, Task]:
    """What each option would have this module do."""
    tasks: dict[str, Task] = {}
    if isinstance(module, Detects):
        return {"input": find}
    if is_classifier(module) or isinstance(module, Reconstructs):
        tasks["input"] = tasks["data"] = classify if is_classifier(module) else reconstruct
    if isinstance(module, Generates):
        tasks["num_samples"] = sample
    return tasks


def is_classifier(module: pl.LightningModule) -> bool:
    """Has it a `predict_step` of its own, that of a generative model aside?"""
    generative = isinstance(module, Generates | Reconstructs)
    return is_overridden("predict_step", module) and (hasattr(module, "num_classes") or not generative)


def settle(cfg: DictConfig, module: pl.LightningModule) -> pl.LightningModule:
    """The module on the device that the trainer's configuration means, ready to be evaluated."""
    if cfg.trainer.strategy != "auto":
        raise UserError("predict.py works in one process; leave trainer= out, or use trainer=cpu or trainer=gpu.")
    accelerator.settle(cfg.trainer)
    device = {"gpu": "cuda"}.get(cfg.trainer.accelerator, cfg.trainer.accelerator)
    return module.to(device).eval()


@dataclass(frozen=True)
class Images:
    """What is predicted: a split, and the header of a competition's submission file where there is one."""

    split: Split
    ids: list[str]
    submission: tuple[str, str] | None = None


def open_images(cfg: DictConfig, trained: DictConfig) -> Images:
    """The images of `input=`, or the test images of `data=`."""
    if trained.data.kind != "image":
        raise UserError(
            f"{trained.run_name} was trained on data of kind {trained.data.kind}, and predict.py reads images; use "
            f"src/eval.py."
        )
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
        if video.is_video(path):
            raise UserError(f"input={where}: a video, in which only detectors find something; name images.")
        return [path]
    if not path.is_dir() and not set(where) & set("*?["):
        raise UserError(f"input={where}: there is no such file or folder; name an image, a folder or a glob.")
    found = path.rglob("*") if path.is_dir() else Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    files = sorted(found)
    images = [p for p in files if is_image(p, below=path if path.is_dir() else p.parent)]
    videos = [str(p) for p in files if video.is_video(p)]
    if videos and images:
        log.warning("input=%s: its %d video(s) are left out; name them one by one.", where, len(videos))
    elif videos:
        raise UserError(f"input={where}: there are videos ({', '.join(videos[:3])}), and no images; name one video.")
    if not images:
        kinds = ", ".join(sorted(SUFFIXES))
        raise UserError(
            f"input={where}: no images there ({kinds}); name an image, a folder or a glob such as 'photos/*.jpg'."
        )
    return images


def is_video(where: Any) -> bool:
    """Is `input=` a camera's index or a file that is no image?"""
    path = Path(str(where)).expanduser()
    return is_camera(where) or video.is_video(path) or (path.is_file() and path.suffix.lower() not in SUFFIXES)


def find(cfg: DictConfig, trained: DictConfig, module: Any) -> None:
    """Boxes in the images of `input=`, or tracks in its video, drawn and as files."""
    if is_video(cfg.input):
        reader, name = open_video(cfg.input)
        detect_video(cfg, trained, module, reader, name)
        return
    if cfg.truth is not None:
        raise UserError(f"truth={cfg.truth}: it is of a video's tracks, and input={cfg.input} is none; leave it out.")
    paths = find_images(str(cfg.input))
    detect(cfg, trained, module, paths, relative_names(str(cfg.input), paths))


@torch.inference_mode()
def classify(cfg: DictConfig, trained: DictConfig, module: Any) -> None:
    """predictions.csv with each image's class, and submission.csv for a competition's data."""
    images = open_images(cfg, trained)
    probabilities = torch.cat(
        [module.predict_step((batch,), 0).cpu() for batch in _batches(cfg, trained, module, images.split)]
    )
    best, labels = probabilities.max(1)
    names = [list(trained.data.classes)[i] for i in labels.tolist()]
    rows = list(zip(images.ids, names, best.tolist(), strict=True))
    _write(cfg, ("file", "label", "probability"), rows)
    if images.submission:
        path = Path(cfg.paths.output_dir) / "submission.csv"
        _write_csv(path, images.submission, [row[:2] for row in rows])
        log.info("Submission: %s", path)


@torch.inference_mode()
def reconstruct(cfg: DictConfig, trained: DictConfig, module: Any) -> None:
    """reconstructions.png and single files; predictions.csv with each image's mean squared error, in [0, 1]."""
    images = open_images(cfg, trained)
    before, after, errors = [], [], []
    for batch in _batches(cfg, trained, module, images.split):
        again = module.reconstruct(batch)
        before.append(to_uint8(batch))
        after.append(to_uint8(again))
        errors += (again - batch).square().flatten(1).mean(1).tolist()
    reconstructed = torch.cat(after)
    page = pairs(torch.cat(before)[: ON_A_PAGE // 2], reconstructed[: ON_A_PAGE // 2], COLUMNS)
    _write_images(cfg, "reconstructions", deduplicate(Path(id_).stem for id_ in images.ids), reconstructed, page)
    _write(cfg, ("file", "mse"), list(zip(images.ids, errors, strict=True)))


@torch.inference_mode()
def sample(cfg: DictConfig, trained: DictConfig, module: Any) -> None:
    """samples.png and single files: new images, of which the i-th depends on nothing but the seed and i."""
    z = latents(cfg.seed, cfg.num_samples, module.latent_dim)
    size = min(cfg.batch_size or ON_A_PAGE, ON_A_PAGE)
    # Batches all of one size: with another, sums may be taken in another order and pixels be rounded otherwise.
    z = pad(z, (0, 0, 0, -len(z) % size))
    images = torch.cat([to_uint8(module.decode(batch.to(module.device))) for batch in z.split(size)])[: cfg.num_samples]
    names = [f"{i:05d}" for i in range(len(images))]
    _write_images(cfg, "samples", names, images, grid(images[:ON_A_PAGE], COLUMNS))


def _batches(cfg: DictConfig, trained: DictConfig, module: Any, split: Split) -> Iterator[Tensor]:
    """The images in [0, 1], at the model's size, on its device."""
    if split.images is not None:
        batches: Iterable[Tensor] = split.images.split(cfg.batch_size or ON_A_PAGE)
    else:
        dataset = FileImages(split, trained.data.channels, trained.data.image_size)
        sampler = EvenBatches(len(split), cfg.batch_size or ON_A_PAGE)
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=cfg.num_workers)
        batches = (images for images, _, _ in loader)
    for batch in batches:
        yield to_float(resize(batch.to(module.device), trained.data.image_size))


def relative_names(where: str, paths: Sequence[Path]) -> list[str]:
    """The paths as seen from the folder that `where` is, or from the one that they share."""
    folder = Path(where).expanduser()
    if not folder.is_dir():
        folder = Path(os.path.commonpath([path.parent for path in paths]))
    return [path.relative_to(folder).as_posix() for path in paths]


def _write_images(cfg: DictConfig, kind: str, names: Sequence[str], images: Tensor, page: Tensor) -> None:
    """`kind`.png with the page, and `kind`/<name>.png; where these would be too many, all in `kind`.npz."""
    output = Path(cfg.paths.output_dir)
    write_png(output / f"{kind}.png", page)
    if len(images) > MOST_FILES:
        np.savez(output / f"{kind}.npz", images=images.permute(0, 2, 3, 1).numpy())
    else:
        for name, image in zip(names, visible(images), strict=True):
            write_png(output / kind / f"{name}.png", image)
    where = f"{kind}.npz" if len(images) > MOST_FILES else kind
    log.info("%d %s: %s, the first of them in %s.png", len(images), kind, output / where, kind)


def _write(cfg: DictConfig, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """predictions.csv, and the first rows as a table; the last column is a number."""
    path = Path(cfg.paths.output_dir) / "predictions.csv"
    _write_csv(path, header, [[*row[:-1], f"{row[-1]:.6f}"] for row in rows])
    table = Table(*header[:-1], Column(header[-1], justify="right"))
    for row in rows[:MOST_ROWS]:
        table.add_row(*map(_printable, row[:-1]), f"{row[-1]:.4f}")
    if len(rows) > MOST_ROWS:
        table.add_row("...", f"{len(rows) - MOST_ROWS} more")
    Console().print(table)
    log.info("%d predictions: %s", len(rows), path)


def _printable(name: Any) -> str:
    """A file's name as text, also where its bytes are none."""
    return os.fsencode(str(name)).decode("utf-8", "replace")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Names of files keep their bytes, as the system has them."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
