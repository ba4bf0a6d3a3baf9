"""What `trust` opens: what the named packages define, not what can be reached through them."""

import json
import sys

import pytest
import torch
from omegaconf import OmegaConf

from lightloom.core.errors import UserError
from lightloom.engine.trust import check_trusted

SOURCE = """
import json
from os import system
from torch import nn

class Net(nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

def make():
    return Net()

def _hidden():
    return Net()
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    name = f"their_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def asks(target, trust=()):
    check_trusted(OmegaConf.create({"part": {"_target_": target}}), "from.ckpt", trust)


def test_what_a_trusted_package_defines_is_built(package):
    for name in ("Net", "make", "nn.Linear"):
        asks(f"{package}.{name}", [package])
        asks(f"{package}.{name}", package)  # trust=their_package, without brackets


@pytest.mark.parametrize("name", ["system", "json.codecs.open", "json.loads", "nn.Module.__init__", "_hidden", "No"])
def test_what_it_only_leads_to_is_not(package, name):
    with pytest.raises(UserError, match="not built"):
        asks(f"{package}.{name}", [package])


def test_a_part_of_a_name_is_not_the_name(package):
    with pytest.raises(UserError, match=f"say trust=.{package}"):
        asks(f"{package}.Net", f"{package}_and_more")


def test_a_file_trusts_nobody_in_its_users_name():
    extractor = "lightloom.predict.classes.features.TrainedFeatures"
    for claimed in (["evil"], "evil"):
        claims = OmegaConf.create({"part": {"_target_": extractor, "trust": claimed}})
        with pytest.raises(UserError, match="which only you can"):
            check_trusted(claims, "from.ckpt", ["mine"])
    check_trusted(OmegaConf.create({"part": {"_target_": extractor, "trust": ["mine"]}}), "from.ckpt", ["mine"])


# --- who hands it on


def test_a_safetensors_file_of_a_trusted_package_is_loaded(package, tmp_path):
    from safetensors.torch import save_file

    from lightloom.exporting.formats import load_safetensors

    path = tmp_path / "x.safetensors"
    weights = torch.nn.Linear(2, 2).state_dict(prefix="layer.")
    save_file(weights, path, metadata={"model": json.dumps({"_target_": f"{package}.Net"})})
    with pytest.raises(UserError, match=rf"say trust=\[{package}\]"):
        load_safetensors(path)
    loaded = load_safetensors(path, trust=[package]).state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_an_extractors_checkpoint_gets_the_commands_trust(package, tmp_path):
    from conftest import compose

    from lightloom.engine import checkpoint
    from lightloom.predict.classes.features import TrainedFeatures

    options = ("model=gan", "extractor@callbacks.quality.extractor=classifier", f"trust=[{package}]")
    assert compose(*options, "callbacks.quality.extractor.checkpoint=x").callbacks.quality.extractor.trust == [package]
    path, weights = tmp_path / "x.ckpt", torch.nn.Linear(2, 2).state_dict(prefix="layer.")
    config = {"model": {"_target_": f"{package}.Net"}, "data": {"name": "x"}}
    checkpoint.save({"state_dict": weights, "global_step": 1, "lightloom": {"config": config, "data": {}}}, path)
    with pytest.raises(UserError, match=rf"say trust=\[{package}\]"):
        TrainedFeatures(str(path), "net", str(tmp_path))
    with pytest.raises(UserError, match="is a Net's, not a classifier's"):
        TrainedFeatures(str(path), "net", str(tmp_path), trust=[package])
