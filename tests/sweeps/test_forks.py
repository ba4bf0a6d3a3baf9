"""A trial that is forked finds what a new Python finds, ends as one does, and is told to end as one is."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from given_plan import LIMIT, ended

from lightloom.sweeps import forks, launchers
from lightloom.sweeps.launchers import OUTPUT, Local, LocalJob

pytestmark = pytest.mark.skipif(not forks.POSSIBLE, reason="trials are forked on Linux only")
LOOKS = """
import atexit, json, multiprocessing, os, signal, sys
atexit.register(print, "at exit")
handlers = {int(n): repr(signal.getsignal(n)).partition(" at ")[0] for n in (1, 2, 10, 15)}
print(json.dumps({
    "name": __name__, "arguments": sys.argv, "folder": os.getcwd(), "nothing to read": sys.stdin.read(),
    "input": os.readlink("/proc/self/fd/0"), "blocked": [*map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))],
    "variables": {k: v for k, v in os.environ.items() if k not in ("LIGHTLOOM_SWEEP", "LC_CTYPE")},
    "handlers": handlers, "workers": multiprocessing.get_start_method(),
    "daemon": multiprocessing.current_process().daemon,
    "leads": os.getsid(0) == os.getpid() == os.getpgid(0), "gone": os.get_blocking(int(os.environ["LIGHTLOOM_SWEEP"])),
}))
"""
WAYS = ("forked", "new")


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[forkserver.ForkServer]:
    """A server of these tests alone, which the sweeps' own code starts: not that of other tests' commands."""
    own = forkserver.ForkServer()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ensure_running", "connect_to_new_process", "set_forkserver_preload"):
            patch.setattr(forkserver, name, getattr(own, name))
        yield own
    own._stop()


def started(way: str, folder: Path, code: str, *options: str) -> LocalJob:
    """The script `code`, running in `folder`."""
    run = folder / way
    run.mkdir()
    (folder / "script.py").write_text(code)
    local, command = Local([], None, 1), [sys.executable, str(folder / "script.py"), *options]
    environment = {k: v for k, v in os.environ.items() if k not in launchers.OWN} | {
        "OMP_NUM_THREADS": "1",
        "MARK": "é",
    }
    if way == "forked":
        return LocalJob(forks.start(command, environment, run / OUTPUT, local.alive))
    return LocalJob(local._process(command, environment, run / OUTPUT))


def test_it_finds_what_a_new_process_finds(tmp_path):
    codes = {way: ended(started(way, tmp_path, LOOKS, "a=1", "b='x y'")) for way in WAYS}
    said = {way: (tmp_path / way / OUTPUT).read_text().splitlines() for way in WAYS}
    assert codes == {"forked": 0, "new": 0}, said
    assert json.loads(said["forked"][0]) == json.loads(said["new"][0])
    assert json.loads(said["forked"][0])["leads"]
    assert [lines[1:] for lines in said.values()] == [["at exit"]] * 2


@pytest.mark.parametrize(
    "code",
    ["", "import sys; sys.exit(3)", "import sys; sys.exit('a word')", "1 / 0", "import os; os.kill(os.getpid(), 9)"],
)
def test_it_ends_as_a_new_process_does(code, tmp_path):
    codes = [ended(started(way, tmp_path, code)) for way in WAYS]
    last = [(tmp_path / way / OUTPUT).read_text().splitlines()[-1:] for way in WAYS]
    assert codes[0] == codes[1]
    assert last[0] == last[1]


def test_it_and_its_children_are_told_to_end(tmp_path):
    code = (
        "import os, pathlib, sys, time\nos.fork()\npathlib.Path(sys.argv[1], str(os.getpid())).touch()\ntime.sleep(600)"
    )
    (tmp_path / "begun").mkdir()
    job = started("forked", tmp_path, code, str(tmp_path / "begun"))
    deadline = time.monotonic() + LIMIT
    while len(begun := [int(path.name) for path in (tmp_path / "begun").iterdir()]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert job.poll() is None
    job.stop()
    assert ended(job) == -15
    child = next(pid for pid in begun if pid != job.process.pid)
    while _lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGTERM])
def test_what_a_whole_group_is_told_does_not_end_the_server(number, server, tmp_path):
    """Or nobody would know how its forks end, nor that they go on."""
    code = "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(0.5)\nsys.exit(3)"
    job = started("forked", tmp_path, code, str(tmp_path / "begun"))
    while not (tmp_path / "begun").exists():
        assert job.poll() is None
        time.sleep(0.01)
    os.kill(server._forkserver_pid, number)
    assert ended(job) == 3


def _lives(pid: int) -> bool:
    """As something else than a process that nobody has asked for its exit code."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_the_server_has_computed_nothing(tmp_path):
    """No device was begun, nor looked for, and no thread was started, which a fork would not have."""
    code = (
        "import threading, torch\n"
        "print(torch.cuda.is_initialized() or torch.cuda._is_in_bad_fork(), threading.active_count())"
    )
    assert ended(started("forked", tmp_path, code)) == 0
    assert (tmp_path / "forked" / OUTPUT).read_text() == "False 1\n"
