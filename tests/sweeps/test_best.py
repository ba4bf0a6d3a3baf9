"""The file of the best options composes to what the best trial was run with."""

from __future__ import annotations

import pytest
from given_plan import plan
from omegaconf import OmegaConf

from lightloom.config import compose
from lightloom.engine.resume import differences
from lightloom.sweeps import best, space

PLANS = {
    "lists of groups, a debug mode, a seed": (
        *("model=resnet20", "callbacks=[default,ema]", "logger=csv", "debug=limit", "seed=1,2"),
        *("data.augment.cutmix=0.5", "model.attention_stages=[1,2]", "model.attention=se"),
    ),
    "another experiment": ("experiment=fashion_mnist_speedrun", "model.optimizer.lr=0.1,0.2", "data.augment.mixup=0.2"),
    "presets of players, an added option, no logger": (
        *("model=dcgan", "optimizer@model.generator_optimizer=rmsprop_wgan", "logger=null", "+trainer.min_epochs=1"),
        "model.discriminator_optimizer.lr=1e-4,2e-4",
    ),
}


@pytest.mark.parametrize("options", PLANS.values(), ids=PLANS)
def test_the_experiment_is_the_trial(options, tmp_path):
    found = plan(tmp_path, *options)
    values = {p.key: p.samples()[1] for p in found.parameters}
    path = best.path_of(found)
    path.parent.mkdir()
    path.write_text(best.text(found, values, "trial 3"))
    beside = [o for o in found.overrides if o.startswith("debug=")]  # which a file cannot choose, and says so
    assert all(o in path.read_text() for o in beside)
    own = compose.check("train", [*found.overrides, *space.lines(values)], found.config_dir)
    trial, repeated = (
        OmegaConf.to_container(compose.without_hydra(compose.compose("train", lines, found.config_dir)))
        for lines in (own, ["experiment=best_s", *beside, f"paths.log_dir={tmp_path}"])
    )
    assert differences(trial, repeated) == []
    assert differences(trial, {**repeated, "seed": 99}) != []
