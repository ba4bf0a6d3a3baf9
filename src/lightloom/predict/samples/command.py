"""samples.png and single files: new images, of which the i-th depends on nothing but the seed and i."""

from __future__ import annotations

import torch
from omegaconf import DictConfig
from torch.nn.functional import pad

from lightloom.callbacks.samples.grid import COLUMNS
from lightloom.ops.images.grid import grid, to_uint8
from lightloom.ops.rng import latents
from lightloom.predict.images import ON_A_PAGE, write_images
from lightloom.predict.samples.predictor import Predictor


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Draw `num_samples=` new images. See `lightloom.predict.contract`."""
    z = latents(cfg.seed, cfg.num_samples, predictor.latent_dim)
    size = min(cfg.batch_size or ON_A_PAGE, ON_A_PAGE)
    # Batches all of one size: with another, sums may be taken in another order and pixels be rounded otherwise.
    z = pad(z, (0, 0, 0, -len(z) % size))
    images = torch.cat([to_uint8(predictor.predict(batch)) for batch in z.split(size)])[: cfg.num_samples]
    names = [f"{i:05d}" for i in range(len(images))]
    write_images(cfg.paths.output_dir, "samples", names, images, grid(images[:ON_A_PAGE], COLUMNS))
