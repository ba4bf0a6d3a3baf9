"""The bound that a VAE's test reports against a slow, independent computation, image by image and pixel by pixel.

    python benchmarks/elbo.py <checkpoint or run folder> [--images 300] [--draws 200]

Only the networks' forward passes are shared. Images are binarised anew, by other random numbers, and averaged over;
densities are torch.distributions', the KL is estimated by sampling as well as in closed form. Prints both figures and
their difference in nats per image, with the standard error of the slow one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.distributions import Bernoulli, Normal

from lightloom.config.instantiate import build
from lightloom.core import run_dir
from lightloom.core.environment import variable
from lightloom.engine import checkpoint
from lightloom.modules.vae import VAE

ROOT = Path(__file__).parents[1]


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--draws", type=int, default=200)
    args = parser.parse_args()
    logs = Path(variable("LIGHTLOOM_LOG_DIR") or ROOT / "logs")
    cfg, module = checkpoint.restore(run_dir.find_checkpoint(args.checkpoint, logs, prefer="best"))
    assert isinstance(module, VAE)
    datamodule = build(cfg.data, "data")
    images = datamodule.split("test").images[: args.images].float() / 255
    print(f"{cfg.run_name}, {len(images)} test images, {args.draws} draws each")
    slow = torch.stack([by_hand(module, image, args.draws) for image in images]).double()
    elbo, sampled = slow.mean(0)
    error = slow.std(0)[0] / len(images) ** 0.5
    ours = reported(module, images)
    print(f"  ELBO {ours:.2f} as tested, {elbo:.2f} by hand (KL by sampling: {sampled:.2f}), in nats per image")
    print(f"  difference {ours - elbo:+.3f} nats; the images alone vary by a standard error of {error:.2f}")


def by_hand(module: VAE, image: torch.Tensor, draws: int) -> torch.Tensor:
    """(2,): the bound with the KL in closed form, and with log q - log p of the draws. image: (C, H, W)."""
    totals = []
    for x in Bernoulli(image).sample((8,)):  # as many binarisations as a test of eight epochs would see
        mu, log_var = module(x[None])
        posterior, prior = Normal(mu[0], (log_var[0] / 2).exp()), Normal(0.0, 1.0)
        z = posterior.sample((draws // 8,))
        pixels = Bernoulli(logits=module.decoder(z)).log_prob(x.expand(len(z), *x.shape))
        likelihood = sum(pixels.flatten(1).unbind(1)).mean()
        closed = torch.distributions.kl_divergence(posterior, Normal(torch.zeros_like(mu[0]), 1.0)).sum()
        sampled = (posterior.log_prob(z) - prior.log_prob(z)).sum(1).mean()
        totals.append(torch.stack([likelihood - closed, likelihood - sampled]))
    return torch.stack(totals).mean(0)


def reported(module: VAE, images: torch.Tensor) -> float:
    """What `test/elbo` would be for these images."""
    seen: dict[str, float] = {}
    module.log_dict = lambda figures, **_: seen.update(figures)  # type: ignore[method-assign, assignment]
    module.test_step((images, torch.zeros(len(images))), 0)
    return float(seen["test/elbo"])


if __name__ == "__main__":
    main()
