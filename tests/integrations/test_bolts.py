"""lightning-bolts works under Lightning 2 and leaves the process as it was."""

import subprocess
import sys

import pytest
import torch

from lightloom.core.errors import UserError
from lightloom.integrations import bolts

PROBE = """
import sys, urllib.request, warnings
import numpy as np
import pytorch_lightning as pl
filters, names = list(warnings.filters), set(vars(np))
from lightloom.integrations import bolts
for name in ("models.vision", "models.detection", "models.rl", "datamodules"):
    bolts.load(f"pl_bolts.{name}")
assert set(vars(np)) <= names | {"_core"}, set(vars(np)) - names
assert urllib.request._opener is None
assert not any("UnderReview" in str(f) for f in warnings.filters)
assert "pytorch_lightning.utilities.apply_func" not in sys.modules
assert not hasattr(pl.strategies, "DataParallelStrategy")
"""


def test_importing_leaves_no_trace():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_installed_beside_the_lightning_that_it_refuses():
    import pytorch_lightning as pl

    assert bolts.available()
    assert int(pl.__version__.split(".")[0]) >= 2


def test_a_network_of_bolts_computes():
    unet = bolts.load("pl_bolts.models.vision").UNet(num_classes=3, num_layers=2, features_start=4)
    assert unet(torch.rand(2, 3, 16, 16)).shape == (2, 3, 16, 16)


def test_absence_is_one_sentence(monkeypatch):
    monkeypatch.setattr(bolts, "VERSION", "0.0.0")
    with pytest.raises(UserError, match=r"not installed; `make setup` installs it"):
        bolts.load("pl_bolts")
