"""Variational autoencoders: the evidence lower bound, and its tighter importance-weighted form.

Kingma & Welling 2014, Auto-Encoding Variational Bayes; Burda, Grosse & Salakhutdinov 2016, Importance Weighted
Autoencoders; beta: Higgins et al. 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

import pytorch_lightning as pl
import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, NotNegative, checked
from lightloom.losses.likelihoods import PIXELS, Likelihood, kl_divergence
from lightloom.modules.freezing import freezing
from lightloom.modules.latents import moments
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.training_means import TrainingMeans
from lightloom.ops.rng import content_keys, mix_tensor, normals, uniform
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

_LATENTS, _CHOSEN = 2, 4  # seeds of evaluation, the same for all models
FEW = 50  # draws of z that are made at once, and of an image that `iwae_share` leaves out


class VAE(pl.LightningModule):
    """q(z|x) = N(mu, diag(exp(log_var))) by the encoder, p(x|z) by the decoder and a likelihood, p(z) = N(0, I).

    encoder: x to (B, 2 latent_dim), mu and log_var. decoder: z (B, latent_dim) to what the likelihood takes.
    Everything is in nats per image: elbo = reconstruction - kl, where reconstruction = E log p(x|z). Evaluation draws
    its pixels and latents by the image's content, so a figure depends neither on batches nor on processes.
    beta: weight of the KL in training. train_samples: draws of z per image in training, which descends the bound of
    eq. 8 (Burda et al.), with one draw the evidence lower bound. iwae_samples: draws of z per image in a test, of which
    the share `iwae_share` of the images, chosen by their content, gets all; the others get 50, and what more draws add
    to the chosen ones' bound stands for them too, so that the mean over the images is estimated without bias.
    """

    better: ClassVar[dict[str, str]] = {"loss": "min", "elbo": "max", "iwae": "max"}

    @checked
    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        scheduler: Callable[..., Schedule] | None = None,
        beta: NotNegative = 1.0,
        iwae_samples: Count = 50,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
        train_samples: Count = 1,
        iwae_share: Annotated[float, Gt(0), Le(1)] = 1.0,
    ) -> None:
        super().__init__()
        if train_samples > 1 and beta != 1:
            raise UserError(
                f"model.beta is {beta:g}, but the bound of model.train_samples={train_samples} draws has no KL to "
                f"weigh; set model.beta=1 or model.train_samples=1."
            )
        self.train_samples = train_samples
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.optimizer, self.scheduler = optimizer, scheduler
        self.beta, self.iwae_samples, self.iwae_share = beta, iwae_samples, iwae_share
        self.latent_dim: int = decoder.latent_dim  # type: ignore[assignment]
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.means = TrainingMeans("loss", "reconstruction", "kl")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log_var of q(z|x), (B, latent_dim) each."""
        return moments(self.encoder(x), self.latent_dim)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), (B,)."""
        return self.likelihood.log_likelihood(self.decoder(z).float(), x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x = self.likelihood.target(batch[0])
        mu, log_var = self(x)
        if self.train_samples > 1:
            return self._importance_weighted(x, mu, log_var)
        z = mu + (log_var / 2).exp() * torch.randn_like(mu)
        reconstruction, kl = self.log_likelihood(x, z).mean(), kl_divergence(mu, log_var).mean()
        loss = self.beta * kl - reconstruction
        self.means.add(loss=loss, reconstruction=reconstruction, kl=kl)
        return loss

    def _importance_weighted(self, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
        """Minus the bound of eq. 8, a scalar; its gradient is that of eq. 14: each draw's, by its normalised weight."""
        mu, log_var = (value.repeat(self.train_samples, 1) for value in (mu, log_var))
        eps = torch.randn_like(mu)
        z = mu + (log_var / 2).exp() * eps
        likelihoods = self.log_likelihood(x.repeat(self.train_samples, *[1] * (x.ndim - 1)), z)
        weights = (likelihoods + log_ratio(eps, log_var, z)).view(self.train_samples, -1)
        loss = math.log(self.train_samples) - weights.logsumexp(0).mean()
        self.means.add(loss=loss, reconstruction=likelihoods.mean(), kl=kl_divergence(mu, log_var).mean())
        return loss

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]

    # --- what is made, and how it is judged

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        evaluated = [f"{stage}/{name}" for stage in ("val", "test") for name in ("elbo", "reconstruction", "kl")]
        return [*self.means.logged, *evaluated, f"test/iwae_{self.iwae_samples}"]

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1], expected pixel by pixel, for latents z (B, latent_dim)."""
        return self.likelihood.mean(self.decoder(z).float())

    def features(self, images: Tensor) -> Tensor:
        """The posterior's mean, (B, latent_dim)."""
        return self(images)[0]

    def reconstruct(self, images: Tensor) -> Tensor:
        """The decoded posterior mean, in [0, 1]."""
        return self.decode(self.features(images))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._log("val", len(batch[0]), self.bounds(batch[0], samples=1))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        spares = self.iwae_share < 1 and self.iwae_samples > FEW
        bounds = self.bounds(batch[0], FEW if spares else self.iwae_samples)
        if spares:
            bounds["iwae"] = self._by_all_draws(batch[0], bounds["iwae"])
        self._log("test", len(batch[0]), {**bounds, f"iwae_{self.iwae_samples}": bounds["iwae"]})

    def bounds(self, images: Tensor, samples: int) -> dict[str, Tensor]:
        """elbo, reconstruction, kl, and iwae, the bound of eq. 8 (Burda et al.); (B,) each, a function of the image.

        All are of the same draws of z, so that with many of them elbo <= iwae <= log p(x) up to the draws' noise.
        """
        x = self.likelihood.target(images, content_keys(images, PIXELS))
        mu, log_var = self(x)
        likelihoods, weights = [], []
        for eps in self._draws(images, samples):  # no more images at once than an ordinary batch has
            z = mu + (log_var / 2).exp() * eps
            likelihoods.append(self.log_likelihood(x, z))
            weights.append(likelihoods[-1] + log_ratio(eps, log_var, z))
        reconstruction, kl = torch.stack(likelihoods).mean(0), kl_divergence(mu, log_var)
        iwae = torch.stack(weights).logsumexp(0) - math.log(samples)
        return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl, "iwae": iwae}

    def _draws(self, images: Tensor, samples: int) -> Iterator[Tensor]:
        """So many times eps ~ N(0, I), (B, latent_dim), that the images' content decides."""
        keys = content_keys(images, _LATENTS)
        for first in range(0, samples, FEW):
            count = min(FEW, samples - first)
            values = normals(mix_tensor(first, keys) if first else keys, count * self.latent_dim)
            yield from values.view(-1, count, self.latent_dim).unbind(1)

    def _by_all_draws(self, images: Tensor, iwae: Tensor) -> Tensor:
        """The bound by a few draws, (B,), and for the chosen images what all draws add to it, divided by their share.

        Horvitz & Thompson 1952: the mean over images is that of the bounds by all draws, up to the choice's noise.
        """
        chosen = uniform(content_keys(images, _CHOSEN), 0) < self.iwae_share
        added = torch.zeros_like(iwae)
        if chosen.any():
            added[chosen] = self.bounds(images[chosen], self.iwae_samples)["iwae"] - iwae[chosen]
        return iwae + added / self.iwae_share

    def _log(self, stage: str, count: int, bounds: dict[str, Tensor]) -> None:
        means = {name: bounds[name[len(stage) + 1 :]].mean() for name in self.logged if name.startswith(f"{stage}/")}
        self.log_dict(means, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)


def log_ratio(eps: Tensor, log_var: Tensor, z: Tensor) -> Tensor:
    """log p(z) / q(z|x), (B,), of draws z = mu + exp(log_var / 2) eps, all (B, latent_dim)."""
    return (eps.square() + log_var - z.square()).sum(1) / 2
