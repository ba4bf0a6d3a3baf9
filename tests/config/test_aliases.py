"""What version 0.1 wrote down is read under today's names; what a run of today wrote down is left as it is."""

import pytest

from lightloom.cli.launch import _recorded
from lightloom.config.aliases import modernized, modernized_overrides, renamed
from lightloom.core import run_dir
from lightloom.engine import checkpoint

OLD = {
    "alternating": False,
    "model": {"_target_": "lightlab.modules.classifier.Classifier", "alternating": 3},
    "callbacks": {"signals": {"_target_": "lightlab.callbacks.signals.Signals"}, "mine": None},
}


def test_an_old_record_has_todays_names():
    assert modernized(OLD) == {
        "model": {"_target_": "lightloom.modules.classifier.Classifier", "alternating": 3},
        "callbacks": {"preemption": {"_target_": "lightloom.callbacks.run.preemption.Preemption"}, "mine": None},
    }


def test_only_objects_are_renamed():
    assert renamed({"name": "lightlab.x", "parts": [{"_target_": "lightlab.keys.mix"}]}) == {
        "name": "lightlab.x",
        "parts": [{"_target_": "lightloom.ops.rng.mix"}],
    }


def test_a_record_of_today_is_left_as_it_is(tmp_path):
    """A person's own option may be called as one that is gone, and their package as ours was."""
    content = {"state_dict": {}, "global_step": 1, "hyper_parameters": {"alternating": True}}
    for key, config in (("lightloom", OLD), ("hyper_parameters", modernized(OLD))):
        record = {"lightloom": {"config": OLD, "data": {}}} if key == "lightloom" else {"hyper_parameters": OLD}
        path = tmp_path / f"{key}.ckpt"
        checkpoint.save({**content, **record}, path)
        assert checkpoint.load(path)["config"] == config


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("callbacks.signals.seconds_to_agree=2.0", "callbacks.preemption.seconds_to_agree=2.0"),
        ("callbacks.finite=null", "callbacks.nan_guard=null"),
        ("~callbacks.finite", "~callbacks.nan_guard"),
        ("+callbacks.wrong_images.most=3", "+callbacks.misclassified.most=3"),
        ("model.network._target_=lightlab.networks.mlp.MLP", "model.network._target_=lightloom.networks.mlp.MLP"),
        ("+callbacks.x={_target_: lightlab.callbacks.finite.FiniteGuard}", None),
        ("model.signals=1", "model.signals=1"),
        ("run_name=callbacks.finite.lightlab", "run_name=callbacks.finite.lightlab"),
    ],
)
def test_an_old_command_line(old, new):
    assert modernized_overrides([old]) == [
        new or "+callbacks.x={_target_: lightloom.callbacks.run.nan_guard.NaNGuard}",
    ]


def test_an_option_that_is_gone_is_not_asked_for():
    assert modernized_overrides(["+alternating=true", "model.alternating=true"]) == ["model.alternating=true"]


@pytest.mark.parametrize(("package", "name"), [("lightlab", "preemption"), ("lightloom", "signals")])
def test_a_callback_of_today_keeps_its_name(tmp_path, package, name):
    (tmp_path / run_dir.CONFIG).write_text(f"model:\n  _target_: {package}.modules.classifier.Classifier\n")
    run_dir.record_overrides(tmp_path, ["callbacks.signals.every=2"])
    assert _recorded(tmp_path) == [f"callbacks.{name}.every=2"]
