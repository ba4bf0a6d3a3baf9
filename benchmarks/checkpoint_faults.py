"""What faults do to checkpoint files: kills during a write, flipped bits, cut files, a full disk, hostile content.

    python benchmarks/checkpoint_faults.py [--kills 100] [--elsewhere /dev/shm]

Each row is a kind of fault, how often it was tried, and what came of it. A checkpoint here has 16 MB in eight weights
that all hold its number, so that a mixture of two would show. Ends with exit code 1 where anything was lost, loaded
though damaged, or run.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from lightloom.core import run_dir
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint, resume

WEIGHTS = 8
MEGABYTES = 16
DANGEROUS = ("os.system", "builtins.eval", "builtins.exec", "subprocess.run", "torch.hub.load", "torch.load")
Outcome = Counter[str]


def content(number: int, megabytes: float = MEGABYTES, **more: Any) -> dict[str, Any]:
    size = int(megabytes * 2**20 / 8 / WEIGHTS)
    weights = {f"w{i}": torch.full((size,), float(number), dtype=torch.float64) for i in range(WEIGHTS)}
    return {"state_dict": weights, "hyper_parameters": {"model": {}, "data": {}}, "global_step": number, **more}


def is_one_whole(loaded: dict[str, Any]) -> bool:
    return all(bool((w == loaded["global_step"]).all()) for w in loaded["state_dict"].values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--elsewhere", type=Path, default=Path("/dev/shm"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    bad = 0
    with tempfile.TemporaryDirectory() as here:
        places = [Path(here)]
        if args.elsewhere.is_dir():
            places.append(Path(tempfile.mkdtemp(dir=args.elsewhere)))
        for place in places:
            bad += report(f"SIGKILL while writing ({file_system(place)})", kills(place / "kills", args.kills))
            left = sorted(p.name for p in (place / "kills").iterdir())
            print(f"      files there afterwards: {', '.join(left)}")
        bad += report(
            "one bit flipped: in each byte of the file, and each bit of its directory", flips(Path(here) / "flips")
        )
        bad += report("file cut, any length", cuts(Path(here) / "cuts"))
        bad += report(*full_disk(Path(here) / "full"))
        bad += report("last.ckpt damaged: the run continues from", fallbacks(Path(here) / "fallbacks"))
        bad += report("malicious pickle in a local file", pickles(Path(here) / "local", by_address=False))
        bad += report("malicious pickle by an http address", pickles(Path(here) / "web", by_address=True))
        bad += report(f"configuration that names {', '.join(DANGEROUS)}", configurations(Path(here) / "config"))
        for place in places[1:]:
            shutil.rmtree(place)
    print(f"python {platform.python_version()}, torch {torch.__version__}; {'FAILED' if bad else 'nothing lost'}")
    sys.exit(bool(bad))


def report(fault: str, outcome: Outcome) -> int:
    """Print a row; returns how many outcomes must not be."""
    print(f"{sum(outcome.values()):5d} x {fault}")
    for what, count in sorted(outcome.items()):
        print(f"      {count:5d} {what}")
    sys.stdout.flush()
    return sum(count for what, count in outcome.items() if what.isupper())


def file_system(path: Path) -> str:
    told = subprocess.run(["df", "--output=fstype", path], capture_output=True, text=True, check=True).stdout
    return told.split()[-1]


# --- kills


def kills(where: Path, count: int) -> Outcome:
    """A process writes one checkpoint after another until it is killed; the next begins with what is there."""
    outcome: Outcome = Counter()
    generator, last = random.Random(0), where / run_dir.LAST
    io = checkpoint.SafeCheckpointIO()
    io.save_checkpoint(content(0), last)
    started = time.monotonic()
    for _ in range(3):
        io.save_checkpoint(content(0), last)
    one_save = (time.monotonic() - started) / 3
    for _ in range(count):
        before = int(checkpoint.load(last)["global_step"])
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            for number in range(before + 1, before + 1000):
                value = content(number)
                os.write(write, b".")  # the save begins
                io.save_checkpoint(value, last)
            os._exit(0)
        os.read(read, 1)
        time.sleep(generator.random() * 2 * one_save)
        while_writing = last.with_name(f".saving-{last.name}").exists()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.set_blocking(read, False)
        begun = before + 1
        with contextlib.suppress(BlockingIOError):
            begun += len(os.read(read, 4096))
        os.close(read)
        os.close(write)
        outcome[after_a_kill(last, begun, while_writing)] += 1
    return outcome


def after_a_kill(last: Path, begun: int, while_writing: bool) -> str:
    """begun: the number of the save that the kill came into."""
    try:
        found, previous = checkpoint.load(last), checkpoint.load(last.with_name(run_dir.PREVIOUS))
    except UserError:
        return "LOST"
    if not is_one_whole(found) or not is_one_whole(previous):
        return "A MIXTURE OF TWO"
    steps = int(found["global_step"])
    if steps not in (begun - 1, begun):
        return "NEITHER THE OLD NOR THE NEW ONE"
    which = "the new one" if steps == begun else "the one before"
    return f"last.ckpt is {which}, whole{', killed with a file half written' if while_writing else ''}"


# --- damage


def flips(where: Path) -> Outcome:
    """One bit of every byte of a small file, and every bit of its directory, which no checksum covers."""
    path = where / run_dir.LAST
    checkpoint.save(content(3, megabytes=0.002), path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    bits = [(at, at % 8) for at in range(directory)]
    bits += [(at, bit) for at in range(directory, len(whole)) for bit in range(8)]
    outcome: Outcome = Counter()
    for at, bit in bits:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << bit
        path.write_bytes(damaged)
        outcome[loaded_or_refused(path)] += 1
    return outcome


def cuts(where: Path) -> Outcome:
    path = where / run_dir.LAST
    checkpoint.save(content(3, megabytes=0.002), path)
    whole = path.read_bytes()
    outcome: Outcome = Counter()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        outcome[loaded_or_refused(path)] += 1
    return outcome


def loaded_or_refused(path: Path, number: int = 3) -> str:
    try:
        found = checkpoint.load(path)
    except UserError as error:
        return "refused in one line" if "\n" not in str(error) else "REFUSED IN SEVERAL LINES"
    except Exception as error:
        return f"{type(error).__name__}".upper()
    same = is_one_whole(found) and found["global_step"] == number
    return "loaded, and all content is right (the byte has no meaning)" if same else "LOADED WITH OTHER CONTENT"


def fallbacks(where: Path) -> Outcome:
    """The run's three checkpoints, each whole or damaged: which is used."""
    outcome: Outcome = Counter()
    names = (run_dir.LAST, run_dir.PREVIOUS, run_dir.BEST)
    for damaged in range(8):
        for name, number in zip(names, (9, 8, 7), strict=True):
            checkpoint.save(content(number, megabytes=0.01), where / name)
        for i, name in enumerate(names):
            if damaged >> i & 1:
                file = (where / name).read_bytes()
                (where / name).write_bytes(file[: len(file) // 2])
        wanted = next((n for i, n in enumerate((9, 8, 7)) if not damaged >> i & 1), None)
        try:
            path = resume.newest_whole(where)
            right = path is not None and checkpoint.load(path)["global_step"] == wanted
            outcome[f"step {wanted}, the newest whole one" if right else "ANOTHER ONE"] += 1
        except UserError:
            outcome["refused, none is whole" if wanted is None else "REFUSED"] += 1
    return outcome


# --- a full disk


def full_disk(where: Path) -> tuple[str, Outcome]:
    """A tmpfs of 4 MB where we may mount one (root), else a limit on the size of files: saves that do not fit."""
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", where], capture_output=True).returncode
    outcome: Outcome = Counter()
    try:
        last = where / run_dir.LAST
        checkpoint.save(content(1, megabytes=1), last)
        for size in (3.5, 4.0, 5.0, 16.0):
            outcome[in_a_fork(functools.partial(too_large, last, size, bool(mounted)))] += 1
    finally:
        if not mounted:
            subprocess.run(["umount", where], check=True)
    return f"disk full while writing ({'RLIMIT_FSIZE' if mounted else 'a tmpfs of 4 MB'})", outcome


def too_large(last: Path, megabytes: float, limited: bool) -> str:
    if limited:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, 2**21))
    try:
        checkpoint.save(content(2, megabytes), last)
        return "A SAVE THAT CANNOT HAVE FITTED"
    except UserError as error:
        clear = "free some space" in str(error) and "\n" not in str(error)
    found = checkpoint.load(last)
    left = [p.name for p in last.parent.iterdir()]
    survived = clear and is_one_whole(found) and found["global_step"] == 1 and left == [last.name]
    return "refused in one line, the old one whole, nothing left behind" if survived else "LOST"


def in_a_fork(task: Callable[[], str]) -> str:
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            os.write(write, task().encode())
        finally:
            os._exit(0)
    os.close(write)
    os.wait()
    with os.fdopen(read) as answer:
        return answer.read() or "CRASHED"


# --- hostile content


class Touch:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def pickles(where: Path, by_address: bool) -> Outcome:
    """In several places of a checkpoint, in both formats of torch, also with torch told to load unsafely."""
    where.mkdir()
    ran, served = where / "ran", where / "served"
    served.mkdir()
    outcome: Outcome = Counter()
    places: list[dict[str, Any]] = [{"evil": Touch(ran)}, {"hyper_parameters": {"model": Touch(ran)}}]
    places += [{"state_dict": {"w": Touch(ran)}}, {"callbacks": [{"a": (Touch(ran),)}]}]
    with address_of(served) as address:
        for i, place in enumerate(places):
            for zipped in (True, False):
                name = f"{i}-{zipped}.ckpt"
                value = content(1, megabytes=0.01, **place)
                torch.save(value, served / name, _use_new_zipfile_serialization=zipped)
                for unsafe in ("0", "1"):
                    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = unsafe
                    for load in (checkpoint.load, checkpoint.restore, checkpoint.SafeCheckpointIO().load_checkpoint):
                        found = f"{address}/{name}" if by_address else str(served / name)
                        outcome[refused(lambda f=found, load=load: load(run_dir.find_checkpoint(f, where)), ran)] += 1
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    return outcome


def configurations(where: Path) -> Outcome:
    where.mkdir()
    outcome: Outcome = Counter()
    os.chdir(where)
    for target in DANGEROUS:
        trick = {"_target_": target, "_args_": ["open('ran', 'w')"]}
        for model in (trick, {"_target_": "torch.nn.Identity", "layers": trick}, {"_target_": "x", "a": [trick]}):
            path = where / "evil.ckpt"
            hyper_parameters = {"model": model, "data": {"name": "x"}}
            checkpoint.save(content(1, megabytes=0.01, hyper_parameters=hyper_parameters), path)
            outcome[refused(lambda path=path: checkpoint.restore(path), where / "ran")] += 1
    return outcome


def refused(load: Callable[[], Any], ran: Path) -> str:
    try:
        load()
        what = "LOADED"
    except UserError as error:
        what = "refused in one line, nothing ran" if "\n" not in str(error) else "REFUSED IN SEVERAL LINES"
    return "IT RAN" if ran.exists() else what


@contextlib.contextmanager
def address_of(served: Path) -> Iterator[str]:
    """A server of a folder on the loopback address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    os.environ["no_proxy"] = "*"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=served)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


if __name__ == "__main__":
    main()
