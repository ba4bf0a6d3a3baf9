"""Images that are predicted: from files or from a data set, and as files again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
from lightloom.data.images.augment import centre
from lightloom.data.images.datamodule import FileImages, ImageDataModule, decoded_size, resize, to_float
from lightloom.data.images.readers import Split
from lightloom.engine.evaluate import swapped_data
from lightloom.ops.images.grid import visible, write_png
from lightloom.predict.faults import Faults
from lightloom.predict.images.batches import readable
from lightloom.predict.images.sources import Sources, find
from lightloom.predict.images.sources import relative_names as relative_names

log = logging.getLogger("lightloom")
MOST_FILES = 1000  # more images than these go into one .npz, uint8 (N, H, W, C)
ON_A_PAGE = 64  # images
BATCH = 512  # images of a model's own size at a time
READING = {"input": "input=<image | folder | glob | list>", "data": "data=<data set> for its test images"}


def are_images(data: Mapping[str, Any]) -> bool:
    """Was a module with these facts of its data trained on images? Data that names no kind may be."""
    return data.get("kind", "image") == "image"


def fitted(images: Tensor | Sequence[Tensor], data: Mapping[str, Any], device: Any) -> Tensor:
    """Images (B, C, H, W) in [0, 1], or uint8, to float (B, C, image_size, image_size) in [0, 1] on the device.

    Or a list of (C, H, W) of any sizes. data: facts of the data; where they state no `image_size`, it is left as it is.
    Where they state a `crop`, an image that is not of that size is scaled to more, and its middle is taken.
    """
    if not isinstance(images, Tensor):
        return torch.cat([fitted(image[None], data, device) for image in images])
    images, side = images.to(device), data.get("image_size")
    if side is None or images.shape[-2:] == (side, side):
        return to_float(images)
    larger = decoded_size(side, data.get("crop") or 1.0)
    if not images.is_floating_point():
        return to_float(centre(resize(images, larger), side))
    return centre(interpolate(images, (larger, larger), mode="bilinear", antialias=True), side)


@dataclass(frozen=True)
class Images:
    """What is predicted: files, a split, or batches of images of a plain LightningDataModule.

    ids: of each image, where they have any. submission: the header of a competition's file, where there is one.
    """

    source: Split | Sources | Iterable[Tensor]
    ids: list[str] | None = None
    submission: tuple[str, str] | None = None


def find_images(where: Any) -> list[Path]:
    """The image files that `input=` means: a path, a folder (searched to its depths), a glob, a list."""
    return find(where).images


def open_images(cfg: DictConfig, trained: DictConfig) -> Images:
    """The images of `input=`, or the test images of `data=`."""
    if cfg.input is not None:
        return Images(find(cfg.input, watch=cfg.watch))
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


def batches(cfg: DictConfig, trained: DictConfig, images: Images, faults: Faults) -> Iterator[tuple[list[str], Tensor]]:
    """Names, and up to `batch_size` images uint8 (B, C, H, W), or as a plain loader gives them.

    Files are read at the model's size. Files that cannot be read are noted in `faults`.
    """
    source, size = images.source, cfg.batch_size or BATCH
    if isinstance(source, Sources):
        for paths, _ in source.rounds(cfg.idle):
            names = [str(path) for path in paths]
            yield from _of_files(cfg, trained, Split(paths=paths), names, size, faults)
    elif isinstance(source, Split) and source.images is None:
        names = images.ids or [str(number) for number in range(len(source))]
        yield from _of_files(cfg, trained, source, names, size, faults)
    else:
        begin = 0
        loaded: Any = source.images.split(size) if isinstance(source, Split) and source.images is not None else source
        for batch in loaded:
            numbers = range(begin, begin + len(batch))
            yield [images.ids[i] if images.ids else str(i) for i in numbers], batch
            begin += len(batch)


def _of_files(
    cfg: DictConfig, trained: DictConfig, split: Split, names: Sequence[str], size: int, faults: Faults
) -> Iterator[tuple[list[str], Tensor]]:
    for fact in ("channels", "image_size"):
        if trained.data.get(fact) is None:
            raise UserError(
                f"{trained.data.name}, on which the checkpoint was trained, states no {fact}, so images from files "
                f"cannot be read as the model takes them; state {fact} in the YAML of the data and train with it."
            )
    side = decoded_size(trained.data.image_size, trained.data.get("crop") or 1.0)
    read = partial(_decoded, FileImages(split, trained.data.channels, side))
    for kept, images in readable(read, names, size, cfg.num_workers, faults):
        yield [names[number] for number in kept], torch.stack(images)


def _decoded(dataset: FileImages, number: int) -> Tensor:
    return dataset.decoded(torch.tensor([number]))[0]


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
