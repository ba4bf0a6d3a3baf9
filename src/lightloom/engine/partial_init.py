"""Begin a run with some of a checkpoint's weights: `weights_only_init=backbone`, or a list of name patterns."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from lightloom.core.errors import UserError

log = logging.getLogger("lightloom")
BACKBONE = "backbone"
SHOWN = 4  # names of new weights in the line that tells them


def load_parts(module: pl.LightningModule, checkpoint: dict[str, Any], parts: str | Sequence[str], path: Path) -> None:
    """Take the weights that `parts` name and that have a module's own name and shape; one line says which are new.

    parts: `backbone`, or patterns of names (see `chosen`). Raises UserError where nothing fits.
    """
    own, saved = module.state_dict(), checkpoint["state_dict"]
    wanted = chosen(module, [parts] if isinstance(parts, str) else list(parts))
    taken = {name: saved[name] for name in own if name in wanted and _fits(own[name], saved.get(name))}
    if not taken:
        raise UserError(
            f"weights_only_init={_listed(parts)}: {path} has no weights of that name and shape for this model, whose "
            f"weights are called {', '.join(list(own)[:SHOWN])}, ...; name others, or set weights_only_init=true."
        )
    module.load_state_dict(taken, strict=False)
    new = [name for name in own if name not in taken]
    log.info("Beginning with %d of %d weights of %s; new: %s.", len(taken), len(saved), path, _shown(new))


def chosen(module: nn.Module, parts: Iterable[str]) -> set[str]:
    """The names of the state that patterns cover: `network.layer1`, or `layer1`, is all below it, * any text.

    `backbone` is what is called so; where nothing is, all but the output layer, the last with parameters.
    """
    names = list(module.state_dict())
    found = {name for name in names for part in parts if _covers(part, name)}
    if BACKBONE in parts and not any(_covers(BACKBONE, name) for name in names):
        found |= {name for name in names if not _covers(_output_layer(module), name)}
    return found


def _covers(pattern: str, name: str) -> bool:
    """Is the name, or a run of its parts between dots that ends it or goes on below, what the pattern says?"""
    parts = name.split(".")
    heads = [".".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)]
    return any(fnmatchcase(head, pattern) for head in heads)


def _output_layer(module: nn.Module) -> str:
    owners = [name for name, part in module.named_modules() if name and any(True for _ in part.parameters(False))]
    return owners[-1] if owners else ""


def _fits(own: Tensor, saved: Tensor | None) -> bool:
    return saved is not None and saved.shape == own.shape


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "nothing") + more


def _listed(parts: str | Sequence[str]) -> str:
    return parts if isinstance(parts, str) else f"[{','.join(parts)}]"
