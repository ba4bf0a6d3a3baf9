"""A WGAN-GP cycle of `python src/train.py` against a bare loop: five critic steps and one generator step.

    python benchmarks/wgan_gp.py [--epochs 9] [--precision 32-true bf16-mixed] [--width 32 64]

Ours is the command with all that it does by default while it trains. The bare loop has the same networks, fused
optimizers, losses and mean losses, and nothing else; in bfloat16 there is one in float32 too. They take turns epoch by
epoch in one process with one thread, on the same data; an epoch is forty cycles on batches of 64 images of 28 x 28, a
quarter of Fashion-MNIST. Nothing is validated. width: channels next to the image, 32 in model=wgan_gp and 64 in the
paper (Radford et al. 2016).
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from throughput import Duel, find_data
from timing import ROOT, in_own_process, report
from torch import Tensor

CYCLES = 40
OPTIONS = ["model=wgan_gp", "data=fashion_mnist", "data.batch_size=64", "trainer=cpu", "test=false"]
OPTIONS += [f"trainer.limit_train_batches={5 * CYCLES}", "trainer.limit_val_batches=0"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=9, help="of each, the first not counted")
    parser.add_argument("--precision", nargs="+", default=["32-true", "bf16-mixed"])
    parser.add_argument("--width", nargs="+", type=int, default=[32, 64])
    args = parser.parse_args()
    for width, precision in itertools.product(args.width, args.precision):
        with tempfile.TemporaryDirectory() as scratch:
            compare(precision, width, args.epochs, Path(scratch))


def compare(precision: str, width: int, epochs: int, scratch: Path) -> None:
    data_dir, source = find_data("fashion_mnist", scratch)
    options = [*OPTIONS, f"trainer.precision={precision}", f"trainer.max_epochs={epochs}"]
    options += [f"model.{player}.width={width}" for player in ("generator", "discriminator")]
    options += [f"paths.data_dir={data_dir}", f"paths.log_dir={scratch}/logs"]
    kind = "HalfDuel" if precision == "bf16-mixed" else "AdversarialDuel"
    duel = f"+callbacks.duel={{_target_: wgan_gp.{kind}, path: {scratch}/duel.json}}"
    in_own_process([str(ROOT / "src/train.py"), *options, duel])
    result = json.loads((scratch / "duel.json").read_text())
    what = f"wgan_gp of width {width} on {source}, {precision}"
    print(f"{what}, torch {torch.__version__}, lightning {pl.__version__}, 1 thread")
    report(result["images"], {"train.py": result["ours"], "bare loop": result["bare"], **result["peers"]})


class BareCycles:
    """Algorithm 1 of Gulrajani et al. 2017 as one would write it by hand, for copies of the module's networks."""

    def __init__(self, module: Any, datamodule: Any, trainer: pl.Trainer) -> None:
        self.generator, self.critic = copy.deepcopy(module.generator), copy.deepcopy(module.discriminator)
        self.critic_optimizer = module.discriminator_optimizer(self.critic.parameters())
        self.generator_optimizer = module.generator_optimizer(self.generator.parameters())
        self.images, self.size, self.latent_dim = datamodule.split("train").images, datamodule.batch_size, 64
        self.bf16 = trainer.precision == "bf16-mixed"

    def epoch(self) -> None:
        critic_sum, generator_sum = torch.zeros(2).unbind()
        for i, indices in enumerate(torch.randperm(len(self.images))[: 5 * CYCLES * self.size].split(self.size), 1):
            real = self.images.index_select(0, indices).float().mul_(2 / 255).sub_(1)
            self.critic_optimizer.zero_grad()
            loss = self.critic_loss(real)
            loss.backward()
            self.critic_optimizer.step()
            critic_sum.add_(loss.detach())
            if i % 5 == 0:
                self.critic.requires_grad_(False)
                self.generator_optimizer.zero_grad()
                with self.autocast():
                    loss = -self.critic(self.generator(self.noise())).mean()
                loss.backward()
                self.generator_optimizer.step()
                self.critic.requires_grad_(True)
                generator_sum.add_(loss.detach())

    def critic_loss(self, real: Tensor) -> Tensor:
        with self.autocast():
            with torch.no_grad():
                fake = self.generator(self.noise())
            eps = torch.rand(self.size, 1, 1, 1)
            between = (eps * real + (1 - eps) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
            penalty = 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
            return self.critic(fake).mean() - self.critic(real).mean() + penalty

    def noise(self) -> Tensor:
        return torch.randn(self.size, self.latent_dim)

    def autocast(self) -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16)


class FullPrecision(BareCycles):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.bf16 = False


class AdversarialDuel(Duel):
    bare_loop = BareCycles


class HalfDuel(AdversarialDuel):
    peers = {"bare loop in float32": FullPrecision}  # noqa: RUF012


if __name__ == "__main__":
    main()
