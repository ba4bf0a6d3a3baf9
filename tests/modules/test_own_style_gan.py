"""A style-based GAN of somebody's own: one network file and one YAML in a folder, and no edit of the package.

A mapping network that learns at a hundredth of the rate, R1 and an average of the weights (Karras, Laine & Aila 2019,
A Style-Based Generator Architecture for Generative Adversarial Networks, arXiv:1812.04948, section 2 and appendix C).
"""

from pathlib import Path
from typing import Any

import commands
import pytest
from conftest import ROOT
from interruptions import differences
from PIL import Image

from lightloom.cli.launch import prepared
from lightloom.engine import checkpoint

NETWORK = '''
"""Style-based generator (Karras et al. 2019), small."""

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm, interpolate, leaky_relu


class Styled(nn.Module):
    """A convolution whose maps take their means and deviations from the style, w (B, W)."""

    def __init__(self, in_channels: int, out_channels: int, style_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.style = nn.Linear(style_dim, 2 * out_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scale, shift = self.style(w)[:, :, None, None].chunk(2, 1)
        return (1 + scale) * instance_norm(leaky_relu(self.conv(x), 0.2)) + shift


class StyleGenerator(nn.Module):
    """z (B, latent_dim) -> images (B, C, H, W) in [-1, 1]: a constant, doubled until it has the size."""

    def __init__(self, latent_dim: int, channels: int, image_size: int, width: int = 8, depth: int = 2) -> None:
        super().__init__()
        self.latent_dim, self.image_size = latent_dim, image_size
        layers = [layer for _ in range(depth) for layer in (nn.Linear(latent_dim, latent_dim), nn.LeakyReLU(0.2))]
        self.mapping = nn.Sequential(*layers)
        self.constant = nn.Parameter(torch.ones(1, width, image_size // 4, image_size // 4))
        self.synthesis = nn.ModuleList(Styled(width, width, latent_dim) for _ in range(2))
        self.to_image = nn.Conv2d(width, channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt())
        x = self.constant.expand(len(z), -1, -1, -1)
        for block in self.synthesis:
            x = block(interpolate(x, scale_factor=2), w)
        return self.to_image(x).tanh()
'''
MODEL = """\
# Style-based GAN (Karras et al. 2019, A Style-Based Generator Architecture for GANs), small.
defaults:
  - base/gan
  - _self_

generator:
  _target_: style_network.StyleGenerator
  latent_dim: 8
discriminator:
  width: 4
  norm: none
penalty:
  _target_: lightloom.losses.lipschitz.R1
  weight: 5.0
optimizer_groups:
  lr_multipliers: {generator.mapping: 0.01}
"""
FEW = ("callbacks.quality.val_samples=40", "callbacks.quality.test_samples=40", "data.batch_size=16")
OPTIONS = ("model=style_gan", "data=digits", "callbacks=ema", "trainer=cpu", "trainer.limit_train_batches=1", *FEW)
RATE = 2e-4  # of configs/optimizer/adam_gan.yaml


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "model").mkdir()
    (folder / "model/style_gan.yaml").write_text(MODEL)
    (folder / "style_network.py").write_text(NETWORK)
    return folder


@pytest.fixture(scope="module")
def trained(own) -> Path:
    """The folder of a run of two steps, one in each epoch."""
    return train(own, "whole", "trainer.max_epochs=2")


def train(own: Path, name: str, *options: str) -> Path:
    options = (f"--config-dir={own}", *OPTIONS, f"run_name={name}", *options)
    commands.run(own / "logs", *options, env={"PYTHONPATH": str(own)})
    return own / "logs/runs" / name


def saved(run: Path) -> dict[str, Any]:
    content = checkpoint.load(run / "checkpoints/last.ckpt")
    return {name: content[name] for name in ("state_dict", "optimizer_states", "callbacks", "global_step")}


def test_its_options_are_checked_like_ours(own, monkeypatch):
    monkeypatch.syspath_prepend(own)
    lines, _ = prepared([f"--config-dir={own}", *OPTIONS], "train")
    assert "model=style_gan" in lines
    assert not own.is_relative_to(ROOT)


def test_the_mapping_network_learns_at_a_hundredth_of_the_rate(trained):
    discriminator, generator = saved(trained)["optimizer_states"]
    assert {group["lr"] for group in discriminator["param_groups"]} == {RATE}
    rates = {group["lr"]: len(group["params"]) for group in generator["param_groups"]}
    assert sorted(rates) == pytest.approx([RATE / 100, RATE])
    mapping = [name for name in saved(trained)["state_dict"] if name.startswith("generator.mapping.")]
    count = sum(len(g["params"]) for g in generator["param_groups"] if g["lr"] < RATE / 10)
    assert count == len(mapping) == 4


def test_it_is_resumed_bit_for_bit(own, trained):
    """The average of the weights included."""
    part = train(own, "part", "trainer.max_epochs=1")
    train(own, "part", "trainer.max_epochs=2", f"ckpt_path={part}")
    whole, continued = saved(trained), saved(part)
    assert whole["global_step"] == continued["global_step"] == 2
    for name in ("state_dict", "optimizer_states"):
        assert not differences(whole[name], continued[name])


def test_predict_makes_images_of_it(own, trained):
    options = (f"ckpt_path={trained}", "num_samples=3", "trust=[style_network]")
    env = {"PYTHONPATH": str(own)}
    commands.run(own / "samples", *options, script="predict", env=env)
    files = sorted((own / "samples").glob("predict/*/samples/*.png"))
    assert [Image.open(file).size for file in files] == [(28, 28)] * 3
    assert len({file.read_bytes() for file in files}) == 3
