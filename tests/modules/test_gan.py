"""The adversarial loop: who moves when, what stays still, what is counted; and that it goes on exactly."""

from __future__ import annotations

import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from resumable import Noise, differences
from seeds import seed
from torch import Tensor, nn

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.callbacks.run.ema import WeightAverage
from lightloom.callbacks.run.rng import KeyedRandomness
from lightloom.callbacks.samples.generator_average import GeneratorAverage
from lightloom.core.errors import UserError
from lightloom.data.images.augment import Augment
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.engine import checkpoint
from lightloom.losses.adversarial import Hinge, NonSaturating, Wasserstein
from lightloom.losses.lipschitz import R1, GradientPenalty, WeightClipping
from lightloom.losses.orthogonal import OrthogonalRegularization
from lightloom.modules.acgan import ACGAN
from lightloom.modules.bigan import BiGAN
from lightloom.modules.bigbigan import BigBiGAN
from lightloom.modules.conditional_gan import ConditionalGAN
from lightloom.modules.gan import GAN
from lightloom.modules.standing_statistics import BATCH, measure_norms
from lightloom.modules.vae_gan import VAEGAN
from lightloom.networks.biggan import Projection
from lightloom.networks.class_embedding import ClassEmbedding
from lightloom.networks.diff_augment import DiffAugment
from lightloom.networks.spectral_norm import normalize
from lightloom.ops.rng import latents

adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.9))
rmsprop = partial(torch.optim.RMSprop, lr=1e-3)


class Generator(nn.Sequential):
    """z (B, 4) to (B, 1, 8, 8)."""

    latent_dim = 4

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 64), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z).view(-1, 1, 8, 8)


class Discriminator(nn.Module):
    def __init__(self, outputs: int = 1, inputs: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 16), nn.LeakyReLU(0.2), nn.Dropout(0.1))
        self.head = nn.Linear(16, outputs)

    def features(self, images: Tensor) -> Tensor:
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images)).squeeze(1)


class Joint(Discriminator):
    def __init__(self) -> None:
        super().__init__(inputs=68)

    def forward(self, images: Tensor, z: Tensor) -> Tensor:
        return super().forward(torch.cat([images.flatten(1), z], dim=1))


class OfClass(Generator):
    """z (B, 4) and labels (B,) to (B, 1, 8, 8), under spectral norm and with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        normalize(self)
        self.embedding = ClassEmbedding(3, 4)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return Generator.forward(self, z + self.embedding(labels))

    def __iter__(self):
        return (part for part in super().__iter__() if part is not self.embedding)


class Projected(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.projection = Projection(16, 3)
        normalize(self)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.projection(self.body(images), labels)


def conditional(**options: Any) -> ConditionalGAN:
    defaults = {"loss": Hinge(), "generator_optimizer": adam, "discriminator_optimizer": adam, "n_critic": 2}
    return ConditionalGAN(OfClass(), Projected(), **{**defaults, **options})


class SaysTheClass(Discriminator):
    """Images to a score and the logits of three classes."""

    def __init__(self) -> None:
        super().__init__(outputs=4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = super().forward(images)
        return outputs[:, 0], outputs[:, 1:]


def acgan(**options: Any) -> ACGAN:
    defaults = {"loss": NonSaturating(), "generator_optimizer": adam, "discriminator_optimizer": adam, "n_critic": 2}
    return ACGAN(OfClass(), SaysTheClass(), **{**defaults, **options})


def gan(**options: Any) -> GAN:
    defaults = {"loss": Hinge(), "generator_optimizer": adam, "discriminator_optimizer": adam, "n_critic": 5}
    return GAN(Generator(), Discriminator(), **{**defaults, **options})


def bigan(**options: Any) -> BiGAN:
    defaults = {"loss": NonSaturating(), "generator_optimizer": adam, "discriminator_optimizer": adam, "n_critic": 2}
    return BiGAN(Generator(), Discriminator(4), Joint(), **{**defaults, **options})


class ThreeScores(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.latent, self.pair = nn.Linear(64, 1), nn.Linear(4, 1), nn.Linear(68, 1)

    def forward(self, images: Tensor, z: Tensor) -> Tensor:
        x = images.flatten(1)
        return torch.cat([self.image(x), self.latent(z), self.pair(torch.cat([x, z], dim=1))], dim=1)


def bigbigan(**options: Any) -> BigBiGAN:
    defaults = {"loss": Hinge(), "generator_optimizer": adam, "discriminator_optimizer": adam, "n_critic": 2}
    return BigBiGAN(Generator(), Discriminator(8), ThreeScores(), **{**defaults, **options})


def vae_gan(**options: Any) -> VAEGAN:
    optimizers = {f"{player}_optimizer": rmsprop for player in ("encoder", "decoder", "discriminator")}
    return VAEGAN(Discriminator(8), Generator(), Discriminator(), **{**optimizers, **options})


class KeepEveryBatch(pl.callbacks.Checkpoint):
    """A checkpoint after each batch but an epoch's last: inside the discriminator's k steps, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        total = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        if not trainer.fit_loop.epoch_loop._num_ready_batches_reached():
            trainer.save_checkpoint(self.folder / f"batch-{total:02d}.ckpt")


def fit(module: pl.LightningModule, folder: Path, resume: Path | None = None, workers: int = 0, **options: Any):
    """Three epochs of seven batches, 21 steps of the discriminator."""
    callbacks, plugins = options.pop("callbacks", []), options.pop("plugins", [])
    module.save_hyperparameters({"model": {}, "data": {}})
    facts = {"name": "noise", "kind": "image", "num_classes": 3, "classes": None, "channels": 1, "image_size": 8}
    loading = {"batch_size": 8, "eval_batch_size": 4, "augment": Augment(flip=True), "num_workers": workers}
    datamodule = ImageDataModule(reader=Noise(), **facts, mean=[0.5], std=[0.25], **loading)
    trainer = pl.Trainer(
        **{"max_epochs": 3, **options},
        accelerator="cpu",
        callbacks=[KeyedRandomness(0), *callbacks],
        logger=False,
        plugins=[checkpoint.SafeCheckpointIO(), *plugins],
        default_root_dir=str(folder),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
    )
    trainer.fit(module, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    return trainer


def state(trainer: pl.Trainer) -> dict[str, Any]:
    return {
        "weights": dict(trainer.lightning_module.state_dict()),
        "optimizers": [o.state_dict() for o in trainer.optimizers],
        "averages": [c._average_model.state_dict() for c in trainer.callbacks if isinstance(c, WeightAverage)],
        "means": {k: v for k, v in trainer.callback_metrics.items() if k.startswith("train/")},
        "steps": trainer.global_step,
        "epoch": trainer.current_epoch,
    }


def seeded(make, **options: Any):
    pl.seed_everything(seed(), verbose=False)
    return make(**options)


# --- the loop


class Watch(pl.Callback):
    """Notes each optimizer's steps, and the weights before and after them."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.idle_moved: list[str] = []
        self.mover_still: list[int] = []

    def on_train_start(self, trainer, module) -> None:
        for i, optimizer in enumerate(trainer.optimizers):
            optimizer.register_step_pre_hook(partial(self._before, i, trainer.optimizers))
            optimizer.register_step_post_hook(partial(self._after, i, trainer.optimizers))

    @staticmethod
    def _weights(optimizers) -> list[list[Tensor]]:
        return [[p.detach().clone() for g in o.param_groups for p in g["params"]] for o in optimizers]

    def _before(self, i, optimizers, *_) -> None:
        self.before = self._weights(optimizers)

    def _after(self, i, optimizers, *_) -> None:
        self.steps.append(i)
        for j, (old, new) in enumerate(zip(self.before, self._weights(optimizers), strict=True)):
            same = all(torch.equal(a, b) for a, b in zip(old, new, strict=True))
            if j != i and not same:
                self.idle_moved.append(f"{j} at step {len(self.steps)} of {i}")
            if j == i and same:
                self.mover_still.append(i)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_k_discriminator_steps_then_one_of_the_generator_over_the_ends_of_epochs(tmp_path, k):
    """Algorithm 1, although 7 batches of an epoch are no multiple of k; global_step counts the generator's."""
    watch = Watch()
    trainer = fit(seeded(gan, n_critic=k), tmp_path, callbacks=[watch])
    assert watch.steps == ([0] * k + [1]) * (21 // k) + [0] * (21 % k)
    assert trainer.global_step == 21 // k


@pytest.mark.parametrize("make", [gan, acgan, bigan, bigbigan, vae_gan])
def test_the_idle_players_weights_stay_and_the_movers_move(tmp_path, make):
    watch = Watch()
    trainer = fit(seeded(make), tmp_path, callbacks=[watch])
    assert not watch.idle_moved
    assert not watch.mover_still
    assert set(watch.steps) == set(range(len(trainer.optimizers)))
    assert all(p.requires_grad for p in trainer.lightning_module.parameters())


def test_the_generators_statistics_are_all_that_a_critic_step_changes(tmp_path):
    """Fakes for the critic come without a graph: nothing of the critic's loss reaches the generator's gradients."""

    class StopEarly(pl.Callback):
        def on_train_epoch_end(self, trainer, module) -> None:
            trainer.should_stop = True

    module = seeded(gan, n_critic=14)
    before = {k: v.clone() for k, v in module.generator.named_parameters()}
    fit(module, tmp_path, max_epochs=2, callbacks=[StopEarly()])
    assert all(p.grad is None for p in module.generator.parameters())
    assert not differences(before, dict(module.generator.named_parameters()))


def test_clipped_weights_stay_within_the_bounds_after_every_step(tmp_path):
    largest = []

    class Bounds(pl.Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            largest.append(max(float(p.detach().abs().max()) for p in module.discriminator.parameters()))

    fit(seeded(gan, loss=Wasserstein(), constraint=WeightClipping(0.03)), tmp_path, callbacks=[Bounds()])
    assert len(largest) == 21
    assert max(largest) <= 0.03 + 1e-9


def test_max_steps_counts_generator_updates(tmp_path):
    watch = Watch()
    trainer = fit(seeded(gan, n_critic=2), tmp_path, callbacks=[watch], max_steps=4)
    assert (trainer.global_step, watch.steps.count(0), watch.steps.count(1)) == (4, 8, 4)


@pytest.mark.learns
def test_gradients_are_clipped_for_each_player(tmp_path):
    """A step of SGD with lr 1 moves a player by its gradient: by no more than the bound."""
    sgd = partial(torch.optim.SGD, lr=1.0)
    lengths = []

    class Length(Watch):
        def _after(self, i, optimizers, *_) -> None:
            moved = [(a - b).square().sum() for a, b in zip(self.before[i], self._weights(optimizers)[i], strict=True)]
            lengths.append(float(torch.stack(moved).sum().sqrt()))

    module = seeded(gan, generator_optimizer=sgd, discriminator_optimizer=sgd, gradient_clip_val=0.01, n_critic=1)
    trainer = fit(module, tmp_path, callbacks=[Length()])
    assert max(lengths) == pytest.approx(0.01, rel=1e-3)
    assert trainer.callback_metrics["train/discriminator_grad_norm"] > 0.01  # as it was before


def scaled(factor: float) -> MixedPrecision:
    """float16 with a GradScaler that begins with this factor."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=factor, growth_interval=1000))


@pytest.mark.learns
def test_a_gradient_scaler_changes_nothing_but_what_would_underflow(tmp_path):
    """Each player's backward is scaled and its step unscaled on its own: a factor of 256 instead of 1 is not seen."""
    sgd = partial(torch.optim.SGD, lr=0.01)
    options = {"loss": Hinge(), "generator_optimizer": sgd, "discriminator_optimizer": sgd, "n_critic": 2}
    states = [state(fit(seeded(gan, **options), tmp_path, plugins=[scaled(f)])) for f in (1.0, 256.0)]
    one, other = (s["weights"] for s in states)
    assert all(torch.allclose(one[k], other[k], rtol=1e-3, atol=1e-4) for k in one)
    assert states[1]["means"]["train/generator_grad_norm"] == pytest.approx(
        float(states[0]["means"]["train/generator_grad_norm"]), rel=1e-2
    )


@pytest.mark.learns
def test_scaled_gradients_are_clipped_after_they_are_unscaled(tmp_path):
    sgd = partial(torch.optim.SGD, lr=1.0)
    lengths = []

    class Length(Watch):
        def _after(self, i, optimizers, *_) -> None:
            moved = [(a - b).square().sum() for a, b in zip(self.before[i], self._weights(optimizers)[i], strict=True)]
            lengths.append(float(torch.stack(moved).sum().sqrt()))

    module = seeded(gan, generator_optimizer=sgd, discriminator_optimizer=sgd, gradient_clip_val=0.01, n_critic=1)
    fit(module, tmp_path, callbacks=[Length()], plugins=[scaled(1024.0)])
    assert len(lengths) == 42
    assert max(lengths) == pytest.approx(0.01, rel=1e-2)
    assert min(lengths) > 1e-4  # clipped first, they would be a thousandth of the bound


def test_a_penalty_refuses_batch_norm():
    critic = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    with pytest.raises(UserError, match=r"discriminator\.norm=none"):
        GAN(Generator(), critic, Wasserstein(), adam, adam, penalty=GradientPenalty())


@pytest.mark.parametrize("make", [gan, bigan])
def test_a_generator_that_would_never_move_is_told(tmp_path, make):
    with pytest.raises(UserError, match=r"model\.n_critic is 22, but the run has 21 batches"):
        fit(seeded(make, n_critic=22), tmp_path)


@pytest.mark.parametrize("make", [bigan, vae_gan])
def test_a_code_of_another_length_is_told(tmp_path, make):
    module = seeded(make)
    module.encoder = Discriminator(6)
    with pytest.raises(UserError, match=r"set model\.encoder\.outputs=(4|8)"):
        fit(module, tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(UserError, match="discriminator_loss is nan"):
        fit(seeded(gan, discriminator_optimizer=partial(torch.optim.SGD, lr=1e30), loss=NonSaturating()), tmp_path)


def test_bigan_players_want_opposite_things():
    """The generator's loss is the discriminator's with real and fake exchanged."""
    module = seeded(bigan).eval()
    module.log = module.means.add = lambda *_, **__: None
    real = torch.rand(8, 1, 8, 8) * 2 - 1
    z = torch.randn(8, 4)
    module.noise = lambda _: z
    d_real, d_fake = module.scores(*module._pairs(real))
    assert torch.allclose(module.discriminator_loss(real), NonSaturating().discriminator(d_real, d_fake))
    assert torch.allclose(module.generator_loss(real), NonSaturating().discriminator(d_fake, d_real))


def test_bigbigan_losses_are_the_papers():
    """Section 2, one pair and one score after another: l_D = sum h(y s), l_EG = sum y s, with h(t) = max(0, 1 - t)."""
    module = seeded(bigbigan).eval()
    module.log = module.means.add = lambda *_, **__: None
    x, z = torch.rand(6, 1, 8, 8) * 2 - 1, torch.randn(6, 4)
    module.noise = lambda _: z
    mu, log_var = module.encoder(x).chunk(2, 1)
    real, fake = (x, mu + (log_var / 2).exp() * z), (module.generator(z), z)
    l_d, l_eg = torch.zeros(()), torch.zeros(())
    for pair, y in ((real, 1), (fake, -1)):
        for score in module.discriminator(*pair).flatten():
            l_d, l_eg = l_d + (1 - y * score).clamp(min=0) / 6, l_eg + y * score / 6
    torch.testing.assert_close(module.discriminator_loss(x), l_d)
    torch.testing.assert_close(module.generator_loss(x), l_eg)
    torch.testing.assert_close(module.features((x + 1) / 2), mu)


def test_vae_gan_losses_are_the_papers(tmp_path):
    """Eqs. 5 to 10 with what is random held fixed, one image and one dimension after another."""
    module = seeded(vae_gan, gamma=0.3).eval()
    module.log = module.means.add = lambda *_, **__: None
    x, eps = torch.rand(6, 1, 8, 8) * 2 - 1, torch.randn(6, 4)
    module.noise = lambda _: eps
    mu, log_var = module.encoder(x).chunk(2, 1)
    x_tilde, x_p = module.decoder(mu + (log_var / 2).exp() * eps), module.decoder(eps)
    llike = sum(
        -torch.distributions.Normal(b, 1.0).log_prob(a).sum() - 16 * 0.5 * torch.log(torch.tensor(2 * torch.pi))
        for a, b in zip(module.discriminator.features(x), module.discriminator.features(x_tilde), strict=True)
    )
    prior = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, (log_var / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    ).sum()
    assert torch.allclose(module.encoder_loss(x), (prior + llike) / 6, rtol=1e-4)
    d, d_tilde, d_p = (module.discriminator(images).sigmoid() for images in (x, x_tilde, x_p))
    game = (d.log() + (1 - d_tilde).log() + (1 - d_p).log()).mean()
    assert torch.allclose(module.discriminator_loss(x), -game, rtol=1e-4)
    fooled = -(d_tilde.log() + d_p.log()).mean()
    assert torch.allclose(module.decoder_loss(x), 0.3 * llike / 6 + fooled, rtol=1e-4)


# --- classes, averages, and what is added to a loss


def test_both_players_are_told_the_classes_of_the_real_images():
    module = seeded(conditional).eval()
    module.log = module.means.add = lambda *_, **__: None
    real, labels, z = torch.rand(6, 1, 8, 8) * 2 - 1, torch.tensor([0, 2, 1, 1, 0, 2]), torch.randn(6, 4)
    module.noise = lambda _: z
    fake = module.generator(z, labels)
    scores = module.discriminator(real, labels), module.discriminator(fake, labels)
    torch.testing.assert_close(module.discriminator_loss(real, labels), Hinge().discriminator(*scores))
    torch.testing.assert_close(module.generator_loss(real, labels), -scores[1].mean())
    assert torch.equal(module.inputs((real, labels, labels))[1], labels)
    assert torch.equal(module.decode(z), module.decode(z, module.classes_of(z)))


def test_acgan_losses_are_the_papers():
    """Section 3, one image after another: the discriminator ascends L_S + L_C, the generator L_C - L_S's own part."""
    module = seeded(acgan).eval()
    module.log = module.means.add = lambda *_, **__: None
    real, labels, z = torch.rand(6, 1, 8, 8) * 2 - 1, torch.tensor([0, 2, 1, 1, 0, 2]), torch.randn(6, 4)
    module.noise = lambda _: z
    l_s, l_c, fooled, own = (torch.zeros(()) for _ in range(4))
    for x, fake, label in zip(real, module.generator(z, labels), labels, strict=True):
        (s_real, c_real), (s_fake, c_fake) = module.discriminator(x[None]), module.discriminator(fake[None])
        l_s = l_s + (s_real.sigmoid().log() + (1 - s_fake.sigmoid()).log()).sum() / 6
        l_c = l_c + (c_real.softmax(1)[0, label] * c_fake.softmax(1)[0, label]).log() / 6
        fooled, own = fooled + s_fake.sigmoid().log().sum() / 6, own + c_fake.softmax(1)[0, label].log() / 6
    torch.testing.assert_close(module.discriminator_loss(real, labels), -(l_s + l_c))
    torch.testing.assert_close(module.generator_loss(real, labels), -(fooled + own))


@pytest.mark.parametrize("options", [{}, {"penalty": R1(2.0)}, {"loss": Hinge(), "penalty": GradientPenalty(3.0)}])
def test_an_acgan_whose_logits_are_equal_is_a_gan_and_the_classes_entropy(options):
    """Where the classes are all alike to it, each of the two cross-entropies is log 3, and the rest is a GAN's."""
    options = {"loss": NonSaturating(), "n_critic": 1, **options}
    module = seeded(acgan, **options).eval()
    with torch.no_grad():
        for weights in module.discriminator.head.parameters():
            weights[1:] = 0
    plain = seeded(acgan, **options).eval()
    plain.load_state_dict(module.state_dict())
    real, labels, z = torch.rand(6, 1, 8, 8) * 2 - 1, torch.tensor([0, 2, 1, 1, 0, 2]), torch.randn(6, 4)
    for each in (module, plain):
        each.means.add, each.noise = lambda *_, **__: None, lambda _: z
    of_plain = []
    for loss in (ConditionalGAN.discriminator_loss, ConditionalGAN.generator_loss):
        torch.manual_seed(1)
        of_plain.append(loss(plain, real, labels))
    torch.manual_seed(1)
    torch.testing.assert_close(module.discriminator_loss(real, labels), of_plain[0] + 2 * math.log(3))
    torch.testing.assert_close(module.generator_loss(real, labels), of_plain[1] + math.log(3))


def test_the_shares_of_classes_are_those_of_the_training_data(tmp_path):
    trainer = fit(seeded(conditional), tmp_path, max_epochs=1)
    labels = trainer.datamodule.split("train").labels
    expected = labels.bincount(minlength=3) / len(labels)
    torch.testing.assert_close(trainer.lightning_module.embedding.shares, expected)


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_a_batch_in_parts_is_the_batch(tmp_path, parts):
    """Without batch norm or dropout, of noise that is the same: one step of SGD, to rounding."""
    sgd = partial(torch.optim.SGD, lr=0.1)
    z = torch.randn(8, 4)

    class Given(GAN):
        def noise(self, real: Tensor) -> Tensor:
            self.at = getattr(self, "at", 0) % 8
            self.at, begin = self.at + len(real), self.at
            return z[begin : self.at]

    states = []
    for accumulation in (1, parts):
        torch.manual_seed(seed())
        generator, discriminator = Generator(), Discriminator()
        generator[1], discriminator.body[3] = nn.Identity(), nn.Identity()
        module = Given(generator, discriminator, Hinge(), sgd, sgd, accumulation=accumulation)
        fit(module, tmp_path, max_epochs=1)
        states.append(module.state_dict())
    one, other = states
    assert all(torch.allclose(one[k], other[k], atol=1e-6) for k in one)


def test_a_lazy_penalty_comes_every_so_many_steps_and_weighs_as_much_more(tmp_path):
    seen: list[float] = []

    class Noted(R1):
        def __call__(self, critic, real, fake) -> Tensor:
            seen.append(1.0)
            return super().__call__(critic, real, fake)

    module = seeded(gan, penalty=Noted(2.0, every=4), n_critic=1)
    fit(module, tmp_path)
    assert len(seen) == 21 // 4
    module = seeded(gan, n_critic=1).eval()
    module.log = module.means.add = lambda *_, **__: None
    module._is_due = lambda every: True
    real, z = torch.rand(6, 1, 8, 8) * 2 - 1, torch.randn(6, 4)
    module.noise = lambda _: z
    plain = module.discriminator_loss(real)
    module.penalty = R1(2.0, every=4)
    expected = plain + 4 * R1(2.0)(module.discriminator, real, real)
    torch.testing.assert_close(module.discriminator_loss(real), expected)


def test_orthogonal_regularisation_is_added_to_the_generators_loss():
    module = seeded(gan, generator_penalty=OrthogonalRegularization(0.5)).eval()
    module.log = module.means.add = lambda *_, **__: None
    z = torch.randn(6, 4)
    module.noise = lambda _: z
    made = -module.discriminator(module.generator(z)).mean()
    penalty = 0.5 * sum(
        (w @ w.T - torch.diag((w @ w.T).diagonal())).square().sum()
        for w in (module.generator[0].weight, module.generator[3].weight)
    )
    torch.testing.assert_close(module.generator_loss(torch.zeros(6, 1, 8, 8)), made + penalty)


def test_augmentation_is_of_all_that_the_discriminator_sees_in_training():
    class Doubled(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return 2 * images

    module = seeded(gan, augment=Doubled())
    module.discriminator.eval()
    images = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(module.score(images), module.discriminator(2 * images))
    torch.testing.assert_close(module.eval().score(images), module.discriminator(images))


def test_a_constraint_refuses_spectral_norm():
    critic = nn.Sequential(nn.Linear(2, 1))
    normalize(critic)
    with pytest.raises(UserError, match=r"spectral_norm=false"):
        GAN(Generator(), critic, Wasserstein(), adam, adam, constraint=WeightClipping())


class Averaged(pl.Callback):
    """The average by the slow formula, of the generator's weights after each of its steps."""

    def __init__(self, decay: float, start: int) -> None:
        self.decay, self.start, self.steps, self.average = decay, start, 0, {}

    def on_train_batch_end(self, trainer, module, *_) -> None:
        if trainer.global_step == self.steps:
            return
        current = {k: v.detach().clone() for k, v in module.generator.named_parameters()}
        kept = self.decay if self.steps > 0 and self.steps >= self.start else 0.0
        self.average = {k: kept * self.average.get(k, v) + (1 - kept) * v for k, v in current.items()}
        self.steps = trainer.global_step


@pytest.mark.parametrize("start", [0, 4])
def test_the_generator_alone_is_averaged_and_its_norms_are_measured_anew(tmp_path, start):
    slow, after = Averaged(0.8, start), {}

    class Note(pl.Callback):
        def on_train_end(self, trainer, module) -> None:
            after.update({k: v.clone() for k, v in module.discriminator.state_dict().items()})

    average = GeneratorAverage(decay=0.8, warm_up=False, start=start, batches=3)
    module = seeded(conditional)
    fit(module, tmp_path, callbacks=[slow, Note(), average])
    found = dict(module.generator.named_parameters())
    assert all(torch.allclose(found[k], v, atol=1e-6) for k, v in slow.average.items())
    assert not differences(after, dict(module.discriminator.state_dict()))


def test_standing_statistics_are_those_of_the_batches():
    """The mean over batches of each one's mean and variance (n - 1), by hand; the same again, whatever was before."""
    module = seeded(gan)
    measure_norms(module, 3, seed=5)
    norm = module.generator[1]
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    seen: list[Tensor] = []
    handle = norm.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    norm.running_mean.fill_(7.0)
    measure_norms(module, 3, seed=5)
    handle.remove()
    assert [len(x) for x in seen] == [BATCH] * 3
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var(0) for x in seen]).mean(0))
    assert torch.equal(mean, norm.running_mean)
    assert torch.equal(var, norm.running_var)
    assert norm.momentum == 0.1
    assert module.training


def test_spectral_norm_follows_the_average(tmp_path):
    """Buffers that are averaged fit no weights; the passes that measure batch norms bring the norms back to 1."""
    module = seeded(conditional)
    fit(module, tmp_path, callbacks=[GeneratorAverage(decay=0.9)])
    module.eval()
    norms = [float(torch.linalg.matrix_norm(module.generator[i].weight, 2)) for i in (0, 3)]
    assert norms == pytest.approx([1, 1], abs=0.02)


def test_an_average_needs_a_generator_and_stands_alone(tmp_path):
    module = seeded(vae_gan)
    with pytest.raises(UserError, match=r"VAEGAN has none; use callbacks=ema"):
        fit(module, tmp_path, callbacks=[GeneratorAverage()])
    with pytest.raises(UserError, match="leave one out"):
        fit(seeded(gan), tmp_path, callbacks=[GeneratorAverage(), WeightAverage()])


def test_latents_of_the_average_are_those_of_the_whole(tmp_path):
    z = latents(0, 20, 4)
    module = seeded(conditional).eval()
    torch.testing.assert_close(torch.cat([module.decode(part) for part in z.split(3)]), module.decode(z))


# --- resume

RESUMED: dict[str, Any] = {
    "gan, k = 5": (gan, {}),
    "wgan-gp, k = 5, moving average, bf16": (
        partial(gan, loss=Wasserstein(), penalty=GradientPenalty()),
        {"callbacks": lambda: [WeightAverage(decay=0.9)], "precision": "bf16-mixed"},
    ),
    "wgan, k = 3": (partial(gan, loss=Wasserstein(), constraint=WeightClipping(), n_critic=3), {}),
    "by class, spectral norm, average, standing statistics": (
        partial(
            conditional,
            penalty=R1(1.0, every=3),
            generator_penalty=OrthogonalRegularization(),
            augment=DiffAugment(),
            accumulation=2,
        ),
        {"callbacks": lambda: [GeneratorAverage(decay=0.9, start=2, batches=2)]},
    ),
    "acgan": (acgan, {}),
    "bigan": (bigan, {}),
    "bigbigan": (bigbigan, {}),
    "vae_gan": (vae_gan, {}),
}


@pytest.mark.parametrize(("make", "options"), RESUMED.values(), ids=RESUMED)
def test_resume_is_exact_from_every_batch(tmp_path, make, options):
    options = dict(options)
    extra = options.pop("callbacks", list)
    full = state(fit(seeded(make), tmp_path, callbacks=[KeepEveryBatch(tmp_path), *extra()], **options))
    kept = sorted(tmp_path.glob("batch-*.ckpt"))
    assert len(kept) == 18
    for file in kept:
        pl.seed_everything(99, verbose=False)
        again = state(fit(make(), tmp_path, file, callbacks=extra(), **options))
        assert not differences(full, again), file.name


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0), (2, 2)])
def test_resume_is_exact_with_workers(tmp_path, before, after):
    full = state(fit(seeded(gan), tmp_path, workers=before, callbacks=[KeepEveryBatch(tmp_path)]))
    again = state(fit(gan(), tmp_path, tmp_path / "batch-09.ckpt", workers=after))
    assert not differences(full, again)


def test_resume_from_the_runs_own_checkpoints(tmp_path):
    """last.ckpt of an epoch's end, which lies inside the k steps of the next generator update: 7 = 5 + 2."""
    keeper = RunCheckpoint(str(tmp_path / "run"), "val/d_real", "max")

    class Keep(pl.Callback):
        def on_train_epoch_start(self, trainer, module) -> None:
            if trainer.current_epoch == 1:
                shutil.copy(keeper.last, tmp_path / "first-epoch.ckpt")

    full = state(fit(seeded(gan), tmp_path, callbacks=[keeper, Keep()]))
    again = state(fit(gan(), tmp_path, tmp_path / "first-epoch.ckpt"))
    assert not differences(full, again)
