"""A step of `python src/train.py model=biggan_small`, of both players, against a bare loop.

    python benchmarks/biggan.py [--epochs 5]

Ours is the command with all that it does by default while it trains, the generator's average among it. The bare loop
has the same networks, fused optimizers, losses, orthogonal regularisation, average and mean losses, and nothing else.
They take turns epoch by epoch in one process with one thread, on the same data; an epoch is twenty steps on batches of
32 images of 28 x 28 of Fashion-MNIST. Nothing is validated.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from throughput import Duel, find_data
from timing import ROOT, in_own_process, report
from torch import Tensor

STEPS = 20
OPTIONS = ["model=biggan_small", "data=fashion_mnist", "data.batch_size=32", "trainer=cpu", "test=false"]
OPTIONS += [f"trainer.limit_train_batches={STEPS}", "trainer.limit_val_batches=0"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5, help="of each, the first not counted")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data_dir, source = find_data("fashion_mnist", Path(scratch))
        options = [*OPTIONS, f"trainer.max_epochs={args.epochs}"]
        options += [f"paths.data_dir={data_dir}", f"paths.log_dir={scratch}/logs"]
        duel = f"+callbacks.duel={{_target_: biggan.BigGANDuel, path: {scratch}/duel.json}}"
        in_own_process([str(ROOT / "src/train.py"), *options, duel])
        result = json.loads((Path(scratch) / "duel.json").read_text())
    print(f"biggan_small on {source}, torch {torch.__version__}, lightning {pl.__version__}, 1 thread")
    report(result["images"], {"train.py": result["ours"], "bare loop": result["bare"]})


class BareSteps:
    """The hinge game of Brock et al. 2019 as one would write it by hand, for copies of the module's networks."""

    def __init__(self, module: Any, datamodule: Any, trainer: pl.Trainer) -> None:
        self.generator, self.discriminator = copy.deepcopy(module.generator), copy.deepcopy(module.discriminator)
        self.average = [p.detach().clone() for p in self.generator.parameters()]
        self.discriminator_optimizer = module.discriminator_optimizer(self.discriminator.parameters())
        self.generator_optimizer = module.generator_optimizer(self.generator.parameters())
        self.orthogonal, self.latent_dim = module.generator_penalty, module.latent_dim
        split, self.size = datamodule.split("train"), datamodule.batch_size
        self.images, self.labels = split.images, split.labels

    def epoch(self) -> None:
        discriminator_sum, generator_sum = torch.zeros(2).unbind()
        for indices in torch.randperm(len(self.images))[: STEPS * self.size].split(self.size):
            real = self.images.index_select(0, indices).float().mul_(2 / 255).sub_(1)
            labels = self.labels.index_select(0, indices)
            discriminator_sum.add_(self.discriminator_step(real, labels))
            generator_sum.add_(self.generator_step(labels))

    def discriminator_step(self, real: Tensor, labels: Tensor) -> Tensor:
        self.discriminator_optimizer.zero_grad()
        with torch.no_grad():
            fake = self.generator(torch.randn(len(real), self.latent_dim), labels)
        scores = self.discriminator(real, labels), self.discriminator(fake, labels)
        loss = (1 - scores[0]).relu().mean() + (1 + scores[1]).relu().mean()
        loss.backward()
        self.discriminator_optimizer.step()
        return loss.detach()

    def generator_step(self, labels: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)
        self.generator_optimizer.zero_grad()
        fake = self.generator(torch.randn(len(labels), self.latent_dim), labels)
        loss = self.orthogonal(self.generator) - self.discriminator(fake, labels).mean()
        loss.backward()
        self.generator_optimizer.step()
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            for average, weights in zip(self.average, self.generator.parameters(), strict=True):
                average.lerp_(weights, 0.001)
        return loss.detach()


class BigGANDuel(Duel):
    bare_loop = BareSteps


if __name__ == "__main__":
    main()
