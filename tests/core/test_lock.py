"""One run in a folder: held as long as its process lives, and not a moment longer."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lightloom.core import lock
from lightloom.core.errors import UserError

HOLD = """
import os, pathlib, sys, time
from lightloom.core import lock
lock.take(pathlib.Path(sys.argv[1]))
child = os.fork() if len(sys.argv) > 2 else 1
print(os.getpid() if child else "child", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def let_go():
    yield
    lock.release()


def holder(run: Path, *arguments: str) -> subprocess.Popen[str]:
    """Another process that holds the folder, once this returns."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run), *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(2 if arguments else 1):
        process.stdout.readline()
    return process


def test_who_holds_it_is_named_until_it_is_killed(tmp_path):
    other = holder(tmp_path)
    with pytest.raises(UserError, match=rf"in use by process {other.pid} on \S+ since \d+-\d+-\d+ \d+:\d+:\d+; wait"):
        lock.take(tmp_path)
    other.kill()
    other.wait()
    lock.take(tmp_path)


def test_what_a_killed_process_forked_does_not_hold_it(tmp_path):
    """The workers of a loader outlive a run that is killed, for some seconds."""
    other = holder(tmp_path, "and fork")
    children = Path(f"/proc/{other.pid}/task/{other.pid}/children").read_text().split()
    with pytest.raises(UserError, match=f"process {other.pid} "):
        lock.take(tmp_path)
    other.kill()
    other.wait()
    lock.take(tmp_path)
    os.kill(int(children[0]), signal.SIGKILL)


def test_released_it_can_be_taken_again(tmp_path):
    """As by the next run of a sweep; each folder has a lock of its own."""
    (tmp_path / "other").mkdir()
    lock.take(tmp_path)
    lock.take(tmp_path / "other")
    with pytest.raises(UserError, match=f"process {os.getpid()} "):
        lock.take(tmp_path)
    lock.release()
    lock.take(tmp_path)


def test_an_unreadable_name_is_another_process(tmp_path):
    lock.take(tmp_path)
    (tmp_path / lock.LOCK).write_text("{")
    with pytest.raises(UserError, match="in use by another process"):
        lock.take(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog, number):
    def refuse(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock.take(tmp_path)
    assert "cannot be locked" in caplog.text
