"""What each step of a recipe is worth on a tenth of CIFAR-10, from a thin ResNet-18 to ImageNet's weights.

    python benchmarks/kaggle.py [--logs logs/kaggle] [--steps thin schedule ...] [--seeds 2]

Each step keeps the options of those before it, but for the last three, which are experiments: `width` is the step
before it, twice as wide. A step is `python src/train.py` with one thread and seed 0; the last has so many seeds. A run
that is there is not trained again and one that was killed is continued, so the same command goes on where it was ended,
and prints the table. Accuracy is of the 1,000 test images, which two standard errors know to 0.03. CPU seconds are of
the whole command. `views` trains nothing: it looks at the mirrored images too, with the weights of the step before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from time_to_accuracy import cpu_seconds
from timing import ROOT, now, since

from lightloom.core import atomic_io, run_dir
from lightloom.core.environment import variable
from lightloom.engine.checkpoint import restore
from lightloom.engine.train import build_data
from lightloom.modules.tta import mean_logits

DATA = Path(variable("LIGHTLOOM_DATA_DIR") or ROOT / "data")
THIN = {
    "data": "cifar10_small",
    "model": "resnet18",
    "model.network.width": "0.125",
    "model.channels_last": "true",
    "data.batch_size": "64",
}
PLAIN = {"scheduler": "constant", "data.augment.crop_padding": "0", "data.augment.flip": "false"}
STEPS: dict[str, dict[str, str]] = {
    "thin": {**THIN, **PLAIN, "trainer.max_epochs": "20"},
    "schedule": {"scheduler": "one_cycle"},
    "augmentation": {"data.augment.crop_padding": "4", "data.augment.flip": "true"},
    "ema": {"callbacks": "ema", "callbacks.ema.decay": "0.99"},
    "views": {"model.test_views": "flip"},
    "width": {"experiment": "resnet18_cifar10_small"},
    "speedrun": {
        "experiment": "cifar10_speedrun",
        "data": "cifar10_small",
        "trainer.precision": "32-true",
        "model.network.widths": "[24,64,128]",
        "data.batch_size": "125",
        "data.eval_batch_size": "500",
        "trainer.max_epochs": "20",
    },
    "finetune": {"experiment": "kaggle_cifar10_small"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logs", type=Path, default=ROOT / "logs/kaggle")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--seeds", type=int, default=2, help="of the last step")
    args = parser.parse_args()
    torch.set_num_threads(1)
    before = None
    print("| step | options | test accuracy | step's worth | n | parameters | CPU s a run |\n|" + " --- |" * 7)
    for step in args.steps:
        seeds = args.seeds if step == args.steps[-1] else 1
        found = [run(step, seed, args.logs) for seed in range(seeds)]
        accuracy = statistics.mean(one["test/acc"] for one in found)
        spread = f" ± {statistics.stdev(one['test/acc'] for one in found):.3f}" if seeds > 1 else ""
        worth = "" if before is None else f"{accuracy - before:+.3f}"
        seconds = statistics.mean(one["cpu_seconds"] for one in found)
        cells = (step, f"`{spoken(STEPS[step])}`", f"{accuracy:.3f}{spread}", worth, seeds)
        print(
            "| " + " | ".join(map(str, (*cells, f"{found[0]['parameters']:,.0f}", f"{seconds:.0f}"))) + " |", flush=True
        )
        before = accuracy


def spoken(options: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items())


def options_of(step: str) -> dict[str, str]:
    """The step's own and, where it is no experiment, those of the steps before it."""
    names = list(STEPS)
    building = names[: names.index(step) + 1] if "experiment" not in STEPS[step] else [step]
    return {name: value for one in building for name, value in STEPS[one].items()}


def run(step: str, seed: int, logs: Path) -> dict[str, float]:
    """Test accuracy, parameters and CPU seconds of a step."""
    if step == "views":
        return with_views(logs / f"runs/ema-{seed}")
    folder, cost = logs / f"runs/{step}-{seed}", logs / f"{step}-{seed}.cpu_seconds"
    if not (folder / run_dir.RESULTS).is_file():
        started = cpu_seconds()
        given = {**options_of(step), "trainer": "cpu", "seed": seed, "run_name": folder.name}
        command = [sys.executable, str(ROOT / "src/train.py"), *(f"{name}={value}" for name, value in given.items())]
        places = {"LIGHTLOOM_DATA_DIR": str(DATA), "LIGHTLOOM_LOG_DIR": str(logs)}
        environment = {**os.environ, **places, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        atomic_io.write_text(cost, str(cpu_seconds() - started))
    found = json.loads((folder / run_dir.RESULTS).read_text())
    return {
        "test/acc": found["test/acc"],
        "parameters": run_dir.starts(folder)[-1]["parameters"],
        "cpu_seconds": float(cost.read_text()),
    }


@torch.inference_mode()
def with_views(folder: Path) -> dict[str, float]:
    """What the trained network is right about when it sees each test image and its mirror."""
    started = now()
    trained, module = restore(folder / run_dir.CHECKPOINTS / run_dir.BEST, ())
    _, datamodule = build_data(trained)
    right = count = 0
    for batch in datamodule.eval_loader("test"):
        images, labels = datamodule.on_after_batch_transfer(batch, 0)
        predicted = mean_logits(module.eval(), images, STEPS["views"]["model.test_views"]).argmax(1)
        right, count = right + int((predicted == labels).sum()), count + len(labels)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return {"test/acc": right / count, "parameters": parameters, "cpu_seconds": since(started)[0]}


if __name__ == "__main__":
    main()
