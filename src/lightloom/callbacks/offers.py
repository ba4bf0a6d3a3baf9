"""What a module offers to callbacks that show its test: asked at the start, so that nothing breaks at the end."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("lightloom")


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
    """Has the module no such attribute? One line, if it is not `told` yet, says what is left out."""
    if hasattr(module, attribute):
        return False
    if not told:
        log.info("%s has no %s: %s is left out.", type(module).__name__, attribute, left_out)
    return True
