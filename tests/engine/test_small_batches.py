"""Batches of one: what is measured does not depend on them, and what trains on them learns, or is refused in a line."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from types import ModuleType

import pytest
import pytorch_lightning as pl
import torch
from conftest import ROOT
from torch import nn

from lightloom.core.errors import message_of
from lightloom.networks.segmentation.torchvision import TorchvisionSegmentation

TASKS = sorted(path.stem for path in (ROOT / "configs/task").glob("*.yaml"))


@pytest.fixture(scope="module")
def rhythms() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        found, log = importlib.import_module("attacks.rhythms"), logging.getLogger("lightloom")
        read, level = found.readers.read_digits, log.level
        found.prepared()
        yield found
        found.readers.read_digits = read
        log.setLevel(level)


@pytest.mark.slow  # a second or two each; the networks of timm take some more
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("task", TASKS)
def test_figures_are_those_of_any_batches(rhythms, task):
    """Of nine of validation and nine of the test in one batch, and one by one; each task has a model for it."""
    assert int(rhythms.in_batches(task, 1, 9).split()[0]) >= 2


@pytest.mark.slow  # a second or two each; the networks of timm take some more
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("task", TASKS)
def test_a_step_on_one_sample_is_taken(rhythms, task):
    """Two steps, after which each weight is finite and some have moved."""
    _, module, data = rhythms.built(task, "data.batch_size=1")
    before = [weight.detach().clone() for weight in module.parameters()]
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_steps=2, limit_val_batches=0, use_distributed_sampler=False, **quiet
    )
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == 2
    assert all(weight.isfinite().all() for weight in module.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))


NORMS = {
    "vectors": (nn.BatchNorm1d(4), (1, 4)),
    "maps of a pixel": (nn.BatchNorm2d(4), (1, 4, 1, 1)),
    "DeepLabV3, which pools the image": (
        TorchvisionSegmentation("deeplabv3_mobilenet_v3_large", 3, 2, auxiliary=False),
        (1, 3, 32, 32),
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_batch_norm_of_one_value_is_one_line(name):
    network, shape = NORMS[name]
    with pytest.raises(ValueError, match="more than 1 value") as raised:
        network.train()(torch.zeros(shape))
    said = message_of(raised.value)
    assert said
    assert "\n" not in said
    assert "set a larger data.batch_size" in said
