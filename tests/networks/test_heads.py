"""A new head knows nothing: the first loss of every classifier is the logarithm of the number of classes."""

import itertools
import math

import pytest
import timm
import torch
from conftest import compose, models_for, written
from torch.nn.functional import cross_entropy

from lightloom.config.compose import without_hydra
from lightloom.config.instantiate import build
from lightloom.networks.heads import head_names
from lightloom.networks.library import from_timm, from_torchvision

CLASSES = 4
SIZES = {"inception_v3": 75, "vit": 32}
TIMM = [
    *timm.list_models("test_*"),
    *("tf_efficientnet_lite0", "mobilenetv3_small_050", "ghostnet_050", "deit_tiny_distilled_patch16_224"),
    *("levit_128s", "efficientvit_b0", "rexnet_100", "mobileone_s0", "efficientformer_l1"),
]
TORCHVISION = ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5", "efficientnet_b0"]


def first_loss(network: torch.nn.Module, size: int, classes: int) -> float:
    """In multiples of ln(classes), of the first step on noise."""
    labels = torch.arange(max(classes, 4)) % classes
    with torch.no_grad():
        output = network.train()(torch.randn(len(labels), 3, size, size))
    logits = output if isinstance(output, torch.Tensor) else output[0]
    return float(cross_entropy(logits, labels)) / math.log(classes)


def drawn_as_published(model: str) -> bool:
    """Networks of the house with He et al.'s variance in all layers, the last one too: their papers say so."""
    return written(model).init == "he"


@pytest.mark.parametrize("model", [model for model in models_for("classification") if not drawn_as_published(model)])
def test_the_first_loss_of_every_model(model):
    size = SIZES.get(model, 32)
    patch = ["model.network.patch_size=8"] if model == "vit" else []
    cfg = without_hydra(compose(f"model={model}", "data=cifar10_small", f"data.image_size={size}", *patch))
    torch.manual_seed(0)
    network = build(cfg.model.network, "model.network")
    assert first_loss(network, size, cfg.data.num_classes) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("name", "classes"), list(zip(TIMM, itertools.cycle([2, 10]), strict=False)))
def test_the_first_loss_of_timms_families(name, classes):
    cfg = timm.get_pretrained_cfg(name)
    size = cfg.input_size[1] if cfg.fixed_input_size else 96
    torch.manual_seed(0)
    assert first_loss(from_timm(name, 3, classes, size), size, classes) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_first_loss_of_torchvisions_families(name):
    torch.manual_seed(0)
    assert first_loss(from_torchvision(name, 3, 2, 64), 64, 2) == pytest.approx(1, abs=0.05)


def test_a_library_network_that_is_enlarged_still_names_its_head():
    assert head_names(from_timm("test_resnet", 3, 2, 32, min_size=64)) == ("1.fc",)
    assert head_names(from_torchvision("squeezenet1_1", 3, 2, 64)) == ("classifier.1",)


def test_given_weights_are_all_kept_where_the_classes_are_the_same(tmp_path):
    network = timm.create_model("test_efficientnet", num_classes=7)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    loaded = from_timm("test_efficientnet", 3, 7, 64, checkpoint=str(tmp_path / "weights.pth"), pretrained=True)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())
