"""Checkpoint files: plain data, written whole or not at all, loaded without running anything that is in them.

A checkpoint holds the resolved configuration beside the weights, so `eval.py` and `predict.py` need nothing else.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from omegaconf import DictConfig
from torch import Tensor, nn

from lightloom.callbacks.run.nan_guard import not_finite
from lightloom.config.aliases import modernized
from lightloom.config.annotations import has_default, options_of
from lightloom.config.foreign import as_config, literal, plain
from lightloom.config.rules import rule_for
from lightloom.config.untrusted import check_plain
from lightloom.core import atomic_io, run_dir
from lightloom.core.errors import UserError, message_of
from lightloom.core.redaction import redact_options
from lightloom.core.schema import COUNT, both, entries, one_of
from lightloom.data.contract import STATE_SHA256
from lightloom.engine.trust import build_trusted
from lightloom.ops.typed_trainer import typed

log = logging.getLogger("lightloom")
RECORD = "lightloom"  # the key of what the run adds to Lightning's checkpoint: its configuration, the state of its data
SAVED_OPTIONS = ("hyper_parameters", "datamodule_hyper_parameters")  # of Lightning
OLD_RECORD = "hyper_parameters"  # where version 0.1 kept the configuration; what is there now is the module's own
WHEN = entries({"epoch": COUNT, "global_step": COUNT}, {})  # what a file says of when it was written
_EPOCHS = entries({"current": entries({"ready": COUNT, "processed": COUNT}, {})}, {})
_READY = entries({"ready": COUNT}, {})
_BATCHES = entries({"is_last_batch": one_of(True, False), "current": _READY, "total": _READY}, {})
_FIT = entries({"epoch_progress": _EPOCHS, "epoch_loop.batch_progress": _BATCHES}, {})
PLACE = both(WHEN, entries({"loops": entries({"fit_loop": _FIT}, {})}, {}))  # and from where training goes on


class RunRecord(pl.Callback):
    """What a run is: told to the loggers once, and written into each checkpoint by `SafeCheckpointIO`.

    config: the resolved configuration, plain, no logins and tokens in it. state: what the data keeps in the checkpoint
    (`contract.Data.state`). splits: what identifies the data (`contract.describe`).
    """

    def __init__(self, config: dict[str, Any], state: dict[str, Any] | None = None) -> None:
        self.config, self.state = config, state or {}
        self.splits: dict[str, dict[str, Any]] = {}

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"config": self.config, "data": self.state, "splits": self.splits}

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        for logger in trainer.loggers if stage == "fit" else ():
            through_omegaconf = isinstance(logger, pl.loggers.TensorBoardLogger)  # which writes an hparams.yaml
            logger.log_hyperparams(literal(self.config) if through_omegaconf else self.config)


def record_of(trainer: pl.Trainer) -> RunRecord:
    """The one that the trainer was built with."""
    return next(callback for callback in typed(trainer).callbacks if isinstance(callback, RunRecord))


class SafeCheckpointIO(TorchCheckpointIO):
    """Saves whole files, the one before last.ckpt kept; loads with `load`, whatever Lightning asks.

    record: goes into each file, one of weights alone too, for which Lightning calls no callback.
    storage_options: synced, keep_older; False leaves out the flush to the disk, or the keeping.
    """

    def __init__(self, record: RunRecord | None = None) -> None:
        super().__init__()
        self.record = record

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if self.record is not None:
            checkpoint = {**checkpoint, RECORD: self.record.content()}
        kept = {key: redact_options(dict(checkpoint[key])) for key in SAVED_OPTIONS if checkpoint.get(key)}
        checkpoint, options = {**checkpoint, **kept}, storage_options or {}
        older = run_dir.older(Path(path)) if options.get("keep_older", True) else None
        save(checkpoint, Path(path), older, options.get("synced", True))
        log.debug("saved %s at step %d", path, checkpoint["global_step"])

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return load(Path(path))


def save(checkpoint: dict[str, Any], path: Path, older: Path | None = None, synced: bool = True) -> None:
    """Write the file whole: a crash leaves the old one, a full disk a message. older: a name for the one before."""
    try:
        with atomic_io.replacing(path, older, synced) as file:
            torch.save(checkpoint, file)
    except (OSError, RuntimeError) as error:  # torch wraps the error of a full disk in one of its own
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if not isinstance(cause, OSError):
            raise
        raise UserError(
            f"cannot write the checkpoint {path}: {cause.strerror}; free some space or set paths.log_dir."
        ) from error


def load(path: Path) -> dict[str, Any]:
    """A checkpoint's content on the CPU, with the run's `config`, `data_state` and `splits`; of version 0.1 too.

    Raises UserError for a missing, damaged or unsafe file.
    """
    try:
        if damaged := atomic_io.damage(path):
            raise UserError(f"{path} is damaged ({damaged}); use another checkpoint of the run.")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such checkpoint.") from None
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(
            f"{path} is not a whole checkpoint file ({error}); use another checkpoint of the run."
        ) from error
    except UserError:
        raise
    except Exception as error:  # a stranger's pickle makes torch raise what it pleases
        if message_of(error) is not None:  # too little memory
            raise
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))  # torch's own words advise to load it unsafely
        reason = f"it asks for {wanted[1]}" if wanted else type(error).__name__
        raise UserError(
            f"{path} cannot be loaded as plain data ({reason}); it was not written by lightloom, or is damaged."
        ) from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not {RECORD, OLD_RECORD} & content.keys():
        raise UserError(
            f"{path} holds no lightloom run (no state_dict with its configuration); name a checkpoint of a run."
        )
    return {**content, **_record_in(content, path)}


def _record_in(content: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """config: the configuration, plain data; data_state: what the data kept; splits: what identified it."""
    is_old = RECORD not in content
    record = {"config": content[OLD_RECORD], "data": {}} if is_old else content[RECORD]
    parts = {"config": "config", "data_state": "data", "splits": "splits"}
    found: Any = {name: record.get(key, {}) for name, key in parts.items()} if isinstance(record, dict) else {}
    tables = [*found.values(), *(found["splits"].values() if isinstance(found.get("splits"), dict) else [])]
    if not tables or not all(isinstance(part, dict) for part in tables) or "config" not in record:
        raise UserError(f"{path} holds no configuration of a run; name a checkpoint of a lightloom run.")
    check_plain(found["config"], str(path))
    check_plain(found["splits"], str(path))
    return found | {"config": modernized(found["config"])} if is_old else found  # type: ignore[no-any-return]


def config_of(checkpoint: dict[str, Any], path: Path) -> DictConfig:
    """The resolved configuration that the run was trained with."""
    config = checkpoint["config"]
    parts = [config.get("model"), config.get("data"), config.get("callbacks") or {}]
    if not all(isinstance(part, dict) for part in parts):
        raise UserError(f"{path}: its configuration has no model and data; name a checkpoint of a lightloom run.")
    check_facts(config["data"], path)
    cfg = as_config({"run_name": path.stem, **config})
    cfg.data.setdefault("name", "unknown")
    return cfg


def check_facts(data: dict[str, Any], path: Path) -> None:
    """Raise UserError where a fact of the data is none that its class takes, or is missing: predictors believe them."""
    target = str(data.get("_target_"))
    if not target.startswith("lightloom."):
        return
    for name in options_of(target) or ():
        if name not in data and not has_default(target, name):
            raise UserError(f"{path}: its data has no {name}; name a checkpoint of a lightloom run.")
        rule = rule_for(f"data.{name}", target) if not isinstance(data.get(name), dict) else None
        if name in data and rule and (problem := rule.problem(f"data.{name}", data[name])):
            raise UserError(f"{path}: {problem}")


def state_for(trained: DictConfig, path: Path | str) -> dict[str, Any]:
    """What the data kept in the checkpoint that has this configuration; the file is not read where that is nothing."""
    return load(Path(path))["data_state"] if STATE_SHA256 in trained.data else {}


def check_hyperparameters(part: Any, where: str) -> None:
    """Raise UserError where a module or datamodule has saved hyperparameters that are no plain data."""
    unfit = [name for name, value in part.hparams.items() if not _is_plain(value)]
    if unfit:
        raise UserError(
            f"{where}: {type(part).__name__} saves {', '.join(unfit)} as hyperparameters, which a checkpoint cannot "
            f"hold as plain data; leave them out: self.save_hyperparameters(ignore={unfit})."
        )


def _is_plain(value: Any) -> bool:
    """Does it come back from a file that is loaded as plain data?"""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # what is pickled may raise anything; whatever it is, a checkpoint cannot hold the value
        return False
    return True


def restore(path: Path, trust: Sequence[str] = ()) -> tuple[DictConfig, pl.LightningModule]:
    """The configuration and the trained module of a checkpoint, from nothing but its file.

    trust: packages beside our own whose objects may be built.
    """
    checkpoint = load(path)
    cfg = config_of(checkpoint, path)
    if "compile" in cfg.model:
        cfg.model.compile = False
    cfg.model = as_config(without_weights(plain(cfg.model)))
    module = build_trusted(cfg.model, "model", str(path), trust)
    if not isinstance(module, pl.LightningModule):
        raise UserError(f"{path}: its model is a {type(module).__name__}, no LightningModule; name a run's checkpoint.")
    check_fits(checkpoint, module, path)
    module.load_state_dict(checkpoint["state_dict"])
    return cfg, module.eval()


def without_weights(model: Any) -> Any:
    """A model's configuration, plain, for a file that has the weights: those that training began with are not read."""
    if isinstance(model, dict):
        off = {"checkpoint": None, "pretrained": False}
        return {key: off[key] if key in off else without_weights(child) for key, child in model.items()}
    return [without_weights(child) for child in model] if isinstance(model, list) else model


def check_fits(checkpoint: dict[str, Any], module: pl.LightningModule, path: Path) -> None:
    """Raise UserError where the checkpoint's weights are another model's."""
    config = checkpoint["config"]
    trained = f"{_network(config)} on {config['data'].get('name')}"
    check_state(module, checkpoint["state_dict"], str(path), f"is a checkpoint of another model ({trained})")


def check_finite(content: dict[str, Any], module: pl.LightningModule, path: Path) -> None:
    """Raise UserError where training is to go on from weights, or with an optimizer, that is broken.

    content: the state_dict that is taken, and optimizer_states if they are. What the module, still fresh, has as
    infinite, such as a mask, may be so.
    """
    fresh = module.state_dict().items()
    if broken := not_finite(content, [n for n, x in fresh if isinstance(x, Tensor) and not bool(x.isfinite().all())]):
        raise UserError(
            f"{path}: {broken}, so nothing can be trained from it; name another checkpoint of the run with ckpt_path=, "
            "or begin anew with another run_name."
        )


def check_state(module: Any, state: dict[str, Any], source: str, what: str = "is of another model") -> None:
    """Raise UserError where the tensors of `state`, (...) by name, are not those that the module has."""
    if not isinstance(module, nn.Module):
        raise UserError(f"{source}: its model is a {type(module).__name__}, no module; name a checkpoint of a run.")
    saved = {str(k): tuple(v.shape) for k, v in state.items() if isinstance(v, Tensor)}
    wanted = {k: tuple(v.shape) for k, v in module.state_dict().items() if isinstance(v, Tensor)}
    if saved == wanted:
        return
    lacking, extra = sorted(set(wanted) - set(saved)), sorted(set(saved) - set(wanted))
    shapes = [
        f"{k} {saved[k]} instead of {wanted[k]}" for k in sorted(set(saved) & set(wanted)) if saved[k] != wanted[k]
    ]
    first = (shapes or [f"no {k}" for k in lacking] or [f"unknown {k}" for k in extra])[0]
    raise UserError(
        f"{source} {what}: {len(lacking)} weights missing, {len(extra)} unknown, "
        f"{len(shapes)} of another shape, first {first}; resume with the options that it was trained with."
    )


def _network(config: dict[str, Any]) -> str:
    """The class of the network, or of the module where it has none or several."""
    model = config["model"]
    network = model.get("network")
    return str((network.get("_target_") if isinstance(network, dict) else None) or model.get("_target_"))
