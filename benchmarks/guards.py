"""What the guards cost: training steps of LeNet with the finite guard and the signals' callback, and without.

    python benchmarks/guards.py [--blocks 60]

One run of `python src/train.py`, all that it does by default, whose epochs have both callbacks and have neither in
turn, so that a machine whose speed drifts slows both alike. The ratio is of neighbouring epochs, in steps per second of
CPU time and of wall time. The preflight, before step 1, is not in it; its seconds are in the run's log.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import pytorch_lightning as pl
import torch
from throughput import ROOT, find_data, in_own_process, now, since

from lightloom.callbacks.run.nan_guard import NaNGuard
from lightloom.callbacks.run.preemption import Preemption

STEPS = 60  # of 128 images, an epoch


class Turns(pl.Callback):
    """Takes the guards away for every other epoch; writes down what each epoch's training cost."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.guarded: list[list[tuple[float, float]]] = [[], []]

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        guards = [c for c in trainer.callbacks if isinstance(c, NaNGuard | Preemption)]
        self.guards = guards or self.guards
        others = [c for c in trainer.callbacks if c not in guards]
        trainer.callbacks = [*others, *self.guards] if trainer.current_epoch % 2 else others
        self.started = now()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        if trainer.fit_loop.epoch_loop.batch_idx == STEPS - 1:
            self.guarded[trainer.current_epoch % 2].append(since(self.started))

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.path.write_text(json.dumps(self.guarded))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=60, help="pairs of epochs, the first of which is left out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        data_dir, source = find_data("fashion_mnist", scratch)
        options = ["model=lenet", "data=fashion_mnist", "trainer=cpu", "test=false", "data.batch_size=128"]
        options += [f"trainer.max_epochs={2 * args.blocks}", f"trainer.limit_train_batches={STEPS}"]
        options += ["trainer.limit_val_batches=1", f"paths.data_dir={data_dir}", f"paths.log_dir={scratch}/logs"]
        turns = "+callbacks.turns={_target_: guards.Turns, path: " + str(scratch / "turns.json") + "}"
        in_own_process([str(ROOT / "src/train.py"), *options, turns])
        bare, guarded = json.loads((scratch / "turns.json").read_text())
        (log,) = scratch.glob("logs/runs/*/*/run.log")
        preflight = log.read_text().rpartition("preflight: ")[2].partition("\n")[0]
    print(f"lenet on {source}, batches of 128, torch {torch.__version__}, 1 thread, {STEPS} steps an epoch")
    for column, unit in enumerate(("CPU s", "s")):
        ratios = [b[column] / g[column] for b, g in zip(bare[1:], guarded[1:], strict=True)]
        extra = [1000 * (g[column] - b[column]) / STEPS for b, g in zip(bare[1:], guarded[1:], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"  ratio {middle:.3f}  steps per {unit} with / without, n={len(ratios)} pairs of epochs, quartiles "
            f"[{low:.3f} .. {high:.3f}]; {statistics.median(extra):+.3f} ms a step"
        )
    print(f"  preflight: {preflight}")


if __name__ == "__main__":
    main()
