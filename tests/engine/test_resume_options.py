"""Which options of a recorded run may be others now, and what is done to find out."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from lightloom.config.declarations import declares
from lightloom.core.errors import UserError
from lightloom.engine.evaluate import test_callbacks as callbacks_of_a_test
from lightloom.engine.resume import check_same
from lightloom.engine.train import settle_options

FILE = Path("last.ckpt")
SOURCE = """
import pathlib
pathlib.Path(__file__).with_suffix(".ran").touch()

class Shows:
    only_shows: bool = True

class ShowsToo(Shows):
    pass

class Trains(Shows):
    only_shows = False

class Negotiates:
    settle = 3
    options = None

    @staticmethod
    def settle_options(options, begun, cfg):
        options.name = "today"
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Somebody's module, and the file that it leaves where it is imported."""
    name = f"theirs_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return SimpleNamespace(name=name, ran=tmp_path / f"{name}.ran")


def config(**callbacks):
    return {"callbacks": callbacks}


def test_what_a_class_declares_is_read_from_its_source(theirs):
    found = {name: declares(f"{theirs.name}.{name}", "only_shows") for name in ("Shows", "ShowsToo", "Trains", "None")}
    assert found == {"Shows": True, "ShowsToo": True, "Trains": False, "None": False}
    assert declares("lightloom.callbacks.run.console.Console", "only_shows")
    assert not declares("lightloom.callbacks.run.checkpoints.RunCheckpoint", "only_shows")
    assert not declares("pytorch_lightning.Callback", "only_shows")


def test_a_callback_of_the_checkpoint_is_not_imported(theirs):
    check_same(config(x={"_target_": f"{theirs.name}.Shows", "every": 1}), config(), FILE)
    assert not theirs.ran.exists()


def test_both_must_only_show(theirs):
    shows, too, trains = ({"_target_": f"{theirs.name}.{n}", "every": 1} for n in ("Shows", "ShowsToo", "Trains"))
    check_same(config(x=shows), config(x={**too, "every": 2}), FILE)
    check_same(config(), config(x=shows), FILE)
    for before, after in ((shows, trains), (trains, shows), (shows, {**trains, "every": 2})):
        with pytest.raises(UserError, match=r"callbacks\.x\._target_"):
            check_same(config(x=before), config(x=after), FILE)


@pytest.mark.parametrize("value", ["text", 3, ["a"]])
def test_a_callback_that_is_no_object_is_an_option_like_others(value):
    with pytest.raises(UserError, match=r"callbacks\.x"):
        check_same(config(x=value), config(), FILE)
    trained = OmegaConf.create(config(x=value))
    assert list(callbacks_of_a_test(OmegaConf.create({}), trained)) == []


def test_whom_a_command_trusts_is_no_option_of_the_run():
    check_same({}, {"trust": ["mine"], "callbacks": {"quality": {"extractor": {"trust": ["mine"]}}}}, FILE)


def test_an_attribute_of_a_common_name_is_nobodys_hook(theirs, tmp_path):
    cfg = OmegaConf.create({"model": {"_target_": f"{theirs.name}.Negotiates", "name": "last"}})
    settle_options(cfg, tmp_path)
    assert cfg.model.name == "today"


def test_an_option_that_a_class_has_got_since_is_its_default():
    target = {"_target_": "lightloom.losses.classification.CrossEntropy", "label_smoothing": 0.1}
    check_same({"model": {"loss": target}}, {"model": {"loss": {**target, "gamma": 0.0}}}, FILE)
    with pytest.raises(UserError, match=r"model\.loss\.gamma: 0\.0 -> 2\.0"):
        check_same({"model": {"loss": target}}, {"model": {"loss": {**target, "gamma": 2.0}}}, FILE)
    with pytest.raises(UserError, match=r"model\.loss\.label_smoothing: 0\.1 -> 0\.0"):
        check_same({"model": {"loss": target}}, {"model": {"loss": {**target, "label_smoothing": 0.0}}}, FILE)
