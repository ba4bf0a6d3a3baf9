"""What may be built from a file: parts of models and their data, of packages on a list."""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType
from typing import Any

from lightloom.config.instantiate import import_target, targets
from lightloom.core.errors import UserError

TRUSTED = ("lightloom", "torch", "torchvision", "timm", "pytorch_lightning", "torchmetrics")
# A checkpoint's configuration may call what is defined in these; elsewhere, only classes of modules and optimizers.
MAKERS = (
    *(
        f"lightloom.{part}."
        for part in (
            "data",
            "losses",
            "metrics",
            "modules",
            "networks",
            "optim",
            "integrations",
            "predict.classes.features",
        )
    ),
    "timm.optim.",
    "torch.optim.",
)


def check_trusted(cfg: Any, source: str, trust: Sequence[str] = ()) -> None:
    """Raise UserError where a configuration from `source`, a file, names an object outside the trusted packages.

    trust: more packages, of which the user has said that they may be used.
    """
    for where, node in targets(cfg, ""):
        target = str(node["_target_"])
        if target.partition(".")[0] in trust:
            continue
        if target.partition(".")[0] not in TRUSTED or any(part.startswith("_") for part in target.split(".")):
            raise UserError(
                f"{source}: its configuration asks for {target!r} at {where}, outside the trusted packages "
                f"({', '.join(TRUSTED)}); it is not built. Use checkpoints from people you trust; of your own, say "
                f"trust=[{target.partition('.')[0]}]."
            )
        try:
            harmless = _is_part_of_a_model(import_target(target))
        except (ImportError, AttributeError, ValueError):
            harmless = False
        if not harmless:
            raise UserError(f"{source}: {target!r} at {where} is no part of a model or its data; it is not built.")


def _is_part_of_a_model(found: Any) -> bool:
    """A module, metric, optimizer or transform of a trusted package, or anything defined where such parts are made.

    Judged by where the object was defined, not by the path that leads to it (torch.os.system is os.system).
    """
    from torch import nn
    from torch.optim import Optimizer

    home = f"{getattr(found, '__module__', None)}."
    if isinstance(found, type) and issubclass(found, nn.Module | Optimizer):
        return home.partition(".")[0] in TRUSTED
    return isinstance(found, type | FunctionType) and home.startswith(MAKERS)
