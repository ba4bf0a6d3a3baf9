"""How the facts of the data come into the configuration, and what is arranged for data that states none."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from lightloom.config import null_facts
from lightloom.config.foreign import literal, plain
from lightloom.config.instantiate import import_target, takes_none
from lightloom.core import run_dir
from lightloom.core.environment import variable
from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.engine.rendezvous import together

log = logging.getLogger("lightloom")


def prepare(datamodule: pl.LightningDataModule) -> None:
    """`prepare_data`, by the first process of the run, or of each machine where the datamodule says so.

    The others wait for it where torchrun or srun has started them; those that the first one starts come later.
    """
    local = variable("LOCAL_RANK") or variable("SLURM_LOCALID") or "0"
    rank = int(local) if getattr(datamodule, "prepare_data_per_node", False) else run_dir.rank()
    with together():
        contract.prepare(datamodule, here=rank == 0)


def tell(datamodule: pl.LightningDataModule, *notes: str) -> None:
    """One line of what was found in the data: how many items, of what, in which part, what was left out or mended."""
    if run_dir.rank() == 0:
        found = contract.summary(datamodule) or "how much it holds is not said (it has no `summary`)"
        log.info("%s.", "; ".join([f"Data {contract.name(datamodule)}: {found}", *notes]))


def fill_in(cfg: DictConfig, found: Mapping[str, Any]) -> None:
    """Put each value that was waiting for a fact of the data in its place.

    found: the facts that the data states. Raises UserError where a part needs one that is not among them.
    """
    for path, text in null_facts.waiting(OmegaConf.to_container(cfg)):
        if path[0] != "data" and not _may_be_null(cfg, path, text):
            raise _unstated(null_facts.dotted(path), text, found)
    values = [(node, key, literal(plain(node[key]))) for node, key in _waiting(cfg)]
    for node, key, value in values:
        node[key] = value


def _waiting(node: Any, where: str = "") -> Iterator[tuple[DictConfig | ListConfig, Any]]:
    """(node, key in it) of each interpolation outside the data's own part; of a list the place in it."""
    keys: Any = node if isinstance(node, DictConfig) else range(len(node)) if isinstance(node, ListConfig) else ()
    for key in keys if where != "data" else ():
        if OmegaConf.is_interpolation(node, key):
            yield node, key
        else:
            yield from _waiting(node[key], f"{where}.{key}" if where else str(key))


def _may_be_null(cfg: DictConfig, path: null_facts.Path, text: str) -> bool:
    """May nobody state what the text asks for? Where it is the whole value, and no object that is built needs one."""
    if null_facts.REFERENCE.fullmatch(text) is None:
        return False
    place = next(i for i in reversed(range(len(path))) if isinstance(path[i], str))  # of the option around a list
    node = reduce(lambda found, key: found[key], path[:place], cfg)
    return "_target_" not in node or _takes_none(str(node["_target_"]), str(path[place]))


def _unstated(where: str, text: str, found: Mapping[str, Any]) -> UserError:
    asked, stated = null_facts.REFERENCE.findall(text)[0], ", ".join(found) or "none"
    return UserError(
        f"{where} asks for {asked}, which is null: the data does not state it (facts it finds: {stated}); set "
        f"{asked}=<value>, or choose data that states it."
    )


def _takes_none(target: str, option: str) -> bool:
    parameter = inspect.signature(import_target(target)).parameters.get(option)
    return parameter is None or takes_none(parameter)


def shown(found: Mapping[str, Any]) -> str:
    """The small facts, for a line."""
    small = [f"{name} {value}" for name, value in found.items() if isinstance(value, bool | int | float | str)]
    return ", ".join(small) or "no facts stated"


def leave_order_to_lightning(cfg: DictConfig, datamodule: pl.LightningDataModule) -> None:
    """Let Lightning share the batches of a datamodule that does not share them itself; say what that means."""
    with open_dict(cfg):
        cfg.trainer.use_distributed_sampler = True
    log.info(
        "%s is a plain LightningDataModule: trained as Lightning does; a run that is resumed in mid-epoch is not bit "
        "for bit the uninterrupted one.",
        type(datamodule).__name__,
    )
