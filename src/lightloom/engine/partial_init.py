"""Begin a run with some of a checkpoint's weights: `weights_only_init=backbone`, or a list of name patterns."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from lightloom.config.values import format_value
from lightloom.core.errors import UserError, raise_all
from lightloom.core.text import first_of
from lightloom.engine import checkpoint as checkpoints
from lightloom.optim.patterns import matches, unmatched

log = logging.getLogger("lightloom")
BACKBONE = "backbone"
SHOWN = 4  # names of new weights in the line that tells them


def load_parts(module: pl.LightningModule, checkpoint: dict[str, Any], parts: str | Sequence[str], path: Path) -> None:
    """Take the weights that `parts` name and that have a module's own name and shape; one line says which are new.

    parts: `backbone`, or patterns of names (see `chosen`). Raises UserError for each that names none of the model's
    weights, and where nothing fits.
    """
    own, saved = module.state_dict(), checkpoint["state_dict"]
    patterns = [parts] if isinstance(parts, str) else list(parts)
    raise_all(unmatched((pattern for pattern in patterns if pattern != BACKBONE), own, "weights_only_init"))
    wanted = chosen(module, patterns)
    taken = {name: saved[name] for name in own if name in wanted and _fits(own[name], saved.get(name))}
    if not taken:
        raise UserError(
            f"weights_only_init={format_value(parts)}: {path} has no weights of that name and shape for this model, "
            f"whose weights are called {first_of(list(own), SHOWN)}; name others, or set weights_only_init=true."
        )
    checkpoints.check_finite({"state_dict": taken}, module, path)
    module.load_state_dict(taken, strict=False)
    new = [name for name in own if name not in taken]
    told = first_of(new, SHOWN) or "nothing"
    log.info("Beginning with %d of %d weights of %s; new: %s.", len(taken), len(saved), path, told)


def chosen(module: nn.Module, parts: Iterable[str]) -> set[str]:
    """The names of the state that patterns match, as in optim/patterns.py: `layer1` is all below it.

    `backbone` is what is called so; where nothing is, all that is learned but the output layer, the last with
    parameters. What a module keeps beside its networks, such as mean and std of its inputs, is not learned.
    """
    patterns, names = list(parts), list(module.state_dict())
    found = {name for name in names if matches(name, patterns)}
    if BACKBONE in patterns and not any(matches(name, [BACKBONE]) for name in names):
        output = f"{_output_layer(module)}."
        found |= {name for name in _learned(module) if not name.startswith(output)}
    return found


def _learned(module: nn.Module) -> list[str]:
    """The state of the networks, statistics of their layers included, and the module's own parameters."""
    networks = [name for name, child in module.named_children() if next(child.parameters(), None) is not None]
    own = [name for name, _ in module.named_parameters(recurse=False)]
    return [name for name in module.state_dict() if name in own or name.partition(".")[0] in networks]


def _output_layer(module: nn.Module) -> str:
    owners = [name for name, part in module.named_modules() if name and any(True for _ in part.parameters(False))]
    return owners[-1] if owners else ""


def _fits(own: Tensor, saved: Tensor | None) -> bool:
    return saved is not None and saved.shape == own.shape
