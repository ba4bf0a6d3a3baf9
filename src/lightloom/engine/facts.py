"""How the facts of the data come into the configuration, and what is arranged for data that states none."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from lightloom.config.instantiate import import_target, literal, plain
from lightloom.core import run_dir
from lightloom.core.environment import variable
from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.engine.rendezvous import together

log = logging.getLogger("lightloom")


def prepare(datamodule: Any) -> None:
    """`prepare_data`, by the first process of the run, or of each machine where the datamodule says so.

    The others wait for it where torchrun or srun has started them; those that the first one starts come later.
    """
    local = variable("LOCAL_RANK") or variable("SLURM_LOCALID") or "0"
    rank = int(local) if getattr(datamodule, "prepare_data_per_node", False) else run_dir.rank()
    with together():
        contract.prepare(datamodule, here=rank == 0)


def fill_in(cfg: DictConfig, found: Mapping[str, Any]) -> None:
    """Put each value that was waiting for a fact of the data in its place.

    found: the facts that the data states. Raises UserError where a part needs one that is not among them.
    """
    waiting = list(_waiting(cfg))
    for node, where, key in waiting:
        if node[key] is None:
            _check_optional(node, where, key, found)
    values = [(node, key, literal(plain(node[key]))) for node, _, key in waiting]
    for node, key, value in values:
        node[key] = value


def _waiting(node: Any, where: str = "") -> Iterator[tuple[DictConfig, str, str]]:
    """(node, its dotted key, key in it) of each interpolation outside the data's own part."""
    for key in map(str, node) if isinstance(node, DictConfig) and where != "data" else ():
        if OmegaConf.is_interpolation(node, key):
            yield node, where, key
        else:
            yield from _waiting(node[key], f"{where}.{key}" if where else key)


def _check_optional(node: DictConfig, where: str, key: str, found: Mapping[str, Any]) -> None:
    """Raise UserError where the object that is to be built needs the value that nobody has stated."""
    if "_target_" not in node or _takes_none(str(node["_target_"]), key):
        return
    raw: Any = OmegaConf.to_container(node, resolve=False)
    asked, stated = raw[key].strip("${}"), ", ".join(found) or "none"
    raise UserError(
        f"{where}.{key} asks for {asked}, which is null: the data does not state it (facts it finds: {stated}); set "
        f"{asked}=<value>, or choose data that states it."
    )


def _takes_none(target: str, option: str) -> bool:
    parameter = inspect.signature(import_target(target)).parameters.get(option)
    if parameter is None:
        return True
    return "None" in f"{parameter.annotation} {parameter.default}" or "Any" in str(parameter.annotation)


def shown(found: Mapping[str, Any]) -> str:
    """The small facts, for a line."""
    small = [f"{name} {value}" for name, value in found.items() if isinstance(value, bool | int | float | str)]
    return ", ".join(small) or "no facts stated"


def leave_order_to_lightning(cfg: DictConfig, datamodule: Any) -> None:
    """Let Lightning share the batches of a datamodule that does not share them itself; say what that means."""
    with open_dict(cfg):
        cfg.trainer.use_distributed_sampler = True
    log.info(
        "%s is a plain LightningDataModule: trained as Lightning does; a run that is resumed in mid-epoch is not bit "
        "for bit the uninterrupted one.",
        type(datamodule).__name__,
    )
