"""Every generative model, and every data set that fits: a new file in configs/ is tested without a new test."""

import pytest
import torch
from conftest import IMAGE_DATA, at_hand, in_turn, models_for
from one_step import train_and_restore

from lightloom.config.compose import compose, without_hydra
from lightloom.engine import train
from lightloom.modules.protocols import Generates, Reconstructs
from lightloom.ops.rng import latents

MODELS = [
    m
    for task in (
        "generation",
        "conditional_generation",
        "averaged_generation",
        "bidirectional",
        "representation",
        "latent_variable",
        "reconstruction",
        "denoising",
    )
    for m in models_for(task)
]
NARROW = ["model.generator.width=8", "model.discriminator.width=8"]
WIDE = ("wgan_gp_resnet", "sngan", "biggan", "biggan_small", "bigbigan")
SMALL = dict.fromkeys(WIDE, NARROW)  # the same code, less arithmetic


@pytest.mark.parametrize(("model", "data"), in_turn(MODELS, IMAGE_DATA, "digits"))
def test_one_cycle_saved_and_reloaded_gives_equal_images(model, data, datamodules, tmp_path):
    """A cycle is k steps of the discriminator and one of the generator: one step of the run."""
    overrides, datamodule = datamodules(data)
    datamodule = at_hand(datamodule)
    cfg, module, again = train_and_restore(model, data, [*overrides, *SMALL.get(model, [])], datamodule, tmp_path)
    shape = (3, cfg.data.channels, cfg.data.image_size, cfg.data.image_size)
    images = torch.rand(shape)
    assert isinstance(module, Generates | Reconstructs)
    with torch.inference_mode():
        if isinstance(module, Generates):
            z = latents(0, 3, module.latent_dim)
            check(module.decode(z), again.decode(z), shape)
        if isinstance(module, Reconstructs):
            check(module.reconstruct(images), again.reconstruct(images), shape)


@pytest.mark.parametrize("model", models_for("signal_reconstruction"))
def test_signals_are_reconstructed_alike(model, tmp_path):
    overrides = ["data.batch_size=4"]
    cfg = without_hydra(compose("train", [f"model={model}", "data=signals", *overrides]))
    _, datamodule = train.build_data(cfg)
    _, module, again = train_and_restore(model, "signals", overrides, datamodule, tmp_path)
    signals = torch.rand(3, 2, 88)
    with torch.inference_mode():
        assert module.reconstruct(signals).shape == signals.shape
        assert torch.equal(module.reconstruct(signals), again.reconstruct(signals))


def check(made: torch.Tensor, again: torch.Tensor, shape: tuple[int, ...]) -> None:
    assert made.shape == shape
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert torch.equal(made, again)
