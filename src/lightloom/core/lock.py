"""Lock a run directory for one process; the kernel releases the lock however the process ends."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import time
from datetime import datetime
from pathlib import Path

from lightloom.core.errors import UserError

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "run.lock"
log = logging.getLogger("lightloom")
_held: list[int] = []  # file descriptors of the locks of this process


def take(run: Path, name: str = "run_name") -> None:
    """Lock the run directory until `release` or the end of this process; UserError where another process holds it.

    name: the option that chooses the folder. Where the file system has no locks, a warning.
    """
    handle = os.open(run / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, "no fcntl on this system")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(
            f"{run} is in use by {_holder(run)}; wait until that run ends, or choose another {name}."
        ) from None
    except OSError as error:
        os.close(handle)
        log.warning("%s cannot be locked (%s): start no second run in it while this one lasts.", run, error.strerror)
        return
    _held.append(handle)
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
    with contextlib.suppress(OSError):  # a full disk: the lock holds, its holder has no name
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(about).encode(), 0)


def wait_until_free(run: Path, seconds: float) -> None:
    """Wait until no process holds the run directory; UserError after `seconds`."""
    deadline = time.monotonic() + seconds
    while fcntl is not None and (run / LOCK).exists():
        try:
            with (run / LOCK).open("r+") as file:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        except OSError:  # no locks here
            return
        if time.monotonic() > deadline:
            raise UserError(f"{run} is in use by {_holder(run)}; wait until that run ends.")
        time.sleep(0.1)


def is_taken(run: Path) -> bool:
    """Does a process hold the run directory? No, where the file system has no locks."""
    if fcntl is None or not (run / LOCK).is_file():
        return False
    try:
        with (run / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def release() -> None:
    """Release every run directory that this process holds."""
    while _held:
        os.close(_held.pop())


def _holder(run: Path) -> str:
    """The process named in the lock file."""
    try:
        about = json.loads((run / LOCK).read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


if hasattr(os, "register_at_fork"):
    # The workers of a loader are forks: they would hold the lock of a run that was killed until they notice.
    os.register_at_fork(after_in_child=release)
