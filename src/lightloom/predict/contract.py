"""What a capability has to offer: `Predictor` in its `predictor.py`, and `run` in its `command.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from omegaconf import DictConfig

from lightloom.core.findings import Findings


@dataclass(frozen=True)
class Request:
    """What is asked of a checkpoint. given: the options that say what to predict, with their values, without those
    left out. data: the facts of the data that the module was trained with.
    """

    given: Mapping[str, Any]
    data: Mapping[str, Any]


class Predictor(Protocol):
    """Results for inputs in memory: no files, no console. A class that has these names; it inherits from nothing.

    ways: the options that say what to predict, each with how to write it, for a message; one that configs/predict.yaml
    does not have is known to predict.py as it stands here, in a dictionary written out. One of them may be `verbatim`,
    a tuple written out: options whose value is a text as it is typed, with commas and brackets. needs: the method that
    a module must have, in words. lacks: what is said of a module that is not accepted, after its name. formats: names
    for `format=`, of the files that the command writes. It may have `details`: ways
    of others that with it only say more, as num_samples beside a prompt.
    """

    ways: Mapping[str, str]
    needs: str
    lacks: str
    formats: Sequence[str]

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        """data: the facts of the data that the module was trained with, and its state, from the checkpoint."""
        ...

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        """Does it predict with this module, whatever option is given?"""
        ...

    def predict(self, inputs: Any) -> Any:
        """The results for a batch of inputs, on the CPU; the inputs may be on any device."""
        ...


class Command(Protocol):
    """The module `command.py`."""

    def run(self, cfg: DictConfig, trained: DictConfig, predictor: Any) -> Findings | None:
        """Read what the options name, have it predicted, write the results into `cfg.paths.output_dir`.

        trained: the configuration that the checkpoint was trained with. Returns what a page is to be made of, or None.
        """
        ...
