"""What goes wrong around a run, and what becomes of it: other data, no room, signals in every order.

    python benchmarks/faults.py [--only NAME ...]

Each row is one fault of a real command, with its exit code, the seconds from the fault to the end of the process, and
what came of it. A run is identical where its last checkpoint is, bit for bit, that of a run that was left alone. Exit
code 1 where something hung, ended in a traceback, or was lost. Full disks and a small /dev/shm are file systems of
their own, which only root may mount: elsewhere these rows say so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))
MOST = 240  # characters of a message that are kept
PATIENCE = 60  # seconds after which a process that was told to end has hung
EPOCHS, STEPS = 3, 10
OPTIONS = ("model=mlp", "trainer=cpu", f"trainer.max_epochs={EPOCHS}", "run_name=run", "test=false", "logger=csv")
OPTIONS += ("data.batch_size=8", f"trainer.limit_train_batches={STEPS}", "callbacks.checkpoint.every_n_steps=2")
PARTS = 10  # of the bytes that a run writes: the disk is full after none, one, two, ... of them
SIGNALS = ("TERM", "INT", "HUP")


class Row(NamedTuple):
    fault: str
    code: int | None  # None: it had to be killed
    seconds: float
    outcome: str
    is_well: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    args = parser.parse_args()
    print("| fault | exit code | seconds | outcome |\n| --- | --- | --- | --- |")
    bad = 0
    for name in args.only:
        with tempfile.TemporaryDirectory() as scratch:
            for row in FAULTS[name](Path(scratch)):
                bad += not row.is_well
                code = "hung" if row.code is None else row.code
                outcome = row.outcome.replace(f"{scratch}/", "")
                print(f"| {row.fault} | {code} | {row.seconds:.1f} | {outcome} |", flush=True)
    sys.exit(bool(bad))


# --- commands


def start(log_dir: Path, *options: str, before: tuple[str, ...] = (), wait: float = 0) -> subprocess.Popen[str]:
    """A training whose steps take `wait` seconds more. before: words in front of the command."""
    from interruptions import HERE, WAIT, WATCHED

    environment = {**os.environ, **HERE, WAIT: str(wait), "LIGHTLOOM_LOG_DIR": str(log_dir), "OMP_NUM_THREADS": "1"}
    command = [*before, sys.executable, str(ROOT / "src/train.py"), *options, *WATCHED]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def end(process: subprocess.Popen[str], since: float | None = None) -> tuple[int | None, float, str]:
    """Exit code, seconds since the fault, and the last line; a process that hangs is killed."""
    since = since or time.monotonic()
    try:
        said, _ = process.communicate(timeout=PATIENCE)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        code = None
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    return code, time.monotonic() - since, "a traceback" if "Traceback" in said else (errors or [""])[-1][:MOST]


def steps_done(log_dir: Path) -> int:
    diary = log_dir / "runs/run/diary.jsonl"
    return len(diary.read_text().splitlines()) if diary.is_file() else 0


def until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    while process.poll() is None and not happened():
        time.sleep(0.01)


def is_identical(log_dir: Path, other: Path) -> bool:
    """Are weights, optimizers and counters of two runs' last checkpoints the same bits?"""
    from interruptions import differences, saved

    runs = [folder / "runs/run" for folder in (log_dir, other)]
    return all((run / "checkpoints/last.ckpt").is_file() for run in runs) and not differences(*map(saved, runs))


# --- data that changes between a kill and the same command


def pictures(root: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for i in range(200):
        path = root / "ab"[i % 2] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(256, (8, 8, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(path)


def remove_half(root: Path) -> None:
    for path in sorted(root.rglob("*.png"))[::2]:
        path.unlink()


def swap(root: Path) -> None:
    (root / "a").rename(root / "c")
    (root / "b").rename(root / "a")
    (root / "c").rename(root / "b")


CHANGES: dict[str, Callable[[Path], object]] = {
    "an image removed": lambda root: (root / "a/000.png").unlink(),
    "an image added": lambda root: shutil.copy(root / "a/000.png", root / "a/new.png"),
    "an image replaced": lambda root: shutil.copy(root / "a/002.png", root / "a/000.png"),
    "half of all images removed": remove_half,
    "two class folders swapped": swap,
}


def changed_data(scratch: Path) -> Iterator[Row]:
    """Refused, and gone on with where a person says so."""
    for what, change in CHANGES.items():
        root, logs = scratch / what / "data", scratch / what / "logs"
        pictures(root)
        options = (*OPTIONS, "data=image_folder", f"data.root={root}", "data.image_size=8")
        first = start(logs, *options, wait=0.05)
        until(first, lambda logs=logs: steps_done(logs) >= STEPS + 3)
        first.kill()
        first.communicate()
        change(root)
        code, seconds, said = end(start(logs, *options))
        yield Row(f"{what}, the same command", code, seconds, said or "went on", code == 2 and "Trace" not in said)
        code, seconds, said = end(start(logs, *options, "data_changed=accept"))
        yield Row(f"{what}, data_changed=accept", code, seconds, said or "went on", code == 0)


# --- no room


@contextmanager
def file_system(where: Path, size: int) -> Iterator[bool]:
    """A file system of so many bytes; False where this user may mount none."""
    where.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        subprocess.run(["umount", str(where)], capture_output=True, check=False)


def full_disks(scratch: Path) -> Iterator[Row]:
    """The disk is full after each tenth of what a run writes; then there is room, and the same command is repeated.

    Without the preflight, which would say so before the first step.
    """
    options, alone = (*OPTIONS, "data=digits"), scratch / "alone"
    end(start(alone, *options))
    needed = sum(path.stat().st_size for path in alone.rglob("*") if path.is_file())
    for part in range(PARTS):
        place = scratch / f"disk-{part}"
        with file_system(place, 4 * needed) as is_there:
            if not is_there:
                yield Row("a full disk", 0, 0.0, "not tried: only root may mount a file system", True)
                return
            free, ballast = needed * part // PARTS, place / "ballast"
            with ballast.open("wb") as file:
                file.write(bytes(4 * needed - free - os.sysconf("SC_PAGE_SIZE")))
            code, seconds, said = end(start(place / "logs", *options, "preflight=false"))
            ballast.unlink()
            again, _, problem = end(start(place / "logs", *options))
            same = again == 0 and is_identical(place / "logs", alone)
            outcome = f"{said or 'ran'}; then {'identical' if same else problem or 'NOT identical'}"
            fault = f"a disk that is full after {free / 2**20:.1f} of {needed / 2**20:.1f} MB"
            yield Row(fault, code, seconds, outcome, code in (0, 2) and "Trace" not in said and same)


def small_shared_memory(scratch: Path) -> Iterator[Row]:
    """A /dev/shm of 64 MB, as Docker gives, for batches that need more."""
    pictures(scratch / "data")
    mount = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"'
    inside = ("unshare", "--mount", "sh", "-c", mount, "sh")
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        yield Row("a /dev/shm of 64 MB", 0, 0.0, "not tried: only root may mount a file system", True)
        return
    options = (*OPTIONS, "data=image_folder", f"data.root={scratch / 'data'}", "data.image_size=512")
    options += ("data.batch_size=64", "data.num_workers=2", "data.reader.in_memory=false")
    for what, more in {"": (), ", without a preflight": ("preflight=false", "data.worker_timeout=20")}.items():
        code, seconds, said = end(start(scratch / f"logs{len(more)}", *options, *more, before=inside))
        well = code not in (None, 0) and "Trace" not in said
        yield Row(f"a /dev/shm of 64 MB for batches of 50 MB, 2 workers{what}", code, seconds, said, well)


# --- signals


def signals(scratch: Path) -> Iterator[Row]:
    """One in a step: saved after it. Two: ended at once. Then the same command."""
    options, alone = (*OPTIONS, "data=digits"), scratch / "alone"
    end(start(alone, *options))
    for first in SIGNALS:
        for second in (None, *SIGNALS):
            logs = scratch / f"{first}-{second}"
            process = start(logs, *options, wait=0.05 if second is None else 3.0)
            until(process, lambda logs=logs: steps_done(logs) >= 3)
            told = time.monotonic()
            process.send_signal(getattr(signal, f"SIG{first}"))
            if second:
                time.sleep(0.7)  # two of a kind within half a second count once
                told = time.monotonic()
                process.send_signal(getattr(signal, f"SIG{second}"))
            code, seconds, _ = end(process, told)
            again, _, problem = end(start(logs, *options))
            same = again == 0 and is_identical(logs, alone)
            expected = 128 + getattr(signal, f"SIG{second or first}")
            outcome = "then identical" if same else f"then {problem or 'NOT identical'}"
            fault = f"SIG{first}" + (f", then SIG{second} inside a step of 3 s" if second else "")
            yield Row(fault, code, seconds, outcome, code == expected and same and seconds < 10)


FAULTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "data": changed_data,
    "disk": full_disks,
    "shm": small_shared_memory,
    "signals": signals,
}

if __name__ == "__main__":
    main()
