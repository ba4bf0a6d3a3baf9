"""What Python itself keeps private. Seen in 3.11; where a name is gone, what it does is left out."""

from __future__ import annotations

import atexit


def run_exit_functions() -> None:
    """What is registered with `atexit`, now: a process of multiprocessing ends without it."""
    run = getattr(atexit, "_run_exitfuncs", None)
    if run is not None:
        run()
