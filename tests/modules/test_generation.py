"""The flow of a generative run: what lies in its folder, what eval.py and predict.py make of it, and DDP."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run, run_two, runs
from interruptions import HERE
from outcomes import results, weights
from PIL import Image
from seeds import seed

from lightloom.engine import checkpoint

QUICK = ("data=digits", "trainer.max_epochs=2", "trainer.limit_train_batches=6")
FEW = ("callbacks.quality.val_samples=40", "callbacks.quality.test_samples=40")
NARROW = ("model.generator.width=4", "model.discriminator.width=4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A DCGAN of two epochs and its run folder."""
    logs = tmp_path_factory.mktemp("dcgan")
    run(logs, "model=dcgan", *QUICK, *NARROW, *FEW)
    return runs(logs)[0]


def test_a_run_leaves_its_pictures_and_measures(trained):
    expected = {"samples", "filmstrip.png", "filmstrip.gif", "interpolation.png", "health.png", "results.json"}
    assert expected <= {path.name for path in trained.iterdir()}
    assert [path.name for path in sorted((trained / "samples").iterdir())] == ["epoch-0001.png", "epoch-0002.png"]
    found = json.loads((trained / "results.json").read_text())
    measures = {"frechet_pixels", "kernel_pixels", "precision_pixels", "recall_pixels", "parzen_nats", "d_real"}
    assert {f"test/{name}" for name in measures} <= set(found)
    assert found["steps"] == 12


def test_eval_gives_the_figures_of_the_runs_own_test(trained, tmp_path):
    run(tmp_path, f"ckpt_path={trained}", script="eval")
    (folder,) = (tmp_path / "eval").iterdir()
    found = json.loads((folder / "results.json").read_text())
    own = json.loads((trained / "results.json").read_text())
    assert found == pytest.approx({name: own[name] for name in found}, rel=1e-5)
    assert (folder / "interpolation.png").is_file()


def test_predict_draws_the_same_images_for_the_same_seed(trained, tmp_path):
    """From the run's best weights, decoded from latents that are keyed by the seed and the image's number."""
    for logs, count in ((tmp_path / "a", 6), (tmp_path / "b", 4)):
        run(logs, f"ckpt_path={trained}", f"num_samples={count}", "seed=1", script="predict")
    first, second = (
        [np.array(Image.open(file)) for file in sorted(tmp_path.glob(f"{logs}/predict/*/samples/*.png"))]
        for logs in "ab"
    )
    assert (len(first), len(second)) == (6, 4)
    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=False))
    assert len({image.tobytes() for image in first}) == 6


NO_BATCH_NORM = ("model.generator.norm=layer",)
AVERAGE = "+callbacks.average={_target_: lightloom.callbacks.samples.generator_average.GeneratorAverage}"
ALIKE = {
    "GAN": ("model=hinge_gan", "GivenNoise", *NO_BATCH_NORM, "model.n_critic=2", *NARROW, "model.penalty.weight=1.0"),
    "cGAN": ("model=cgan", "GivenConditional", "model.discriminator.dropout=0.0", AVERAGE),
    "SN-GAN": ("model=hinge_gan", "GivenNoise", *NO_BATCH_NORM, *NARROW, "model.discriminator.spectral_norm=true"),
    "BiGAN": ("model=bigan", "GivenBiGAN", *NO_BATCH_NORM, "model.discriminator.norm=layer", *NARROW),
    "VAE": ("model=vae", "GivenVAE", "optimizer=sgd", "model.optimizer.lr=0.001"),
    "VAE+GAN": ("model=vae_gan", "GivenVAEGAN", "model.decoder.norm=layer", "model.discriminator.norm=layer"),
    "autoencoder": ("model=autoencoder", "", "optimizer=sgd", "model.optimizer.lr=0.01"),
}


# Adam and RMSprop divide by the gradient's size: of a gradient near 0 a rounding error would make a whole step.
SMOOTH = [f"++model.{player}_optimizer.eps=0.1" for player in ("generator", "discriminator")]
PLAIN = {
    "BiGAN": SMOOTH,
    "cGAN": SMOOTH,
    "VAE+GAN": [
        option
        for player in ("encoder", "decoder", "discriminator")
        for option in (f"optimizer@model.{player}_optimizer=sgd", f"model.{player}_optimizer.lr=1e-5")
    ],
}


@pytest.mark.learns
@pytest.mark.parametrize("name", ALIKE)
def test_ddp_equals_one_process(tmp_path, name):
    """No batch norm, and noise that does not depend on who draws it: the same weights and figures to 1e-6.

    Both processes log the same.
    """
    model, given, *options = ALIKE[name]
    options += [f"model._target_=given_noise.{given}"] if given else []
    options += [] if name == "autoencoder" else FEW
    options += ["model.encoder.norm=layer"] if name in ("BiGAN", "VAE+GAN") else []
    options += PLAIN.get(name, [])
    options += ["+callbacks.noted={_target_: interruptions.Noted}", "run_name=run", f"seed={seed()}"]
    run(tmp_path / "one", model, *QUICK, *options, "trainer=cpu", env=HERE)
    run_two(tmp_path / "two", model, *QUICK, *options, env=HERE)
    found = [tmp_path / processes / "runs" / "run" for processes in ("one", "two")]
    one, two = map(weights, found)
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-6
    assert results(found[1]) == pytest.approx(results(found[0]), rel=1e-4, abs=1e-6)
    first, second = ((found[1] / f"metrics-{rank}.json").read_text() for rank in range(2))
    assert first == second


def test_ddp_draws_other_noise_on_each_process(tmp_path):
    """With the same noise everywhere, two processes would make one process's step with twice the images."""
    options = ("model=gan", "data=digits", "trainer.max_steps=1", "test=false", *FEW)
    run_two(tmp_path, *options, "model._target_=given_noise.NotedNoise", env=HERE)
    first, second = (torch.load(runs(tmp_path)[0] / f"noise-{rank}.pt", weights_only=True) for rank in range(2))
    assert first.shape == second.shape
    assert not torch.isclose(first, second).any()


def test_killed_inside_the_k_steps_and_continued(tmp_path):
    """Resume by command, with checkpoints at generator updates: the bits of the run that was not stopped."""
    options = ("model=wgan_gp", *QUICK, *NARROW, *FEW, "model.n_critic=4", "test=false")
    run(tmp_path / "full", *options)
    run(tmp_path / "part", *options, "trainer.max_epochs=1")
    (part,) = runs(tmp_path / "part")
    run(tmp_path / "part", f"ckpt_path={part}", "trainer.max_epochs=2")
    assert runs(tmp_path / "part") == [part]
    full, again = (
        checkpoint.load(folder / "checkpoints" / "last.ckpt") for folder in (runs(tmp_path / "full")[0], part)
    )
    assert full["global_step"] == again["global_step"] == 3
    assert all(torch.equal(full["state_dict"][k], again["state_dict"][k]) for k in full["state_dict"])
