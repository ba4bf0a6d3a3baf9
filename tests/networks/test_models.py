"""Every classifier in configs/model maps images to logits, found by globbing: a new file is tested for free."""

import functools
from pathlib import Path

import hydra
import pytest
import torch
from conftest import models_for
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

CONFIGS = Path(__file__).parents[2] / "configs"
MODELS = sorted(models_for("classification"))


@functools.cache
def compose(name):
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(config_dir=str(CONFIGS), version_base="1.3"):
        return hydra.compose("train", overrides=[f"model={name}"])


LARGE = {"wide_resnet", "vgg13", "vgg16", "vgg19", *(f"resnet{n}" for n in (34, 44, 50, 56, 101, 110, 152, 1202))}


def build(name, channels, image_size):
    facts = OmegaConf.create({"data": {"channels": channels, "image_size": image_size, "num_classes": 7}})
    network = OmegaConf.merge(
        OmegaConf.create({"model": {"network": compose(name).model.network}}), facts
    ).model.network
    return hydra.utils.instantiate(network)


@pytest.mark.parametrize(("channels", "image_size"), [(1, 28), (3, 64), (3, 224)])
@pytest.mark.parametrize("name", MODELS)
def test_maps_images_to_logits(name, channels, image_size):
    with torch.device("meta"):
        network = build(name, channels, image_size).eval()
        images = torch.empty(2, channels, image_size, image_size)
    assert network(images).shape == (2, 7)


@pytest.mark.parametrize("name", MODELS)
def test_says_in_one_line_what_it_is(name):
    first = (CONFIGS / "model" / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) <= 110


@pytest.mark.parametrize("name", sorted({*MODELS} - LARGE))
def test_every_weight_is_used(name):
    """A gradient reaches all parameters, also on a grey image of 28 px."""
    torch.manual_seed(0)
    network = build(name, 1, 28).train()
    outputs = network(torch.randn(2, 1, 28, 28))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum(logits.logsumexp(1).sum() for logits in outputs).backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []
