"""Modules of ours under a pl.Trainer of one's own, with plain loaders and without a datamodule."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from lightloom.modules.classifier import Classifier
from lightloom.networks.airbench import AirBench
from lightloom.networks.lenet import LeNet
from lightloom.networks.whitening import Whitening
from lightloom.optim import schedules

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def loader(count: int = 24, size: int = 8) -> DataLoader:
    return DataLoader(TensorDataset(torch.rand(count, 1, size, size), torch.arange(count) % 3), 8)


@pytest.mark.parametrize(("options", "steps"), [({"max_epochs": 4}, 12), ({"max_steps": 5}, 5)])
@pytest.mark.filterwarnings("ignore")
def test_a_schedule_gets_its_length_from_the_trainer(tmp_path, options, steps):
    asked: list[int] = []

    def schedule(optimizer, total_steps):
        asked.append(total_steps)
        return schedules.cosine(optimizer, total_steps)

    module = Classifier(LeNet(1, 3, 28), partial(torch.optim.SGD, lr=0.1), 3, [0.5], [0.3], schedule)
    trainer = pl.Trainer(**options, default_root_dir=tmp_path, enable_checkpointing=False, **QUIET)
    trainer.fit(module, loader(size=28))
    assert asked == [steps] == [trainer.global_step]


@pytest.mark.filterwarnings("ignore")
def test_a_whitening_layer_is_fitted_to_what_the_loader_gives(tmp_path):
    network = AirBench(1, 3, image_size=8, widths=[4, 4])
    module = Classifier(network, partial(torch.optim.SGD, lr=0.1), 3, [0.5], [0.3])
    trainer = pl.Trainer(max_epochs=1, default_root_dir=tmp_path, enable_checkpointing=False, **QUIET)
    data = loader()
    trainer.fit(module, data)
    (layer,) = (part for part in network.modules() if isinstance(part, Whitening))
    assert layer.fitted
    expected = Whitening(1, layer.patch, layer.stride)
    expected.fit((images - 0.5) / 0.3 for images, _ in data)
    torch.testing.assert_close(layer.weight, expected.weight)


def test_importing_the_package_loads_no_torch():
    said = subprocess.run(
        [sys.executable, "-c", "import sys, lightloom; print('torch' in sys.modules, callable(lightloom.load))"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "src"},
    )
    assert said.stdout.split() == ["False", "True"]
