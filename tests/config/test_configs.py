"""Every YAML file that can be chosen composes and resolves."""

import functools
import itertools

import pytest
from conftest import compose, fits, kind_of, names
from omegaconf import OmegaConf

from lightloom.config import compose as config
from lightloom.config.foreign import plain
from lightloom.engine.trust import check_trusted

GROUPS = (
    "model",
    "data",
    "trainer",
    "optimizer",
    "scheduler",
    "callbacks",
    "extractor",
    "logger",
    "debug",
    "experiment",
)
CHOICES = [(group, name) for group in GROUPS for name in names(group)]


def _fitting(group: str, name: str) -> list[str]:
    """A model with a data set of a kind that it accepts, and the other way round: the first that fits.

    An extractor is of a measure that generative models have, and may ask for a checkpoint.
    """
    if group == "extractor":
        options = OmegaConf.load(config.CONFIGS / f"extractor/{name}.yaml")
        asked = [key for key in options if OmegaConf.is_missing(options, key)]
        return ["model=dcgan", f"extractor={name}", *(f"callbacks.quality.extractor.{key}=last" for key in asked)]
    if group == "model":
        return [f"model={name}", f"data={next(data for data in ['digits', *names('data')] if fits(name, data))}"]
    return [f"model={next(model for model in ['lenet', *names('model')] if fits(model, name))}", f"data={name}"]


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_each_choice_composes_and_resolves(group, name):
    choice = _fitting(group, name) if group in ("model", "data", "extractor") else [f"{group}={name}"]
    cfg = config.without_hydra(compose(*choice))
    assert not OmegaConf.missing_keys(cfg)
    assert {"model", "data", "trainer"} <= set(cfg)
    check_trusted({part: plain(cfg.get(part)) for part in ("model", "data", "callbacks")}, name)  # as from a file


@pytest.mark.parametrize(
    ("experiment", "debug"),
    list(zip(names("experiment"), itertools.cycle(["limit", "overfit", "profiler"]), strict=False)),
)
def test_debug_wins_over_experiment(experiment, debug):
    both = compose(f"experiment={experiment}", f"debug={debug}")
    assert both.trainer.max_epochs == _epochs_of(debug)


@pytest.mark.parametrize("data", list({kind_of(name): name for name in names("data")}.values()))
def test_data_of_any_kind_can_be_overfitted(data):
    choice = _fitting("data", data)
    if ".data." not in compose(*choice).data._target_:
        pytest.skip("data of one's own")  # reason: in a project made by make new; it may have no such options
    assert compose(*choice, "debug=overfit").data.augment is None


@functools.cache
def _epochs_of(debug: str) -> int:
    return compose(f"debug={debug}").trainer.max_epochs


def test_the_facts_of_the_data_reach_the_model():
    cfg = config.without_hydra(compose("model=lenet", "data=image_folder", "data.num_classes=100"))
    assert (cfg.model.num_classes, cfg.model.network.num_classes, cfg.model.network.in_channels) == (100, 100, 3)


def test_a_preset_is_replaced_whole():
    assert set(compose("model=lenet", "optimizer=rmsprop").model.optimizer) == {
        "_target_", "_partial_", "lr", "alpha", "weight_decay",
    }  # fmt: skip
