"""Features are those of the model that the name says, and refusals are one sentence with a remedy."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
import types
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import compose
from torch import nn

from lightloom.config import compose as config
from lightloom.config.foreign import plain
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint
from lightloom.metrics import extractors
from lightloom.metrics.extractors import Inception, Pixels, inception_weights
from lightloom.metrics.histogram import class_counts, confidence, smallest_class_share
from lightloom.predict.classes.features import TrainedFeatures


def save(path: Path, *overrides: str) -> pl.LightningModule:
    """A classifier with its first weights, in a checkpoint."""
    cfg = config.without_hydra(compose(*overrides))
    torch.manual_seed(0)
    module = build(cfg.model, "model").eval()
    checkpoint.save({"state_dict": module.state_dict(), "hyper_parameters": plain(cfg)}, path)
    return module


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """The run of a LeNet on the digits."""
    folder = tmp_path_factory.mktemp("logs") / "runs" / "lenet-digits" / "a"
    save(folder / "checkpoints" / "best.ckpt", "model=lenet", "data=digits")
    shutil.copy(folder / "checkpoints" / "best.ckpt", folder / "checkpoints" / "last.ckpt")
    return folder


@pytest.fixture(scope="module")
def lenet(run_folder) -> TrainedFeatures:
    return TrainedFeatures(str(run_folder), "lenet", "")


def images(channels: int = 1, size: int = 28) -> torch.Tensor:
    return torch.rand(5, channels, size, size, generator=torch.Generator().manual_seed(0))


# --- pixels


def test_pixels_of_small_images_are_the_image():
    x = images(2, 8)
    assert torch.equal(Pixels()(x), x.flatten(1))


def test_reduced_pixels_are_antialiased():
    """A fine chessboard becomes its mean, not one of its two colours."""
    board = (torch.arange(32)[:, None] + torch.arange(32)).remainder(2).float().expand(1, 3, 32, 32)
    reduced = Pixels(size=4)(board)
    assert reduced.shape == (1, 3 * 4 * 4)
    torch.testing.assert_close(reduced, torch.full_like(reduced, 0.5), rtol=0, atol=0.01)


# --- classifiers


@pytest.mark.parametrize(
    ("model", "name", "width", "options"),
    [
        ("lenet", "lenet", 84, []),
        ("mlp", "mlp", 64, ["model.drop_connect=0.5"]),
        ("resnet20", "resnet", 64, []),
        ("shufflenet", "shufflenetv2", 1024, []),  # behind an enlargement
    ],
)
def test_features_lead_to_the_classifiers_own_probabilities(tmp_path, model, name, width, options):
    module = save(tmp_path / "x.ckpt", f"model={model}", "data=digits", *options)
    extractor = TrainedFeatures(str(tmp_path / "x.ckpt"), name, "")
    with torch.no_grad():
        assert extractor(images()).shape == (5, width)
        torch.testing.assert_close(extractor.probabilities(images()), module(images()).softmax(1))


def test_it_is_frozen_and_never_trains(lenet):
    lenet.train()
    assert not any(part.training for part in lenet.modules())
    assert not any(p.requires_grad for p in lenet.parameters())
    nn.ModuleList([lenet]).train()
    assert not any(part.training for part in lenet.modules())


def test_loading_draws_no_random_number(run_folder):
    before = torch.get_rng_state()
    TrainedFeatures(str(run_folder), "lenet", "")
    assert torch.equal(torch.get_rng_state(), before)


def test_images_are_resized_to_the_classifiers(lenet):
    small = images(size=8)
    enlarged = nn.functional.interpolate(small, (28, 28), mode="bilinear")
    torch.testing.assert_close(lenet(small), lenet(enlarged))


def test_last_is_the_newest_run_of_that_network(run_folder, lenet):
    """Not that of another model, such as the one that is being judged."""
    log_dir = run_folder.parents[2]
    other = log_dir / "runs" / "mlp-digits" / "b" / "checkpoints"
    save(other / "last.ckpt", "model=mlp", "data=digits")
    os.utime(other / "last.ckpt", (time.time() + 60, time.time() + 60))
    found = TrainedFeatures("last", "lenet", str(log_dir))
    assert torch.equal(found(images()), lenet(images()))


def test_other_channels_are_refused(lenet):
    with pytest.raises(UserError, match=r"images of 1 channels, but these have 3; set callbacks\.quality\.extractor"):
        lenet(images(3))


def test_the_name_does_not_lie(run_folder):
    with pytest.raises(UserError, match=r"holds a lenet; set callbacks\.quality\.extractor\.name=lenet"):
        TrainedFeatures(str(run_folder), "resnet", "")


def test_a_missing_checkpoint_is_called_by_its_option(tmp_path):
    with pytest.raises(UserError, match=r"callbacks\.quality\.extractor\.checkpoint=.*no such file"):
        TrainedFeatures(str(tmp_path / "nothing"), "lenet", "")
    with pytest.raises(UserError, match=r"callbacks\.quality\.extractor\.checkpoint=last: there is no"):
        TrainedFeatures("last", "lenet", str(tmp_path))


def test_a_network_without_a_last_linear_layer_is_refused(tmp_path):
    save(tmp_path / "x.ckpt", "model=nin", "data=digits")
    with pytest.raises(UserError, match="the last layer of nin is not linear"):
        TrainedFeatures(str(tmp_path / "x.ckpt"), "nin", "")


# --- Inception


def test_inception_without_its_package(monkeypatch):
    monkeypatch.setattr(extractors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'uv pip install -e "\.\[gan\]", or choose extractor=pixels'):
        Inception()


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """torch's cache, empty, and torch-fidelity's address of the weights, where nobody answers."""
    package = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    package.URL_INCEPTION_V3 = "http://127.0.0.1:9/weights-0123abcd.pth"
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", package)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints" / "weights-0123abcd.pth"


def test_inception_without_weights_is_refused_at_once(cache):
    with pytest.raises(UserError, match=r"extractor\.download=true where there is a network") as refused:
        inception_weights(download=False)
    assert str(cache) in str(refused.value)


def test_inception_without_weights_and_network(cache):
    with pytest.raises(UserError, match="no weights could be fetched"):
        inception_weights(download=True)
    assert not cache.exists()


def test_inception_weights_that_are_there_are_used(cache):
    cache.parent.mkdir()
    cache.touch()
    assert inception_weights(download=False) == inception_weights(download=True) == cache


# --- what a classifier sees


def test_class_shares_and_confidence():
    """90, 9, 1 and no images of four classes, each with probability p for its own and the rest shared."""
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    for p in (0.4, 1.0):
        probabilities = torch.full((100, 4), (1 - p) / 3).scatter(1, labels[:, None], p)
        assert class_counts(probabilities).tolist() == [90, 9, 1, 0]
        assert smallest_class_share(probabilities) == 0
        assert smallest_class_share(probabilities[:, :3]) == 0.01
        assert math.isclose(confidence(probabilities), p, rel_tol=1e-6)
