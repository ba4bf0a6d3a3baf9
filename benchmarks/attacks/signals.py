"""Signals at any moment of any command: it ends within seconds with the signal's code, and repeated does its work.

Commands run in processes of their own. When a signal comes is drawn from the time that the command takes undisturbed,
from its start on: each command gets SIGINT, SIGTERM, SIGHUP, and SIGTERM with a SIGINT after it, then what is drawn.
Nobody of what it has started is there ten seconds later, no traceback is printed, and no file is half written.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import torch
import yaml
from attacks.folders import png
from attacks.tasks import content
from attacks.watch import Baits, Case

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
import commands

from lightloom.engine import checkpoint

QUICK = 0  # tests/engine/test_chaos.py, tests/callbacks/run/test_preemption.py
MOST = 10.0  # seconds from the signal to the end
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EACH = ((signal.SIGINT, None), (signal.SIGTERM, None), (signal.SIGHUP, None), (signal.SIGTERM, signal.SIGINT))
HERE = frozenset({"socket.connect", "os.fork", "os.posix_spawn", "subprocess.Popen"})  # commands are processes
PATIENCE = 600.0  # seconds of a case: two commands on a machine that has other work

RUN = ("data=digits", "trainer=cpu", "logger=csv", "trainer.limit_train_batches=20", "data.batch_size=8")
LITTLE = ("callbacks.quality.val_samples=20", "+model.generator.hidden=8", "+model.discriminator.units=8")
COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("train", "model=mlp", *RUN, "trainer.max_epochs=3", "run_name=one"),
    "train, workers": ("train", "model=mlp", "data=image_folder", "data.root={root}/images", "data.image_size=8",
                       "data.num_workers=2", "trainer=cpu", "data.batch_size=4", "trainer.max_epochs=2",
                       "run_name=one"),
    "train, GAN": ("train", "model=gan", *RUN, *LITTLE, "trainer.max_epochs=2", "run_name=one"),
    "train, two processes": ("train", "model=mlp", "data=digits", "trainer=ddp_cpu", "trainer.limit_train_batches=10",
                             "trainer.max_epochs=2", "run_name=one"),
    "eval": ("eval", "ckpt_path={root}/a.ckpt", "trainer=cpu"),
    "predict": ("predict", "ckpt_path={root}/a.ckpt", "input={root}/images", "trainer=cpu"),
    "export": ("export", "ckpt_path={root}/a.ckpt", "format=onnx"),
    "inspect_data": ("inspect_data", "data=image_folder", "data.root={root}/images"),
    "sweep": ("sweep", "model=mlp", *RUN, "trainer.max_epochs=1", "sweep=learning_rate", "sweep.n_trials=2",
              "sweep.name=one", "--config-dir={logs}"),
    "report": ("report", "runs={root}/logs/runs/one"),
    "serve": ("serve", "ckpt_path={root}/a.ckpt", "port=0", "threads=1"),
}  # fmt: skip
READY = {"serve": "http://127.0.0.1:"}  # of a command that goes on until it is told: what it says when it has begun


@cache
def prepared() -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    """Images, a checkpoint and a run."""
    held = tempfile.TemporaryDirectory()
    root = Path(held.name)
    for i in range(60):
        path = root / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i, (8, 8)))
    torch.save(content("classification"), root / "a.ckpt")
    commands.run(root / "logs", *COMMANDS["train"][1:])
    return root, held


def started(name: str, logs: Path) -> commands.Command:
    root, _ = prepared()
    script, *given = COMMANDS[name]
    return commands.start(logs, *(option.format(root=root, logs=logs) for option in given), script=script)


@cache
def duration(name: str) -> float:
    """Seconds that the command takes when nothing disturbs it; of one that goes on, twice what it takes to begin."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        command = started(name, Path(folder))
        code = finish(name, command)
        assert code == 0, f"{name} ends with {code}: {command.text[-800:]}"
        return (time.monotonic() - began) * (2 if name in READY else 1)


def finish(name: str, command: commands.Command) -> int:
    """The exit code of a command that is left alone; one that goes on has done its work when it has begun: 0."""
    if name not in READY:
        return command.wait()
    command.wait_until(lambda: READY[name] in command.text)
    os.kill(command.pid, signal.SIGTERM)
    return command.wait() - 128 - signal.SIGTERM


def half_written(folder: Path) -> list[str]:
    """Files that are not what their names say, or that wait for another name."""
    found = []
    for path in folder.rglob("*"):
        text = path.read_bytes() if path.is_file() else b""
        try:
            if path.suffix == ".json":
                json.loads(text)
            elif path.suffix in (".yaml", ".yml"):
                yaml.safe_load(text)
            elif path.suffix == ".ckpt":
                checkpoint.load(path)
            whole = not path.name.startswith(".saving-") and (path.suffix != ".html" or b"</html>" in text[-20:])
            whole = whole and (path.suffix != ".csv" or text.endswith(b"\n") or not text)
        except Exception as error:
            found.append(f"{path.name}: {error}")
        else:
            found += [] if whole else [path.name]
    return found


def left_behind(logs: Path) -> list[str]:
    """Command lines of processes that name this folder, or whose environment does."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            told = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:
            continue
        if place.name != str(os.getpid()) and any(str(logs).encode() in text for text in told):
            found.append(told[0].replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


def interrupted(name: str, moment: float, first: signal.Signals, second: signal.Signals | None, gap: float) -> str:
    """Seconds to its end, and its code; AssertionError where it is not as it should be."""
    folder = Path(tempfile.mkdtemp())
    try:
        before = duration(name)
        command = started(name, folder)
        command.process.join(moment * before)
        said = []
        for number in filter(None, (first, second)):
            if command.process.exitcode is None:
                os.kill(command.pid, number)
                told = time.monotonic()
                said.append(number)
                command.process.join(gap if number is first and second else MOST + 20)
        if not said:
            return interrupted(name, moment / 2, first, second, gap)  # it was over before
        command.process.join(MOST + 20)
        seconds, code, text = time.monotonic() - told, command.process.exitcode, command.text
        if code is None:
            command.process.kill()
        where = f"{' '.join(n.name for n in said)} at {moment:.2f} of {before:.1f} s, gap {gap}, code {code}"
        assert code is not None, f"{where}: hung; {text[-300:]}"
        assert seconds < MOST, f"{where}: ended after {seconds:.1f} s; {text[-300:]}"
        assert code in {0, *(128 + n for n in said), *(-n for n in said)}, f"{where}: code {code}; {text[-500:]}"
        assert "Traceback" not in text, f"{where}: {text[-800:]}"
        while (left := left_behind(folder)) and time.monotonic() - told < MOST:
            time.sleep(0.5)  # a trial saves and ends when its sweep has ended
        assert not left, f"{where}: left {left}"
        assert not (cut := half_written(folder)), f"{where}: half written {cut}"
        again = started(name, folder)
        assert finish(name, again) == 0, f"{where}: repeated, {again.process.exitcode}: {again.text[-800:]}"
        return f"{where}: {code} after {seconds:.1f} s"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def signals(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Each command in turn, by each of EACH, and then with one signal, or two, that are drawn."""
    for i in range(count):
        turn, place = divmod(i, len(COMMANDS))
        name, rng = list(COMMANDS)[place], random.Random(chance.random())
        first, second = rng.choice(SIGNALS), rng.choice((None, *SIGNALS))
        if turn < len(EACH):
            first, second = EACH[turn]
        duration(name)  # measured before the case begins
        act = partial(interrupted, name, 0.95 * rng.random(), first, second, rng.choice((0.05, 0.3, 0.7, 2.0)))
        yield Case(name, act, allowed=HERE, patience=PATIENCE)


KINDS = {"signals at any moment of a command": signals}
