"""Fine-tuning by experiment=finetune against a logistic regression on the same weights, frozen, and the same pixels.

    python benchmarks/finetune.py [--data cifar10_small bccd_crops] [--seeds 3] [--size 64] [--set key=value ...]

The network is EfficientNet-lite0 with its ImageNet weights, the file in $LIGHTLOOM_DATA_DIR/weights. bccd_crops are the
boxes of BCCD as squares, 300 a class at most for training and 100 for the test, on photographs that are not shared.
Each run is `python src/train.py experiment=finetune ...`, a process of its own with one thread. The regression is
scikit-learn's on the pooled features of the images that the run trains on, without augmentation, with the strength that
is best on the run's validation images. Seconds are of CPU time, for the machine is shared: of the whole command, and of
reading, features and regression for all strengths.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from time_to_accuracy import cpu_seconds

from lightloom.config.compose import compose, without_hydra
from lightloom.core.environment import variable
from lightloom.data.boxes.voc import Voc
from lightloom.engine import train
from lightloom.modules.preprocessing import settle_preprocessing

ROOT = Path(__file__).parents[1]
DATA = Path(variable("LIGHTLOOM_DATA_DIR") or ROOT / "data")
WEIGHTS = DATA / "weights/tf_efficientnet_lite0_timm.pth"
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["cifar10_small", "bccd_crops"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--train-images", type=int, default=10**6, help="of each class of a data set, at most")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="options of every run")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, {' '.join(sys.argv[1:])}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.data:
            root = Path(scratch) / name
            crops(root) if name == "bccd_crops" else some_of(DATA / name, root, args.train_images)
            compare(name, options(root, args), args.seeds)


def some_of(source: Path, folder: Path, most: int) -> None:
    """Links to the first images of each class for training, and to all for the test."""
    for part, count in (("train", most), ("test", None)):
        for label in sorted(path for path in (source / part).iterdir() if path.is_dir()):
            (folder / part / label.name).mkdir(parents=True)
            for path in sorted(label.iterdir())[:count]:
                (folder / part / label.name / path.name).symlink_to(path)


def options(root: Path, args: argparse.Namespace) -> list[str]:
    own = [f"data.root={root}", f"data.image_size={args.size}", "data.crop=1.0", "data.num_workers=0", "trainer=cpu"]
    memory = ["data.reader.in_memory=true", f"model.network.checkpoint={WEIGHTS}"]
    return ["experiment=finetune", *own, *memory, *args.set]


def compare(name: str, command: list[str], seeds: int) -> None:
    rows: dict[str, list[Figures]] = {"experiment=finetune": [], "frozen + logistic regression": []}
    for seed in range(seeds):
        for way, figures in zip(rows, (finetuned, frozen), strict=True):
            rows[way].append(figures([*command, f"seed={seed}"]))
            print(f"    {name} seed {seed} {way}: {json.dumps(rows[way][-1])}", flush=True)
    print(f"\n{name}\n\n| way | {' | '.join(rows['experiment=finetune'][0])} |\n| --- |{' --- |' * 4}")
    for way, found in rows.items():
        print(f"| {way} | {' | '.join(summary([run[figure] for run in found]) for figure in found[0])} |")
    (first, second) = (statistics.mean(run["CPU s"] for run in found) for found in rows.values())
    print(f"\nratio of CPU seconds: {first / second:.1f}\n", flush=True)


def summary(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def finetuned(command: list[str]) -> Figures:
    before = cpu_seconds()
    with tempfile.TemporaryDirectory() as logs:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        line = [sys.executable, str(ROOT / "src/train.py"), *command, f"paths.log_dir={logs}"]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        (path,) = Path(logs).rglob("results.json")
        found = json.loads(path.read_text())
    return {
        "test accuracy": found["test/acc"],
        "macro recall": found.get("test/recall_macro", float("nan")),
        "test loss": found["test/loss"],
        "CPU s": cpu_seconds() - before,
    }


def frozen(command: list[str]) -> Figures:
    started = time.process_time()
    cfg = without_hydra(compose("train", command))
    settle_preprocessing(cfg.model, cfg.data)
    cfg, datamodule = train.build_data(cfg)
    module = train.build_module(cfg).eval()
    x, y = {}, {}
    for split in ("train", "val", "test"):
        x[split], y[split] = features(module, datamodule, split)
    fits = [LogisticRegression(C=c, max_iter=500).fit(x["train"], y["train"]) for c in STRENGTHS]
    best = min(fits, key=lambda fit: log_loss(y["val"], fit.predict_proba(x["val"])))
    predicted = best.predict(x["test"])
    return {
        "test accuracy": float((predicted == y["test"]).mean()),
        "macro recall": float(balanced_accuracy_score(y["test"], predicted)),
        "test loss": float(log_loss(y["test"], best.predict_proba(x["test"]))),
        "CPU s": time.process_time() - started,
    }


@torch.inference_mode()
def features(module: Any, datamodule: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pooled features (N, 1280) and labels (N,)."""
    network, found, labels = module.network, [], []
    for batch in datamodule.eval_loader(split):
        images, truth = datamodule.on_after_batch_transfer(batch, 0)
        maps = network.forward_features((images - module.mean) / module.std)
        found.append(network.forward_head(maps, pre_logits=True))
        labels.append(truth)
    return torch.cat(found).numpy(), torch.cat(labels).numpy()


def crops(folder: Path) -> None:
    """The boxes of BCCD as squares with a margin, in class folders."""
    reader = Voc(DATA / "bccd", channels=3, inclusive=False)
    for part, splits, most in (("train", ("train", "val"), 300), ("test", ("test",), 100)):
        counts: dict[int, int] = {}
        for known in (a for split in splits for a in reader.read(split).annotations):
            with Image.open(known.path) as photograph:
                for box, label in zip(known.boxes.tolist(), known.labels.tolist(), strict=True):
                    counts[label] = number = counts.get(label, 0) + 1
                    if number <= most:
                        target = folder / part / reader.classes[label - 1] / f"{number}.png"
                        target.parent.mkdir(parents=True, exist_ok=True)
                        cut(photograph.convert("RGB"), box).save(target)


def cut(photograph: Image.Image, box: list[float]) -> Image.Image:
    """A square around a box, a tenth larger than its longer side, 96 pixels."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = 0.55 * max(box[2] - box[0], box[3] - box[1], 8)
    return photograph.crop((round(x - half), round(y - half), round(x + half), round(y + half))).resize((96, 96))


if __name__ == "__main__":
    main()
