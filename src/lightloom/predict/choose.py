"""Which capability predicts: the first that accepts the module and has the option that was given."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightloom.core.discovery import discover
from lightloom.core.errors import UserError
from lightloom.core.findings import Findings
from lightloom.engine import accelerator
from lightloom.engine import checkpoint as checkpoints
from lightloom.engine.evaluate import is_swapped
from lightloom.predict.contract import Command, Predictor, Request

PACKAGE = "lightloom.predict"


@dataclass(frozen=True)
class Capability:
    """A folder of this package. name: the folder's."""

    name: str
    predictor: type[Predictor]

    def run(self, cfg: DictConfig, trained: DictConfig, module: pl.LightningModule) -> Findings | None:
        """Do what predict.py was asked for; returns what is to be a page."""
        command = cast(Command, importlib.import_module(f"{PACKAGE}.{self.name}.command"))
        state = checkpoints.state_for(trained, cfg.ckpt_path)
        return command.run(cfg, trained, self.predictor(module, {**trained.data, **state} if state else trained.data))


def capabilities() -> list[Capability]:
    """All of them, in the order of their names."""
    found = discover(PACKAGE, "*/predictor.py")
    return [Capability(module.__name__.split(".")[-2], module.Predictor) for module in found]


def untrained(cfg: DictConfig) -> tuple[DictConfig, pl.LightningModule]:
    """The model that `model=` names with the weights that it asks for: `restore(cfg)` of an `untrained.py`."""
    found = list(discover(PACKAGE, "*/untrained.py"))
    if not found:
        raise UserError("model=: there is no model that predicts untrained here; name a checkpoint with ckpt_path=.")
    restored: tuple[DictConfig, pl.LightningModule] = found[0].restore(cfg)
    return restored


def choose(cfg: DictConfig, trained: DictConfig, module: pl.LightningModule) -> Capability:
    """The capability that does what the options ask of this module; UserError where none does."""
    known = capabilities()
    _check_format(cfg.format, [name for one in known for name in one.predictor.formats])
    request = Request(dict(_given(cfg, known)), trained.data)
    able = [one for one in known if one.predictor.accepts(module, request)]
    if not able:
        raise UserError(_unknown(module, trained, known))
    option = _asked({name: value for name, value in request.given.items() if name not in _details(able)}, able)
    chosen = next((one for one in able if option in one.predictor.ways), None)
    if chosen is None:
        lacks = _joined([one.predictor.lacks for one in known if option in one.predictor.ways])
        raise UserError(
            f"{option}={request.given[option]}: {type(module).__name__} {lacks}; say {ways(able)}, or name another "
            f"checkpoint."
        )
    return chosen


def ways(able: Sequence[Capability]) -> str:
    """What may be said to these capabilities, each option once."""
    said: dict[str, str] = {}
    for one in able:
        for option, words in one.predictor.ways.items():
            said.setdefault(option, words)
    return ", or ".join(said.values())


def settle(cfg: DictConfig, module: pl.LightningModule) -> pl.LightningModule:
    """The module on the device that the trainer's configuration means, ready to be evaluated."""
    if cfg.trainer.strategy != "auto":
        raise UserError("predict.py works in one process; leave trainer= out, or use trainer=cpu or trainer=gpu.")
    accelerator.settle(cfg.trainer)
    device = {"gpu": "cuda"}.get(cfg.trainer.accelerator, cfg.trainer.accelerator)
    return module.to(device).eval()


def _given(cfg: DictConfig, known: Sequence[Capability]) -> Iterator[tuple[str, Any]]:
    """The options that say what to predict and were set; of a data set its name."""
    for option in dict.fromkeys(option for one in known for option in one.predictor.ways):
        value = cfg.get(option) if option != "data" else _name_of_data(cfg)
        if value is not None:
            yield option, value


def _name_of_data(cfg: DictConfig) -> str | None:
    """As its YAML calls it, or its class; None where no data set was chosen."""
    return (cfg.data.get("name") or str(cfg.data["_target_"])) if is_swapped(cfg) else None


def _details(able: Sequence[Capability]) -> set[str]:
    """Options that are ways to predict with others, and with these say more of what is asked by another."""
    details = {name for one in able for name in getattr(one.predictor, "details", ())}
    return details.difference(*(one.predictor.ways for one in able))


def _asked(given: Mapping[str, Any], able: Sequence[Capability]) -> str:
    """The one option that was given."""
    if not given:
        raise UserError(f"Say what to predict: {ways(able)}.")
    if len(given) > 1:
        several = " and ".join(f"{option}={value}" for option, value in given.items())
        raise UserError(f"{several} are {_NUMBERS.get(len(given), len(given))} things to do; say one: {ways(able)}.")
    return next(iter(given))


def _check_format(name: str | None, formats: Sequence[str]) -> None:
    if name not in (None, *formats):
        raise UserError(f"format={name}: expected {', '.join(formats)}; models are written by src/export.py.")


def _unknown(module: pl.LightningModule, trained: DictConfig, known: Sequence[Capability]) -> str:
    """One sentence about a module that no capability accepts."""
    kind = trained.data.get("kind") or "unknown"
    offers = ", ".join(f"{one.name} ({one.predictor.needs})" for one in known)
    return (
        f"{trained.run_name}: {type(module).__name__}, trained on data of kind {kind}, is for none of what predict.py "
        f"predicts: {offers}; use src/eval.py, or write a predictor in src/lightloom/predict."
    )


def _joined(words: Sequence[str]) -> str:
    words = list(dict.fromkeys(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


_NUMBERS = {2: "two", 3: "three"}
