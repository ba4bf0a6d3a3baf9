"""What captchas cost to draw, to learn and to read, and how far a model's reading carries.

    python benchmarks/captchas.py cost [--rounds 5]
    python benchmarks/captchas.py shift <checkpoint | run folder> [--count 500] [--beam-width 10]
    python benchmarks/captchas.py library <folder> [--train 5000 --val 500 --test 500]

cost: CPU milliseconds a picture, of drawing, of a training step of 64 and of reading. shift: the share of texts without
a mistake, and edits over symbols, of captchas that are drawn otherwise than those that the model has learnt from.
library: write those of another's drawing, the PyPI package `captcha` (pip install captcha, 0.7.1), as a folder for
data=text_images data.reader.separator=_; the texts are of the alphabet and the lengths of data=captchas.
"""

from __future__ import annotations

import argparse
import importlib
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from lightloom.config import compose
from lightloom.config.foreign import plain
from lightloom.config.instantiate import build
from lightloom.core.run_dir import find_checkpoint
from lightloom.data.text_images.alphabet import encoded
from lightloom.data.text_images.captchas import Captchas
from lightloom.engine import checkpoint
from lightloom.metrics.text_recognition import ReadingErrors
from lightloom.predict.text_images.predictor import Predictor

BATCH = 64
MODELS = ("crnn", "cnn_text", "nin_text", "alexnet_text")
STYLES: dict[str, dict[str, Any]] = {
    "as drawn": {},
    "no line, no wave, no noise": {"lines": 0, "warp": 0.0, "noise": 0.0},
    "fonts of Computer Modern": {"families": ["computer_modern"]},
    "light on dark": {"inverted": True},
    "three lines": {"lines": 3},
    "twice the noise": {"noise": 0.12},
    "twice the waves": {"warp": 4.0},
    "all of these, dark on light": {"families": ["computer_modern"], "lines": 3, "noise": 0.12, "warp": 4.0},
}
LIBRARY = {"train": 5000, "val": 500, "test": 500}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("cost").add_argument("--rounds", type=int, default=5)
    shift = commands.add_parser("shift")
    shift.add_argument("ckpt")
    shift.add_argument("--count", type=int, default=500)
    shift.add_argument("--beam-width", type=int, default=10)
    library = commands.add_parser("library")
    library.add_argument("folder", type=Path)
    library.add_argument("--seed", type=int, default=0)
    for split, count in LIBRARY.items():
        library.add_argument(f"--{split}", type=int, default=count)
    args = parser.parse_args()
    torch.set_num_threads(1)
    {"cost": measure_cost, "shift": measure_shift, "library": write_library}[args.command](args)


def measure_cost(args: argparse.Namespace) -> None:
    """Print a row for drawing and one for each model."""
    cfg = compose.without_hydra(
        compose.compose("train", ["data=captchas", "model=crnn", "data.reader.train_size=3000"])
    )
    drawn = build(plain(cfg.data.reader), "data.reader").read("train")
    for i in range(2000):  # of a run of 20,000 nearly all letters have been turned before
        drawn[i]
    spent = cpu_seconds(lambda: [drawn[i] for i in range(2000, 3000)])
    print(f"drawing: {spent:.2f} CPU ms a picture\n")
    print("CPU ms a picture:\n")
    print("| model | parameters | training | reading | with a beam of 10 |\n| --- | --- | --- | --- | --- |")
    images = torch.stack([drawn[i] for i in range(BATCH)]).float() / 255
    codes = encoded([text[:4] for text in drawn.texts[:BATCH]], cfg.data.alphabet)
    for name in MODELS:
        options = [f"model={name}", "data=captchas", "data.max_length=4", "data.num_symbols=32"]
        module = build(plain(compose.without_hydra(compose.compose("train", options)).model), "model")
        count = sum(p.numel() for p in module.parameters())
        step = middle(args.rounds, lambda module=module: module.training_step((images, codes), 0).backward())
        module.eval()
        with torch.inference_mode():
            read = middle(args.rounds, lambda module=module: module.read(images))
            beam = middle(1, lambda module=module: module.read(images, 10))
        print(f"| {name} | {count:,} | {step / BATCH:.2f} | {read / BATCH:.2f} | {beam / BATCH:.1f} |", flush=True)


def measure_shift(args: argparse.Namespace) -> None:
    """Print a row for each style, of test pictures."""
    trained, module = checkpoint.restore(find_checkpoint(args.ckpt, Path(), prefer="best"))
    predictor, options = Predictor(module.eval(), trained.data), plain(trained.data.reader)
    print(f"{args.count} test pictures of each style")
    print("| drawn | exact | CER | exact, beam | CER, beam |\n| --- | --- | --- | --- | --- |")
    for style, own in STYLES.items():
        given = {k: v for k, v in {**options, **own, "test_size": args.count}.items() if k != "_target_"}
        split = Captchas(**given).read("test")
        codes = encoded(split.texts, predictor.alphabet)
        cells = []
        for beam_width in (1, args.beam_width):
            errors = ReadingErrors(codes.shape[1])
            for i in range(0, args.count, 100):
                part = range(i, min(i + 100, args.count))
                found = predictor.predict([split[n] for n in part], beam_width)
                errors.update([one.codes for _, one in found], codes[i : i + 100])
            measured = errors.compute()
            cells += [f"{float(measured[name]):.4f}" for name in ("exact", "cer")]
        print(f"| {style} | {' | '.join(cells)} |", flush=True)


def write_library(args: argparse.Namespace) -> None:
    """Write <folder>/<split>/<text>_<number>.png, which follow from the seed; no text is in two splits."""
    data = compose.compose("train", ["data=captchas", "model=crnn"]).data
    drawing = importlib.import_module("captcha.image")
    draws = random.Random(args.seed)
    drawing.secrets = SimpleNamespace(  # the package asks the system for its numbers, which cannot be seeded
        randbelow=draws.randrange, randbits=draws.getrandbits, choice=draws.choice
    )
    painter, known = drawing.ImageCaptcha(), set()
    for split in LIBRARY:
        place = args.folder / split
        place.mkdir(parents=True, exist_ok=True)
        for number in range(getattr(args, split)):
            text = ""
            while not text or text in known:
                text = "".join(draws.choices(data.alphabet, k=draws.randint(data.min_length, data.max_length)))
            known.add(text)
            painter.write(text, str(place / f"{text}_{number}.png"))


def middle(rounds: int, call: Callable[[], object]) -> float:
    """The median CPU time in milliseconds, after a first call."""
    call()
    return 1000 * statistics.median(cpu_seconds(call) for _ in range(rounds))


def cpu_seconds(call: Callable[[], object]) -> float:
    """Of this process, of one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


if __name__ == "__main__":
    main()
