"""Images that are predicted: from files or from a data set, and as files again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import interpolate

from lightloom.callbacks.offers import parts_of
from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.data.images.datamodule import FileImages, ImageDataModule, resize, to_float
from lightloom.data.images.layout import SUFFIXES, is_image
from lightloom.data.images.readers import Split, is_video
from lightloom.data.loading import loader
from lightloom.data.sampling import EvenBatches
from lightloom.engine.evaluate import swapped_data
from lightloom.ops.images.grid import visible, write_png
from lightloom.predict.faults import Faults

log = logging.getLogger("lightloom")
MOST_FILES = 1000  # more images than these go into one .npz, uint8 (N, H, W, C)
ON_A_PAGE = 64  # images
READING = {"input": "input=<image | folder | glob>", "data": "data=<data set> for its test images"}


def are_images(data: Mapping[str, Any]) -> bool:
    """Was a module with these facts of its data trained on images? Data that names no kind may be."""
    return data.get("kind", "image") == "image"


def fitted(images: Tensor | Sequence[Tensor], data: Mapping[str, Any], device: Any) -> Tensor:
    """Images (B, C, H, W) in [0, 1], or uint8, to float (B, C, image_size, image_size) in [0, 1] on the device.

    Or a list of (C, H, W) of any sizes. data: facts of the data; where they state no `image_size`, it is left as it is.
    """
    if not isinstance(images, Tensor):
        return torch.cat([fitted(image[None], data, device) for image in images])
    images, side = images.to(device), data.get("image_size")
    if not images.is_floating_point():
        return to_float(images if side is None else resize(images, side))
    if side is None or images.shape[-2:] == (side, side):
        return images
    return interpolate(images, (side, side), mode="bilinear", antialias=True)


@dataclass(frozen=True)
class Images:
    """What is predicted: a split, or batches of images of a plain LightningDataModule.

    ids: of each image, where they have any. submission: the header of a competition's file, where there is one.
    """

    source: Split | Iterable[Tensor]
    ids: list[str] | None = None
    submission: tuple[str, str] | None = None

    def name(self, number: int) -> str:
        """The id of an image, or its number."""
        return self.ids[number] if self.ids else str(number)


def open_images(cfg: DictConfig, trained: DictConfig) -> Images:
    """The images of `input=`, or the test images of `data=`."""
    if cfg.input is not None:
        paths = find_images(str(cfg.input))
        return Images(Split(paths=paths), [str(p) for p in paths])
    datamodule = swapped_data(cfg, trained)
    if not isinstance(datamodule, ImageDataModule):
        return Images(_loaded(datamodule))
    split = datamodule.split("test")
    return Images(split, split.ids, getattr(datamodule.reader, "submission", None))


def _loaded(datamodule: pl.LightningDataModule) -> Iterator[Tensor]:
    """The images of the test loader of somebody's data, (B, C, H, W), with labels beside them or without."""
    name = contract.name(datamodule)
    if not contract.can_be_tested(datamodule, labelled=False):
        raise UserError(f"data={name} has no test data to predict; write its test_dataloader, or say input=<folder>.")
    for batch in contract.eval_loader(datamodule, "test"):
        found = parts_of(datamodule.on_after_batch_transfer(batch, 0), 1)
        if not found:
            raise UserError(
                f"data={name}: its test batches are of type {type(batch).__name__}; expected images, or (images, "
                f"labels)."
            )
        yield found[0]


def find_images(where: str) -> list[Path]:
    """The image files that a path, a folder (searched to its depths) or a glob means, sorted."""
    path = Path(where).expanduser()
    if path.is_file():
        if is_video(path):
            raise UserError(f"input={where}: a video, in which only detectors find something; name images.")
        return [path]
    if not path.is_dir() and not set(where) & set("*?["):
        raise UserError(f"input={where}: there is no such file or folder; name an image, a folder or a glob.")
    found = path.rglob("*") if path.is_dir() else Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    files = sorted(found)
    images = [p for p in files if is_image(p, below=path if path.is_dir() else p.parent)]
    videos = [str(p) for p in files if is_video(p)]
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


def batches(cfg: DictConfig, trained: DictConfig, images: Images, faults: Faults) -> Iterator[tuple[list[str], Tensor]]:
    """Names, and images uint8 (B, C, H, W), or as a plain loader gives them; files are read at the model's size.

    Files that cannot be read are noted in `faults`.
    """
    source, size = images.source, cfg.batch_size or ON_A_PAGE
    if isinstance(source, Split) and source.images is None:
        for numbers, batch, wrong in _read_batches(cfg, trained, source, size):
            for number, reason in wrong:
                faults.add(images.name(number), reason)
            if numbers:
                yield [images.name(i) for i in numbers], batch
        return
    begin = 0
    loaded: Any = source.images.split(size) if isinstance(source, Split) and source.images is not None else source
    for batch in loaded:
        yield [images.name(i) for i in range(begin, begin + len(batch))], batch
        begin += len(batch)


class ReadableImages(FileImages):
    """An item for a batch is the numbers of the images that can be read, these images, and why others cannot."""

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Any:
        indices, _ = batch
        numbers: list[int] = []
        found: list[Tensor] = []
        wrong: list[tuple[int, str]] = []
        for index in indices.tolist():
            try:
                found.append(self.decoded(torch.tensor([index]))[0])
                numbers.append(index)
            except UserError as error:
                wrong.append((index, str(error)))
        return numbers, torch.stack(found) if found else torch.empty(0), wrong


def _read_batches(cfg: DictConfig, trained: DictConfig, split: Split, size: int) -> Iterator[Any]:
    for fact in ("channels", "image_size"):
        if trained.data.get(fact) is None:
            raise UserError(
                f"{trained.data.name}, on which the checkpoint was trained, states no {fact}, so images from files "
                f"cannot be read as the model takes them; state {fact} in the YAML of the data and train with it."
            )
    dataset = ReadableImages(split, trained.data.channels, trained.data.image_size)
    yield from loader(dataset, EvenBatches(len(split), size), cfg.num_workers, seed=0)


def relative_names(where: str, paths: Sequence[Path]) -> list[str]:
    """The paths as seen from the folder that `where` is, or from the one that they share."""
    folder = Path(where).expanduser()
    if not folder.is_dir():
        folder = Path(os.path.commonpath([path.parent for path in paths]))
    return [path.relative_to(folder).as_posix() for path in paths]


def write_images(folder: str | Path, kind: str, names: Sequence[str], images: Tensor, page: Tensor) -> None:
    """`kind`.png with the page, and `kind`/<name>.png; where these would be too many, all in `kind`.npz."""
    output = Path(folder)
    write_png(output / f"{kind}.png", page)
    if len(images) > MOST_FILES:
        np.savez(output / f"{kind}.npz", images=images.permute(0, 2, 3, 1).numpy())
    else:
        for name, image in zip(names, visible(images), strict=True):
            write_png(output / kind / f"{name}.png", image)
    where = f"{kind}.npz" if len(images) > MOST_FILES else kind
    log.info("%d %s: %s, the first of them in %s.png", len(images), kind, output / where, kind)
