"""What the live bar costs: python benchmarks/console.py [pairs].

The same epochs of a small network with the bar and without, in turns in one process; the bar is drawn as in a terminal,
into nothing. CPU time of an epoch, so that waiting is not counted; a small network, so that its steps are short and the
bar's share is as large as it gets.
"""

from __future__ import annotations

import io
import statistics
import sys
import time

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightlab.callbacks.console import Console

STEPS, IMAGES = 400, 32  # of an epoch, of a batch: LeNet-sized steps of some milliseconds


class Terminal(io.StringIO):
    """Takes what a terminal would show, and keeps none of it."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


class Small(pl.LightningModule):
    """Some milliseconds a step."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 24 * 24, 10))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def seconds(with_bar: bool, module: Small, loader: DataLoader) -> float:
    """CPU time of one epoch."""
    real = sys.stderr
    sys.stderr = Terminal() if with_bar else io.StringIO()
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    try:
        trainer = pl.Trainer(accelerator="cpu", max_epochs=1, callbacks=[Console()], **quiet)  # type: ignore[arg-type]
        started = time.process_time()
        trainer.fit(module, loader)
        return time.process_time() - started
    finally:
        sys.stderr = real


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    data = TensorDataset(torch.rand(STEPS * IMAGES, 1, 28, 28), torch.randint(10, (STEPS * IMAGES,)))
    module, loader = Small(), DataLoader(data, IMAGES)
    seconds(True, module, loader), seconds(False, module, loader)
    ratios, steps = [], []
    for i in range(pairs):
        order = (True, False) if i % 2 else (False, True)
        took = {with_bar: seconds(with_bar, module, loader) for with_bar in order}
        ratios.append(took[True] / took[False])
        steps.append(1000 * took[False] / STEPS)
    low, middle, high = (100 * (q - 1) for q in statistics.quantiles(ratios, n=4))
    print(f"a step without the bar: {statistics.median(steps):.2f} ms of CPU time")
    print(f"with it: {middle:+.2f} % (quartiles {low:+.2f} to {high:+.2f} %, n = {pairs} pairs of {STEPS} steps)")


if __name__ == "__main__":
    import logging

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    main()
