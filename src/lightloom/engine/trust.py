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


def check_trusted(cfg: Any, source: str, trust: str | Sequence[str] = ()) -> None:
    """Raise UserError where a configuration from `source`, a file, names an object outside the trusted packages.

    trust: more packages, of which the user has said that what they define may be used. What a file itself says of
    `trust` gives it none.
    """
    own = (trust,) if isinstance(trust, str) else tuple(trust)
    for where, node in targets(cfg, ""):
        target = str(node["_target_"])
        _check_object(target, source, where, own)
        if target.startswith("lightloom."):
            _check_claims(node.get("trust"), source, where, own)


def _check_object(target: str, source: str, where: str, own: tuple[str, ...]) -> None:
    package = target.partition(".")[0]
    if package not in (*TRUSTED, *own):
        raise UserError(
            f"{source}: its configuration asks for {target!r} at {where}, outside the trusted packages "
            f"({', '.join(TRUSTED)}); it is not built. Use checkpoints from people you trust; of your own, say "
            f"trust=[{package}]."
        )
    if any(part.startswith("_") for part in target.split(".")):
        raise UserError(f"{source}: {target!r} at {where} is private to {package}; it is not built.")
    try:
        found = import_target(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{source}: {target!r} at {where} is not to be found ({error}); it is not built.") from error
    if not (_is_defined_in(found, own) or _is_part_of_a_model(found)):
        raise UserError(f"{source}: {target!r} at {where} is no part of a model or its data; it is not built.")


def _check_claims(claimed: Any, source: str, where: str, own: tuple[str, ...]) -> None:
    """A part that reads another checkpoint hands its `trust` on."""
    packages = [claimed] if isinstance(claimed, str) else claimed or ()
    if beyond := [str(package) for package in packages if package not in own]:
        raise UserError(
            f"{source}: {where} trusts {', '.join(beyond)}, which only you can; say trust=[{', '.join(beyond)}]."
        )


def _is_defined_in(found: Any, packages: tuple[str, ...]) -> bool:
    """By where the object was defined, not by the path that leads to it (json.codecs.open is codecs.open)."""
    return str(getattr(found, "__module__", None)).partition(".")[0] in packages


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
