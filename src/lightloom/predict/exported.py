"""A model that `export.py` has written as ONNX, as a module that predict.py asks: it runs in onnxruntime, on the CPU.

The file says all that is needed: what it is for, its inputs and answers, the facts of its data. That is plain data,
looked at before it is used; nothing that it names is built.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor

from lightloom.config.foreign import as_config, literal
from lightloom.core import schema
from lightloom.core.discovery import discover
from lightloom.core.errors import UserError, check_installed
from lightloom.engine.trust import check_plain, plain_fact

log = logging.getLogger("lightloom")
SUFFIX = ".onnx"
FACT = schema.either(schema.nothing, schema.real, schema.text(), schema.items(schema.text()))
SHAPE = schema.items(schema.either(schema.whole(1), schema.text()), least=1)
ABOUT = schema.entries(
    {
        "run_name": schema.text(),
        "data": schema.text(),
        "outputs": schema.items(schema.text(), least=1),
        "facts": schema.table(schema.text(), FACT),
        "input": schema.entries({"shape": SHAPE}, {}),
    },
    {},
)
READ = ("use", "run_name", "data", "outputs", "facts", "input")  # of the metadata; the others are for other readers


class Exported(pl.LightningModule):
    """What all files have in common. A capability is a subclass, with what its predictor calls.

    use: what export.py calls it.
    """

    use: str

    def __init__(self, session: Any, about: Mapping[str, Any]) -> None:
        super().__init__()
        self.session, self.outputs = session, list(about["outputs"])
        self.shape: Sequence[int | str] = about["input"]["shape"]

    def answers(self, x: Tensor) -> dict[str, Tensor]:
        """The file's answers to an input, by their names."""
        (first, *_) = self.session.get_inputs()
        found = self.session.run(self.outputs, {first.name: x.cpu().numpy()})
        return dict(zip(self.outputs, map(torch.from_numpy, found), strict=True))


def uses() -> dict[str, type[Exported]]:
    """What such a file may be for, with the capability's module: of `exported.py` in its folder."""
    found = [one for module in discover("lightloom.predict", "*/exported.py") for one in vars(module).values()]
    own = [one for one in found if isinstance(one, type) and issubclass(one, Exported) and one is not Exported]
    return {one.use: one for one in own}


def is_exported(where: Any) -> bool:
    """Does `ckpt_path=` name such a file?"""
    return str(where).lower().endswith(SUFFIX)


def restore(cfg: DictConfig) -> tuple[DictConfig, pl.LightningModule]:
    """What the file says of the run that made it, and its module."""
    path = Path(str(cfg.ckpt_path)).expanduser()
    if not path.is_file():
        raise UserError(f"ckpt_path={path}: there is no such file; name one that src/export.py wrote.")
    check_installed(f"ckpt_path={path}", "export", "onnxruntime")
    session = _session(path)
    about = _about(session, path)
    cfg.ckpt_path = literal(str(path))
    log.info("%s of %s, trained on %s", path.name, about["run_name"], about["data"])
    data = {**about["facts"], "name": about["data"]}
    return as_config({"run_name": about["run_name"], "model": {}, "data": data}), uses()[about["use"]](session, about)


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a damaged file onnxruntime raises what it pleases
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is no whole ONNX file ({reason}); export it anew.") from error


def _about(session: Any, path: Path) -> dict[str, Any]:
    """The metadata that is read, checked."""
    found = session.get_modelmeta().custom_metadata_map
    if lacking := [name for name in READ if name not in found]:
        raise UserError(f"{path}: its metadata has no {lacking[0]}; predict with a file that this src/export.py wrote.")
    about: dict[str, Any] = {name: found[name] for name in ("use", "run_name", "data")}
    if about["use"] not in (known := uses()):
        raise UserError(f"{path}: it is for {schema.shown(about['use'])}; predict.py asks {', '.join(known)}.")
    for name in ("outputs", "facts", "input"):
        try:
            value = json.loads(found[name])
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: {name} in its metadata is no JSON ({error}); export it anew.") from error
        check_plain(value, str(path))
        about[name] = plain_fact(value, name, str(path))
    return schema.check(about, ABOUT, path)  # type: ignore[no-any-return]
