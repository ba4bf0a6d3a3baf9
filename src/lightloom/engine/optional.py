"""What a run can do without: its failure is said, and ends nothing."""

from __future__ import annotations

import functools
import logging
import time
import traceback
from collections.abc import Callable
from typing import ParamSpec

log = logging.getLogger("lightloom")
P = ParamSpec("P")


def optional(what: str) -> Callable[[Callable[P, object]], Callable[P, None]]:
    """A function that writes `what`; where it fails, one warning, with the traceback in the run's log."""

    def wrap(function: Callable[P, object]) -> Callable[P, None]:
        @functools.wraps(function)
        def attempt(*args: P.args, **kwargs: P.kwargs) -> None:
            started = time.monotonic()
            try:
                function(*args, **kwargs)
                log.debug("%s: written in %.2f s", what, time.monotonic() - started)
            except Exception as error:
                log.warning(
                    "%s could not be written (%s: %s); the run is not affected.", what, type(error).__name__, error
                )
                log.debug("%s", traceback.format_exc())

        return attempt

    return wrap
