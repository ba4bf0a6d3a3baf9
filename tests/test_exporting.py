"""An exported file gives the model's own answers, at any size that it says may vary; one that does not is not kept."""

from __future__ import annotations

from conftest import compose, names
from omegaconf import DictConfig

from lightlab import config
from lightlab.errors import UserError

KINDS = {"digits": ("image", ()), "digit_scenes": ("detection", ("data.image_size=64",)), "signals": ("signal", ())}
LARGE = 4_000_000  # weights; of a network's models the first that has fewer stands for all


def composed(model: str) -> DictConfig:
    """The model on small data that fits."""
    for data, (_, options) in KINDS.items():
        try:
            return config.without_hydra(compose(f"model={model}", f"data={data}", *options))
        except UserError:
            continue
    raise AssertionError(f"no data for {model}")


def makers(cfg: DictConfig) -> tuple[str, ...]:
    """The classes of a model: its algorithm, and its networks."""
    parts = (cfg.model, *(cfg.model.get(part) for part in ("network", "encoder", "generator")))
    return tuple(part._target_ for part in parts if part is not None)


def one_of_each() -> dict[str, tuple[str, ...]]:
    """The first model of each combination of classes."""
    found: dict[tuple[str, ...], str] = {}
    for name in names("model"):
        found.setdefault(makers(composed(name)), name)
    return {name: classes for classes, name in found.items()}
