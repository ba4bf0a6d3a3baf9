"""The bounds of a variational autoencoder against exact likelihoods and against a slow computation."""

import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch import distributions as d
from torch.utils.data import DataLoader

from lightloom.core.errors import UserError
from lightloom.losses import likelihoods
from lightloom.losses.likelihoods import Bernoulli, Gaussian, StaticBernoulli
from lightloom.modules import vae
from lightloom.modules.vae import VAE
from lightloom.networks.autoencoder import Decoder, Encoder
from lightloom.ops.rng import content_keys, normals

ADAM = partial(torch.optim.Adam, lr=1e-3)
SCALE = 0.3
PIXELS, LATENTS = 6, 2


class LinearDecoder(nn.Module):
    """W z + b; the columns of W are orthogonal, so the posterior of the latents is independent."""

    latent_dim = LATENTS

    def __init__(self) -> None:
        super().__init__()
        columns, _ = torch.linalg.qr(torch.randn(PIXELS, LATENTS, generator=torch.Generator().manual_seed(0)))
        self.weight = nn.Parameter(columns * torch.tensor([0.5, 0.2]))
        self.bias = nn.Parameter(torch.linspace(0.3, 0.7, PIXELS))

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weight.T + self.bias).view(-1, 1, 1, PIXELS)


class PosteriorEncoder(nn.Module):
    """The exact posterior of the linear decoder, its mean moved by `shift` and its log variance by `widen`."""

    def __init__(self, decoder: LinearDecoder, shift: float, widen: float) -> None:
        super().__init__()
        self.decoder, self.shift, self.widen = [decoder], shift, widen

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.decoder[0].weight, self.decoder[0].bias
        precision = 1 + weight.square().sum(0) / SCALE**2
        mu = (x.flatten(1) - bias) @ weight / SCALE**2 / precision
        return torch.cat([mu + self.shift, (self.widen - precision.log()).expand_as(mu)], dim=1)


def linear(shift: float = 0.0, widen: float = 0.0) -> VAE:
    decoder = LinearDecoder()
    return VAE(PosteriorEncoder(decoder, shift, widen), decoder, Gaussian(SCALE), ADAM)


def log_evidence(module: VAE, images: Tensor) -> Tensor:
    """Exact log p(x) of factor analysis: x ~ N(b, W W^T + scale^2 I)."""
    weight, bias = module.decoder.weight, module.decoder.bias
    covariance = weight @ weight.T + SCALE**2 * torch.eye(PIXELS)
    return d.MultivariateNormal(bias, covariance).log_prob(images.flatten(1))


def perceptron(likelihood=None, **options) -> VAE:
    torch.manual_seed(0)
    encoder, decoder = Encoder(1, 4, 6, hidden=[12]), Decoder(3, 1, 4, hidden=[12])
    return VAE(encoder, decoder, likelihood or Bernoulli(), ADAM, **options)


def images(count: int = 7, shape: tuple[int, ...] = (1, 4, 4), seed: int = 3) -> Tensor:
    """Multiples of 1/255, as data sets have them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=generator) / 255


@torch.no_grad()
def test_with_the_exact_posterior_every_weight_is_the_evidence():
    module, x = linear(), images(9, (1, 1, PIXELS))
    for samples in (1, 7):
        torch.testing.assert_close(module.bounds(x, samples)["iwae"], log_evidence(module, x), rtol=0, atol=1e-4)


@torch.no_grad()
def test_elbo_is_its_closed_form():
    """E log p(x|z) of a linear decoder has one; the mean of many draws is near it, the evidence is further."""
    module, x = linear(shift=0.3, widen=0.5), images(5, (1, 1, PIXELS))
    mu, log_var = module(x)
    spread = log_var.exp() @ module.decoder.weight.square().sum(0)
    squares = (module.decoder(mu) - x).flatten(1).square().sum(1) + spread
    likelihood = -PIXELS / 2 * math.log(2 * math.pi * SCALE**2) - squares / (2 * SCALE**2)
    closed = likelihood - d.kl_divergence(d.Normal(mu, (log_var / 2).exp()), d.Normal(0.0, 1.0)).sum(1)
    assert ((module.bounds(x, 5_000)["elbo"] - closed).abs() < 0.1).all()  # five standard errors
    assert (closed < log_evidence(module, x) - 0.3).all()


@torch.no_grad()
def test_importance_weights_tighten_the_bound_from_elbo_to_evidence():
    module, x = linear(shift=0.3, widen=0.5), images(3000, (1, 1, PIXELS))
    elbo, evidence = module.bounds(x, 100)["elbo"].mean(), log_evidence(module, x).mean()
    bounds = [module.bounds(x, samples)["iwae"].mean() for samples in (2, 8, 64)]
    assert elbo < bounds[0] < bounds[1] < bounds[2] < evidence
    assert evidence - bounds[2] < 0.1 * (evidence - elbo)


@pytest.mark.parametrize(
    "likelihood", [Bernoulli(), StaticBernoulli(), Gaussian(0.4)], ids=lambda one: type(one).__name__
)
@torch.no_grad()
def test_bounds_are_those_of_a_slow_computation(likelihood):
    """One image, one draw, one pixel at a time."""
    module, x, samples = perceptron(likelihood), images(), 3
    found = module.bounds(x, samples)
    eps = normals(content_keys(x, vae._LATENTS), samples * 3).view(-1, samples, 3)
    targets = likelihood.target(x, content_keys(x, likelihoods.PIXELS))
    for i, target in enumerate(targets):
        mu, log_var = module.encoder(target[None])[0].split(3)
        q, prior = d.Normal(mu, (log_var / 2).exp()), d.Normal(torch.zeros(3), torch.ones(3))
        found_p, weights = [], []
        for draw in eps[i]:
            z = mu + q.stddev * draw
            output = module.decoder(z[None])[0]
            p = d.Bernoulli(logits=output) if isinstance(likelihood, Bernoulli) else d.Normal(output, 0.4)
            found_p.append(sum(float(value) for value in p.log_prob(target).flatten()))
            weights.append(found_p[-1] + float((prior.log_prob(z) - q.log_prob(z)).sum()))
        kl, reconstruction = float(d.kl_divergence(q, prior).sum()), sum(found_p) / samples
        iwae = math.log(sum(math.exp(w) for w in weights) / samples)
        expected = {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl, "iwae": iwae}
        assert {name: float(value[i]) for name, value in found.items()} == pytest.approx(expected, abs=1e-4)


def slow_weights(module: VAE, x: Tensor, draws: Tensor) -> Tensor:
    """log p(x, z) / q(z|x) of each image and draw, (draws, B), by torch's distributions."""
    mu, log_var = module(x)
    q, prior = d.Normal(mu, (log_var / 2).exp()), d.Normal(0.0, 1.0)
    found = []
    for eps in draws:
        z = mu + q.stddev * eps
        likelihood = d.Bernoulli(logits=module.decoder(z)).log_prob(x).flatten(1).sum(1)
        found.append(likelihood + (prior.log_prob(z) - q.log_prob(z)).sum(1))
    return torch.stack(found)


def test_training_with_several_draws_descends_the_importance_weighted_bound():
    """The loss is -log of the mean weight (eq. 8); the gradient of it by a weight that no draw moves is eq. 14's."""
    module = perceptron(train_samples=4)
    x = (images() > 0.5).float()  # 0 and 1 stay what they are when they are binarised
    torch.manual_seed(5)
    loss = module.training_step((x, torch.zeros(7)), 0)
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    torch.manual_seed(5)
    torch.rand_like(x)
    weights = slow_weights(module, x, torch.randn(4 * 7, 3).view(4, 7, 3))
    torch.testing.assert_close(loss, -(weights.exp().mean(0)).log().mean())
    normalised = weights.detach().softmax(0)
    expected = torch.autograd.grad(-(normalised * weights).sum(0).mean(), list(module.parameters()))
    for a, b in zip(gradients, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_more_draws_in_training_tighten_the_bound():
    """L_1 <= L_2 <= L_8 <= log p(x) (Burda et al., theorem 1), the means of many images; no law for a single draw."""
    x = images(2000, (1, 1, PIXELS))
    torch.manual_seed(1)
    losses = []
    for samples in (1, 2, 8):
        module = linear(shift=0.3, widen=0.5)
        module.train_samples = samples
        losses.append(float(module.training_step((x, x), 0).detach()))
    assert losses[0] > losses[1] > losses[2] > float(-log_evidence(module, x).detach().mean())


def test_several_draws_have_no_beta():
    with pytest.raises(UserError, match=r"model\.beta is 2, .* set model\.beta=1 or model\.train_samples=1"):
        perceptron(beta=2.0, train_samples=5)


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_training_descends_minus_the_elbo(beta):
    """Loss and gradient of a step are those of the slow loop with the same draws."""
    module, x = perceptron(beta=beta), images()
    torch.manual_seed(5)
    loss = module.training_step((x, torch.zeros(7)), 0)
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    torch.manual_seed(5)
    targets, slow = (torch.rand_like(x) < x).float(), torch.zeros(())
    for target, eps in zip(targets, torch.randn(7, 3), strict=True):
        mu, log_var = module.encoder(target[None])[0].split(3)
        q = d.Normal(mu, (log_var / 2).exp())
        log_p = d.Bernoulli(logits=module.decoder((mu + q.stddev * eps)[None])[0]).log_prob(target).sum()
        slow = slow - (log_p - beta * d.kl_divergence(q, d.Normal(0.0, 1.0)).sum()) / 7
    torch.testing.assert_close(loss, slow)
    for found, expected in zip(gradients, torch.autograd.grad(slow, list(module.parameters())), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_figure_depends_neither_on_batches_nor_on_the_generator():
    module, x = perceptron(), images()
    together, again = module.bounds(x, 4), module.bounds(x, 4)
    parts = [module.bounds(part, 4) for part in (x[4:], x[:4])]
    for name, values in together.items():
        assert torch.equal(values, again[name])
        alone = torch.cat([parts[1][name], parts[0][name]])
        torch.testing.assert_close(values, alone, rtol=1e-5, atol=1e-5)


def reported(module: VAE, *parts: Tensor) -> dict[str, float]:
    """What a test of these batches reports."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet)
    batches = [(part, torch.zeros(len(part))) for part in parts]
    return dict(trainer.test(module, dataloaders=DataLoader(batches, batch_size=None), verbose=False)[0])


def test_a_test_reports_the_mean_over_images_of_uneven_batches():
    module, x = perceptron(iwae_samples=4), images()
    results = reported(module, x[:5], x[5:])
    with torch.no_grad():
        bounds = module.bounds(x, 4)
    bounds["iwae_4"] = bounds.pop("iwae")
    expected = {f"test/{name}": float(values.mean()) for name, values in bounds.items()}
    assert results == pytest.approx(expected, rel=1e-5)


def test_a_share_of_the_images_stands_for_all_in_the_bound_by_many_draws():
    """The mean over images is that of all of them up to the choice's noise, whatever the batches."""
    x, draws, share = images(900, seed=4), 2 * vae.FEW, 0.25
    few, all_of_them = (reported(perceptron(iwae_samples=n), x) for n in (vae.FEW, draws))
    part = reported(perceptron(iwae_samples=draws, iwae_share=share), x)
    with torch.no_grad():
        added = perceptron().bounds(x, draws)["iwae"] - perceptron().bounds(x, vae.FEW)["iwae"]
    noise = float(added.square().mean() * (1 - share) / share / len(x)) ** 0.5
    name = f"test/iwae_{draws}"
    assert 0 < abs(part[name] - all_of_them[name]) < 3 * noise
    assert part[name] != few[f"test/iwae_{vae.FEW}"]
    assert reported(perceptron(iwae_samples=draws, iwae_share=share), x[700:], x[:700]) == pytest.approx(part, abs=1e-4)
    assert reported(perceptron(iwae_samples=draws), x)[name] == pytest.approx(all_of_them[name], abs=1e-5)


@torch.no_grad()
def test_many_draws_are_as_many_independent_ones():
    draws = torch.stack(list(perceptron()._draws(images(), 2 * vae.FEW + 3)))
    assert draws.shape == (2 * vae.FEW + 3, 7, 3)
    assert len(draws.flatten().unique()) == draws.numel()
    assert torch.equal(draws[: vae.FEW], torch.stack(list(perceptron()._draws(images(), vae.FEW))))


@torch.no_grad()
def test_static_pixels_are_drawn_once_and_as_often_white_as_the_grey_values_say():
    static, x = StaticBernoulli(), images(400)
    drawn = static.target(x)
    assert torch.equal(drawn[5:9], static.target(x[5:9], torch.arange(4)))
    assert torch.equal(drawn, Bernoulli().target(x, content_keys(x, likelihoods.PIXELS)))
    assert abs(float((drawn - x).mean())) < 3 / drawn.numel() ** 0.5
    assert not torch.equal(Bernoulli().target(x), drawn)


@torch.no_grad()
def test_a_reconstruction_is_the_decoded_mean_of_the_posterior():
    module, x = linear(), images(5, (1, 1, PIXELS))
    weight, bias = module.decoder.weight, module.decoder.bias
    covariance = weight @ weight.T + SCALE**2 * torch.eye(PIXELS)
    gain = weight @ weight.T @ covariance.inverse()  # of the best linear estimate of W z from x
    expected = (bias + (x.flatten(1) - bias) @ gain.T).view_as(x)
    torch.testing.assert_close(module.reconstruct(x), expected.clamp(0, 1))


def test_an_encoder_that_gives_too_few_numbers_is_named():
    module = VAE(Encoder(1, 4, 3, hidden=[]), Decoder(3, 1, 4, hidden=[]), Bernoulli(), ADAM)
    with pytest.raises(UserError, match=r"model\.encoder\.outputs is 3, .*; set model\.encoder\.outputs=6\."):
        module(images())


def test_no_draws_give_no_bound():
    with pytest.raises(UserError, match=r"^iwae_samples is 0; expected at least 1"):
        perceptron(iwae_samples=0)
