"""A detector that nobody has trained here: torchvision's, with the weights that it publishes."""

from __future__ import annotations

import logging

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightloom.config.foreign import as_config, literal, plain
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.engine.evaluate import is_swapped
from lightloom.networks.detection import published

log = logging.getLogger("lightloom")


def restore(cfg: DictConfig) -> tuple[DictConfig, pl.LightningModule]:
    """The configuration as a checkpoint of `model=` would have it, and its module."""
    if cfg.ckpt_path is not None:
        raise UserError(f"model= and ckpt_path={cfg.ckpt_path} are two models; say one.")
    network = cfg.model.network
    if network.weights is None:
        raise UserError("model= predicts with given weights; set model.network.weights=coco, or to a file of them.")
    if is_swapped(cfg):
        raise UserError("data= is for checkpoints that were trained on such data; with model= say input=<folder>.")
    builder = str(network._target_).rpartition(".")[2]
    cfg.data.classes = literal(published.categories(builder, network.get("architecture")))
    module = build(cfg.model, "model")
    log.info("%s, with the weights %s", cfg.run_name, network.weights)
    return as_config({"run_name": cfg.run_name, "model": plain(cfg.model), "data": plain(cfg.data)}), module
