"""Features of a classifier that was trained here: what `extractor=classifier` stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from lightloom.config.foreign import literal, plain
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.run_dir import find_checkpoint
from lightloom.engine import checkpoint as checkpoints
from lightloom.metrics.extractors import OPTION, ClassifierFeatures


@part
class TrainedFeatures(ClassifierFeatures):
    """The features of a run's classifier.

    checkpoint: a file, a run's folder, or `last` for the newest run named after the network. name: the network's class
    in lower case. trust: packages beside our own whose classes the checkpoint may name. Raises UserError where the
    checkpoint holds no classifier, or one of another network.
    """

    def __init__(self, checkpoint: str, name: str, log_dir: str, trust: Sequence[str] = ()) -> None:
        path = find_classifier(checkpoint, Path(log_dir), name)
        with torch.random.fork_rng(devices=[]):  # building a network draws its first weights
            cfg, classifier = checkpoints.restore(path, trust)
        if not hasattr(classifier, "num_classes"):
            raise UserError(f"{OPTION}.checkpoint={checkpoint} is a {type(classifier).__name__}'s, not a classifier's.")
        network = class_of(classifier.network)
        if network != name:
            raise UserError(
                f"{OPTION}.name is {name}, but {path} holds a {network}; set {OPTION}.name={network}, or {OPTION}."
                f"checkpoint to a run with model={name}."
            )
        data = cfg.data
        classes = list(plain(data.get("classes")) or map(str, range(int(data.num_classes))))
        super().__init__(classifier, name, int(data.channels), int(data.image_size), classes, str(data.name))

    @staticmethod
    def settle_options(options: DictConfig, begun: DictConfig | None, cfg: DictConfig) -> None:
        """`checkpoint: last` is another file tomorrow: name the one that is meant when a run begins. Of an address too:
        what a file names is not fetched (`engine.trust`).

        begun: the same options as the run has recorded them, where it had begun before this command.
        """
        if "://" in str(options.get("checkpoint")):
            options.checkpoint = str(find_classifier(str(options.checkpoint), Path(cfg.paths.log_dir), options.name))
        if options.get("checkpoint") != "last":
            return
        if begun is not None and begun.get("name") == options.name:
            options.checkpoint = literal(str(begun.checkpoint))
        else:
            options.checkpoint = str(find_classifier("last", Path(cfg.paths.log_dir), options.name, cfg.data.name))


def find_classifier(checkpoint: str, log_dir: Path, name: str, data: str = "*") -> Path:
    """The checkpoint of a classifier: a file, a run's folder, or `last`, the newest run of that name on that data."""
    try:
        return find_checkpoint(checkpoint, log_dir, f"{name}*-{data}", prefer="best")
    except UserError as error:
        raise UserError(str(error).replace("ckpt_path", f"{OPTION}.checkpoint")) from None


def class_of(network: Any) -> str:
    """In lower case; of the network itself where it stands behind an enlargement (`lightloom.networks.library`)."""
    inner = network[-1] if type(network) is nn.Sequential and isinstance(network[0], nn.Upsample) else network
    return type(inner).__name__.lower()
