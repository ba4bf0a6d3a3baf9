"""A trained model in a notebook: one line to predict with it, one more to have all that its run was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor

from lightloom.config.foreign import literal
from lightloom.config.instantiate import build_datamodule
from lightloom.core.environment import variable
from lightloom.core.errors import UserError
from lightloom.core.places import ROOT
from lightloom.core.run_dir import find_checkpoint
from lightloom.data import contract
from lightloom.engine import checkpoint as checkpoints
from lightloom.engine import evaluate, facts
from lightloom.engine.trust import build_trusted
from lightloom.predict import choose
from lightloom.predict.contract import Request


@dataclass(frozen=True)
class Loaded:
    """A trained module in evaluation mode. config: its run's, resolved. state: what the data kept in the checkpoint."""

    module: pl.LightningModule
    config: DictConfig
    state: dict[str, Any]
    path: Path

    @torch.inference_mode()
    def predict(self, inputs: Any) -> Any:
        """What predict.py makes of a batch, on the CPU: class probabilities (B, K), found objects, reconstructions, ...

        inputs: as the first predictor in `lightloom.predict` takes them that accepts the module, on any device. Where
        none does, a batch for the module's own `predict_step`, which by default hands it on to `forward`.
        """
        request = Request({}, self.config.data)
        able = (one.predictor for one in choose.capabilities() if one.predictor.accepts(self.module, request))
        if predictor := next(able, None):
            known = {**self.config.data, **self.state} if self.state else self.config.data
            return predictor(self.module, known).predict(inputs)
        if not any(is_overridden(method, self.module) for method in ("predict_step", "forward")):
            raise UserError(f"{type(self.module).__name__} has no predict_step or forward to predict with; write one.")
        batch = self.module.transfer_batch_to_device(inputs, self.module.device, 0)
        return _on_cpu(self.module.predict_step(batch, 0))

    def to(self, device: torch.device | str) -> Loaded:
        """The same object, with its module there."""
        self.module.to(device)
        return self


@dataclass(frozen=True)
class Run:
    """What a run was made of, as it ended. datamodule: set up when it is asked for a split."""

    module: pl.LightningModule
    datamodule: pl.LightningDataModule
    config: DictConfig
    state: dict[str, Any]


def load(where: str | Path, trust: Sequence[str] = ()) -> Loaded:
    """The best checkpoint of a run's folder, or the one that is named: a file, an http(s) address, `last`.

    trust: packages beside our own whose classes it may name. Raises UserError where there is none, or none to trust.
    """
    path = find_checkpoint(str(where), _folder("LIGHTLOOM_LOG_DIR", "logs"), prefer="best")
    config, module = checkpoints.restore(path, trust)
    return Loaded(module, config, checkpoints.state_for(config, path), path)


def load_run(where: str | Path, trust: Sequence[str] = ()) -> Run:
    """As `load`, with the data that the run was trained on, found on this machine."""
    found = load(where, trust)
    data = found.config.data
    evaluate.check_whole(data, str(found.path))
    evaluate.relocate(data, _folder("LIGHTLOOM_DATA_DIR", "data"), _folder("LIGHTLOOM_LOG_DIR", "logs"))
    datamodule = build_trusted(data, "data", str(found.path), trust, build_datamodule)
    contract.adopt(datamodule, found.state)
    facts.prepare(datamodule)
    data.update(literal(contract.facts(datamodule)))
    return Run(found.module, datamodule, found.config, found.state)


def _folder(environment: str, name: str) -> Path:
    return Path(variable(environment) or ROOT / name)


def _on_cpu(found: Any) -> Any:
    if isinstance(found, Tensor):
        return found.cpu()
    if isinstance(found, dict):
        return {key: _on_cpu(value) for key, value in found.items()}
    return [_on_cpu(value) for value in found] if isinstance(found, list | tuple) else found
