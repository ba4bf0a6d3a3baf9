"""What the live bar costs of a step: python benchmarks/console.py [epochs].

A small network is trained as in a terminal that shows nothing. The CPU time that the console's hook takes, of all that
the epoch takes; with the bar, and without a terminal. Steps are some milliseconds, so the share is as large as it gets.
"""

from __future__ import annotations

import io
import logging
import statistics
import sys
import time
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightloom.callbacks.run.console import Console

STEPS, IMAGES = 400, 32  # of an epoch, of a batch


class Terminal(io.StringIO):
    """Takes what a terminal would show, and keeps none of it."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


class Timed(Console):
    """Adds up the CPU time of its hook in a step."""

    seconds = 0.0

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        started = time.thread_time()
        super().on_train_batch_end(*args, **kwargs)
        self.seconds += time.thread_time() - started


class Small(pl.LightningModule):
    """Some milliseconds a step."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 24 * 24, 10))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def share(with_bar: bool, module: Small, loader: DataLoader) -> tuple[float, float]:
    """Of one epoch: the console's share of the CPU time, in per cent, and milliseconds of a step."""
    real, console = sys.stderr, Timed()
    sys.stderr = Terminal() if with_bar else io.StringIO()
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    try:
        trainer = pl.Trainer(accelerator="cpu", max_epochs=1, callbacks=[console], **quiet)  # type: ignore[arg-type]
        started = time.thread_time()
        trainer.fit(module, loader)
        seconds = time.thread_time() - started
    finally:
        sys.stderr = real
    return 100 * console.seconds / seconds, 1000 * seconds / STEPS


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    data = TensorDataset(torch.rand(STEPS * IMAGES, 1, 28, 28), torch.randint(10, (STEPS * IMAGES,)))
    module, loader = Small(), DataLoader(data, IMAGES)
    measured: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for _ in range(epochs):
        for with_bar, found in measured.items():
            found.append(share(with_bar, module, loader))
    for with_bar, found in measured.items():
        low, middle, high = statistics.quantiles([s for s, _ in found], n=4)
        step = statistics.median(ms for _, ms in found)
        print(
            f"{'with the bar' if with_bar else 'without a terminal':<18} {middle:.3f} % of a step of {step:.2f} ms "
            f"(quartiles {low:.3f} to {high:.3f} %, n = {epochs} epochs of {STEPS} steps)"
        )


if __name__ == "__main__":
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    main()
