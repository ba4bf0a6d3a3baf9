"""A process that is stuck ends soon after a signal, and after a second one at once, whichever came first.

Each case starts a bare Python process, which takes a few tenths of a second; those that are stuck wait for PATIENCE,
here a second.
"""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from conftest import ROOT

PROGRAM = """
import queue as queues, signal, sys, tempfile, threading, time
from pathlib import Path
from lightloom.core import atomic_io, watchdog

watchdog.PATIENCE, watchdog.AT_ONCE = 1.0, 0.5

def lock():
    held = threading.Lock()
    held.acquire()
    held.acquire()

def queue():
    empty = queues.Queue()
    while True:
        try:
            empty.get(timeout=0.2)
        except queues.Empty:
            pass

def a_step():
    watchdog.begin_step()
    watchdog.end_step()
    watchdog.begin_step()
    while True:
        pass

def work():
    end = time.monotonic() + 2.5
    total = 0
    while time.monotonic() < end:
        total += sum(range(1000))

def a_write():
    with tempfile.TemporaryDirectory() as folder, atomic_io.replacing(Path(folder, "file")):
        time.sleep(2.5)

def a_wait_of_its_own():
    with watchdog.waiting(5):
        time.sleep(2.5)

for number in watchdog.ending_signals():
    signal.signal(number, lambda *_: None)  # as a run that takes note of it
watchdog.start()
print("ready", flush=True)
{what}
print("done", flush=True)
sys.exit(7)
"""


@pytest.fixture
def started() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start the program; what is stuck in it does not outlive the test."""
    processes: list[subprocess.Popen[str]] = []
    yield lambda what: processes.append(start(what)) or processes[-1]
    for process in processes:
        process.kill()


def start(what: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("{what}", what)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", ["lock()", "a_step()", "queue()"])
def test_what_is_stuck_ends_and_says_where(started, what, number):
    process = started(what)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said.startswith(f"error: {number.name}: nothing has moved in ")


@pytest.mark.parametrize("what", ["work()", "a_write()", "a_wait_of_its_own()"])
def test_what_works_comes_to_its_end(started, what):
    process = started(what)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)  # an echo of the first
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (7, "done\n")


@pytest.mark.parametrize(
    ("first", "second"), [("SIGTERM", "SIGINT"), ("SIGINT", "SIGTERM"), ("SIGHUP", "SIGTERM"), ("SIGINT", "SIGINT")]
)
def test_told_twice_it_ends_at_once(started, first, second):
    process = started("work()")
    process.send_signal(getattr(signal, first))
    time.sleep(0.05)
    told = time.monotonic()
    process.send_signal(getattr(signal, second))
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + getattr(signal, second)
    assert time.monotonic() - told < 2
    assert "told twice" in said


# --- every wait has a deadline

WAITS = {"wait", "join", "communicate", "recv", "accept", "acquire", "result", "get", "barrier"}
NEED = {"run", "check_output", "check_call", "urlopen", "FileLock", "DataLoader", "DeafLoader", "TCPStore", "open"}
LIBRARIES = {"run": "subprocess", "check_output": "subprocess", "check_call": "subprocess", "open": "av"}
ALLOWED = {  # file:function, and why it may wait as long as it does
    "core/watchdog.py:_watch": "a thread of its own, which hears signals",
    "cli/launch.py:watch": "a thread of its own, which hears that the sweep has ended",
    "engine/rendezvous.py:_from_store": "the key is there, and the store has a deadline",
    "cli/launch.py:_one_job": "engine.launcher.wait, for the ranks, which kills them in the end",
    "engine/launcher.py:wait": "its own, of each launcher",
    "engine/train.py:close": "of the process group, which has the deadline trainer.strategy.timeout",
    "tracking/film.py:write": "opened to be written",
    "serve/film.py:main": "of the front, with which this process ends",
    "serve/film.py:read_ahead": "a thread of its own, which ends with its process",
    "serve/film.py:_write": "of the front, with which this process ends",
    "serve/films.py:_received": "a thread of the event loop; the process is killed where its film is given up",
    "serve/inference.py:start": "polled before, with a deadline",
    "serve/inference.py:_exchange": "polled before, with a deadline",
    "serve/inference.py:close": "killed before",
    "serve/worker.py:_serve": "of the front, with which this process ends",
}


def waits(tree: ast.Module) -> list[tuple[str, int]]:
    """(function, line) of each call that may wait for ever: of WAITS without arguments, of NEED without timeout.

    What is awaited keeps nobody: its event loop goes on, and can cancel it.
    """
    found = []

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.Await):
            return
        if isinstance(node, ast.FunctionDef):
            function = node.name
        if isinstance(node, ast.Call) and _waits(node):
            found.append((function, node.lineno))
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(tree, "")
    return found


def _waits(call: ast.Call) -> bool:
    owner, _, name = ast.unparse(call.func).rpartition(".")
    keywords = {keyword.arg for keyword in call.keywords}
    if owner == "os" and name == "read":
        return True
    if owner == "store" and name in ("get", "wait"):
        return True
    if name in WAITS and owner and not call.args and not keywords:
        return name != "get" or "queue" in owner
    return name in NEED and LIBRARIES.get(name, owner) == owner and "timeout" not in keywords


def test_every_wait_has_a_deadline():
    source = ROOT / "src" / "lightloom"
    found = {
        f"{path.relative_to(source)}:{function}": f"{path}:{line}"
        for path in sorted(source.rglob("*.py"))
        for function, line in waits(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {place: line for place, line in found.items() if place not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "ALLOWED has places that no longer wait"


@pytest.mark.parametrize(
    "call",
    [
        *(
            "thread.join()",
            "event.wait()",
            "process.communicate()",
            "connection.recv()",
            "lock.acquire()",
            "future.result()",
        ),
        *(
            "queue.get()",
            "store.get('key')",
            "store.wait(['key'])",
            "subprocess.run(['ls'])",
            "FileLock('x')",
            "os.read(3, 1)",
        ),
        *("av.open('x')", "DataLoader(data)", "torch.distributed.barrier()", "urlopen('http://x')"),
    ],
)
def test_such_waits_are_found(call):
    assert waits(ast.parse(f"def f():\n    {call}\n")) == [("f", 2)]
    assert waits(ast.parse("def f():\n    ','.join(x)\n    process.wait(3)\n    x.get('key')\n")) == []
