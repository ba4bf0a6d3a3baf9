"""Objects from a configuration, and what is wrong with a configuration of objects."""

import itertools
from pickle import UnpicklingError

import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from lightloom.config.instantiate import build, check_targets
from lightloom.core.errors import UserError, message_of
from lightloom.engine.trust import check_trusted

MLP = {"_target_": "lightloom.networks.mlp.MLP", "in_channels": 1, "num_classes": 10, "image_size": 8, "hidden": [4]}
RESNET = "lightloom.networks.resnet.ResNet"


def said(cfg, where="model.network") -> str:
    with pytest.raises(UserError) as caught:
        build(OmegaConf.create(cfg), where)
    return str(caught.value)


def test_building_is_calling():
    network = build(OmegaConf.create(MLP), "model.network")
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"hiden": [3]}, ["model.network.hiden", "hidden"]),
        ({"_target_": "lightloom.networks.mlp.MPL"}, ["model.network._target_", "MPL"]),
        ({"_target_": "nowhere.at.all.Net"}, ["model.network._target_", "nowhere"]),
        ({"_target_": "pytorch_lightning.callbacks.EarlyStopping", "in_channels": None}, ["monitor", "in_channels"]),
        ({"num_classes": None}, ["model.network.num_classes is empty", "int"]),
    ],
)
def test_what_a_constructor_does_not_take(change, fragments):
    message = said({**MLP, **change})
    assert all(f in message for f in fragments), message


def test_what_is_lacking_is_said():
    lacking = {k: v for k, v in MLP.items() if k != "in_channels"}
    assert "also needs in_channels; set model.network.in_channels=..." in said(lacking)


def test_all_objects_are_asked_before_any_is_built():
    cfg = OmegaConf.create(
        {"trainer": {"_target_": "pytorch_lightning.Trainer", "foo": 1}, "model": {"network": {**MLP, "bar": 1}}}
    )
    with pytest.raises(UserError) as caught:
        check_targets(cfg, "")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["trainer.foo", "model.network.bar"]


@pytest.mark.parametrize(
    ("cfg", "fragment"),
    [
        ({"_target_": "pytorch_lightning.Trainer", "max_time": "abc", "logger": False}, "Timer(duration='abc')"),
        ({"_target_": "pytorch_lightning.Trainer", "profiler": "simpl", "logger": False}, "simple"),
        ({"_target_": "pytorch_lightning.Trainer", "strategy": "dpp", "logger": False}, "invalid strategy"),
        ({**{k: v for k, v in MLP.items() if k != "hidden"}, "_target_": RESNET, "depth": 33}, "33"),
        ({"_target_": "torch.nn.Linear", "in_features": "x", "out_features": 1}, "trainer: "),
    ],
)
def test_what_a_constructor_refuses_is_the_user_s_mistake(cfg, fragment):
    message = said(cfg, "trainer")
    assert fragment in message
    assert "\n" not in message


def test_an_open_ended_constructor_still_knows_a_slip():
    facts = {"in_channels": 1, "num_classes": 2, "image_size": 8}
    timm = {"_target_": "lightloom.networks.library.from_timm", "name": "resnet10t", **facts}
    assert "did you mean model.network.pretrained?" in said({**timm, "pretraned": True})
    check_targets(OmegaConf.create({**timm, "drop_rate": 0.1}), "model.network")


@pytest.mark.parametrize(
    "target", ["os.system", "builtins.eval", "torch.os.system", "torch.hub.load", "lightloom.core.run_dir.create"]
)
def test_a_stranger_s_checkpoint_calls_nothing(target):
    with pytest.raises(UserError, match=r"from\.ckpt"):
        check_trusted(OmegaConf.create({"model": {"_target_": target}}), "from.ckpt")


LINKS = {
    "said": UserError,
    "refused": ValueError,
    "missing": FileNotFoundError,
    "broken": UnpicklingError,
    "fault": KeyError,
}


def raise_chain(links: list[str]) -> None:
    """Raise the first of these errors from the second, that from the third, and so on."""
    error: Exception | None = None
    for i, link in reversed(list(enumerate(links))):
        above = LINKS[link](f"{link} {i}")
        above.__cause__ = error
        error = above
    raise error


@pytest.mark.parametrize("links", [c for n in (1, 2, 3) for c in itertools.product(LINKS, repeat=n)], ids="-".join)
def test_of_a_chain_of_causes_the_nearest_sentence_is_said(links):
    """A wrong file's UnpicklingError below a good sentence is no traceback, whatever stands between."""
    cfg = OmegaConf.create({"_target_": f"{__name__}.raise_chain", "links": list(links)})
    users = [f"said {i}" for i, link in enumerate(links) if link == "said"]
    refusals = [f"model: {link} {i}" for i, link in enumerate(links) if link in ("refused", "missing")]
    with pytest.raises((UserError, InstantiationException)) as caught:
        build(OmegaConf.create({"_target_": "builtins.dict", "inner": cfg}), "model")
    expected = [*users, *refusals][:1]
    assert isinstance(caught.value, UserError) == bool(expected)
    assert message_of(caught.value) == (expected[0] if expected else None)


def test_a_layer_that_cannot_be_is_a_mistake_and_too_little_memory_is_not():
    """Of somebody's own class, whose annotation leaves the range open."""
    layer = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": -3}
    assert "model.network: Trying to create tensor with negative dimension" in said(layer)
    with pytest.raises(Exception, match=r"can.t allocate memory") as caught:
        build(OmegaConf.create({"_target_": "torch.nn.Linear", "in_features": 10**12, "out_features": 10**4}), "model")
    assert not isinstance(caught.value, UserError)
