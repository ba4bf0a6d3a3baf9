"""A model that `export.py` has written as ONNX, as a module that predict.py asks: it runs in onnxruntime, on the CPU.

The file says all that is needed: what it is for, its inputs and answers, the facts of its data. That is plain data,
looked at before it is used; nothing that it names is built.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor

from lightloom.config.foreign import as_config, literal
from lightloom.core.discovery import discover
from lightloom.core.errors import UserError, check_installed
from lightloom.predict import onnx_file
from lightloom.predict.onnx_file import is_exported as is_exported

log = logging.getLogger("lightloom")


class Exported(pl.LightningModule):
    """What all files have in common. A capability is a subclass, with what its predictor calls.

    use: what export.py calls it.
    """

    use: str

    def __init__(self, session: Any, about: Mapping[str, Any]) -> None:
        super().__init__()
        self.session, self.outputs = session, list(about["outputs"])
        self.shape: Sequence[int | str] = about["input"]["shape"]

    def answers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The file's answers to its inputs, by their names."""
        named = {one.name: x.cpu().numpy() for one, x in zip(self.session.get_inputs(), inputs, strict=True)}
        found = self.session.run(self.outputs, named)
        return dict(zip(self.outputs, map(torch.from_numpy, found), strict=True))


def uses() -> dict[str, type[Exported]]:
    """What such a file may be for, with the capability's module: of `exported.py` in its folder."""
    found = [one for module in discover("lightloom.predict", "*/exported.py") for one in vars(module).values()]
    own = [one for one in found if isinstance(one, type) and issubclass(one, Exported) and one is not Exported]
    return {one.use: one for one in own}


def restore(cfg: DictConfig) -> tuple[DictConfig, pl.LightningModule]:
    """What the file says of the run that made it, and its module."""
    path = Path(str(cfg.ckpt_path)).expanduser()
    if not path.is_file():
        raise UserError(f"ckpt_path={path}: there is no such file; name one that src/export.py wrote.")
    check_installed(f"ckpt_path={path}", "export", "onnxruntime")
    session = onnx_file.opened(path, torch.get_num_threads())
    about = onnx_file.about(session, path, uses())
    cfg.ckpt_path = literal(str(path))
    log.info("%s of %s, trained on %s", path.name, about["run_name"], about["data"])
    data = {**about["facts"], "name": about["data"]}
    return as_config({"run_name": about["run_name"], "model": {}, "data": data}), uses()[about["use"]](session, about)
