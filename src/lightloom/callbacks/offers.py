"""What a module and its batches offer to callbacks: asked at the start, so that nothing breaks at the end."""

from __future__ import annotations

import logging
from typing import Any

from torch import Tensor

log = logging.getLogger("lightloom")
PARTS = ("inputs", "labels")  # that a batch begins with


def lacks_output(module: Any, output: str, left_out: str, told: bool = False) -> bool:
    """Do the module's test steps return no such output? One line, if it is not `told` yet, says what is left out.

    A module declares what its `test_step` returns, a dictionary, by the names in `test_outputs`.
    """
    if output in getattr(module, "test_outputs", ()):
        return False
    if not told:
        log.info("%s does not say test_outputs = (%r,): %s is left out.", type(module).__name__, output, left_out)
    return True


def lacks(module: Any, attribute: str, left_out: str, told: bool = False) -> bool:
    """Has the module no such attribute, or None there? One line, if it is not `told` yet, says what is left out."""
    if getattr(module, attribute, None) is not None:
        return False
    if not told:
        log.info("%s has no %s: %s is left out.", type(module).__name__, attribute, left_out)
    return True


def lacks_samples(module: Any, left_out: str, told: bool = False) -> bool:
    """As `lacks`, of a module that makes no images from latents."""
    return lacks(module, "latent_dim", left_out, told) or lacks(module, "decode", left_out, told)


def parts_of(batch: Any, count: int) -> tuple[Tensor, ...]:
    """The first `count` parts of a batch: inputs, labels; a tensor is inputs alone. () where it has no such parts."""
    parts = tuple(batch[:count]) if isinstance(batch, tuple | list) else (batch,)
    return parts if len(parts) == count and all(isinstance(part, Tensor) for part in parts) else ()


def lacks_parts(batch: Any, count: int, left_out: str, told: bool = False) -> bool:
    """Has a batch no such parts? One line, if it is not `told` yet, says what is left out."""
    if parts_of(batch, count):
        return False
    if not told:
        wanted = ", ".join(PARTS[:count])
        log.info("Batches are of type %s, not (%s): %s is left out.", type(batch).__name__, wanted, left_out)
    return True
