"""samples.png and single files: new images, of which the i-th depends on nothing but the seed and i."""

from __future__ import annotations

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import pad

from lightloom.callbacks.samples.grid import COLUMNS, by_class
from lightloom.config.foreign import plain
from lightloom.core.errors import UserError
from lightloom.core.text import file_name
from lightloom.ops.images.grid import captioned, grid, to_uint8
from lightloom.ops.rng import truncated_latents
from lightloom.predict.choices import numbers_of
from lightloom.predict.images import ON_A_PAGE, write_images
from lightloom.predict.samples.predictor import Predictor


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Draw `num_samples=` new images, of each class that `classes=` names. See `lightloom.predict.contract`."""
    z = truncated_latents(cfg.seed, cfg.num_samples, predictor.latent_dim, cfg.truncation)
    predictor.truncate(cfg.truncation)
    if cfg.classes is None:
        images, names = drawn(cfg, predictor, z), [f"{i:05d}" for i in range(len(z))]
        page = grid(images[:ON_A_PAGE], COLUMNS)
    else:
        classes = classes_known(trained, predictor)
        chosen = numbers_of(cfg.classes, classes, "the generator")
        images = drawn(cfg, predictor, *by_class(z, torch.tensor(chosen)))
        names = [f"{file_name(classes[number])}-{i:05d}" for number in chosen for i in range(len(z))]
        rows = images.unflatten(0, (len(chosen), -1))[: ON_A_PAGE // COLUMNS, :COLUMNS]
        page = captioned(grid(rows.flatten(0, 1), rows.shape[1]), left=[classes[number] for number in chosen])
    write_images(cfg.paths.output_dir, "samples", names, images, page)


def drawn(cfg: DictConfig, predictor: Predictor, *inputs: Tensor) -> Tensor:
    """Images, uint8 (N, C, H, W), for latents (N, latent_dim), and labels (N,) where they are given.

    Batches are all of one size: with another, sums may be taken in another order and pixels be rounded otherwise.
    """
    count = len(inputs[0])
    size = min(cfg.batch_size or ON_A_PAGE, ON_A_PAGE)
    whole = (pad(x, (0, 0) * (x.ndim - 1) + (0, -count % size)) for x in inputs)
    batches = zip(*(x.split(size) for x in whole), strict=True)
    return torch.cat([to_uint8(predictor.predict(*batch)) for batch in batches])[:count]


def classes_known(trained: DictConfig, predictor: Predictor) -> list[str]:
    """The names of the classes that images can be asked for of; UserError where there are none."""
    if not predictor.by_class:
        raise UserError(
            f"classes=: {type(predictor.module).__name__} makes images of no class that is asked for; leave classes= "
            f"out, or train a model that does (model=biggan_small)."
        )
    return list(plain(trained.data.classes) or map(str, range(predictor.module.num_classes)))
