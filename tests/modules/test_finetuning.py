"""Training that begins with given weights: the head first, then all; images as the weights have seen them, and told."""

import logging

import commands
import pytest
import timm
import torch
from conftest import compose

from lightloom.config.compose import without_hydra
from lightloom.core.errors import UserError
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.engine import train
from lightloom.engine.checkpoint import load
from lightloom.modules.preprocessing import settle_preprocessing
from lightloom.networks.heads import head_names, rest_of
from lightloom.networks.library import from_timm, from_torchvision
from lightloom.optim.param_groups import parameter_groups
from lightloom.optim.patterns import matches
from lightloom.predict.images import fitted

RESNET = ["model.network.name=resnet18"]
SMALL = ["model.network.name=test_efficientnet"]
HEAD = {"network.classifier.weight", "network.classifier.bias"}
NETWORKS = ["test_vit", "test_resnet", "test_convnext", "test_efficientnet", "levit_128s"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A state_dict of timm's test_efficientnet for 1000 classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(timm.create_model("test_efficientnet").state_dict(), path)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_head_and_rest_are_all_parameters_each_once(name):
    network = from_timm(name, 3, 5, timm.get_pretrained_cfg(name).input_size[-1])
    parts = [*rest_of(network, head_names(network)), *head_names(network)]
    owners = [[p for p in parts if n == p or n.startswith(f"{p}.")] for n, _ in network.named_parameters()]
    assert all(len(owner) == 1 for owner in owners)


def test_in_the_first_epoch_only_the_head_learns(weights, image_folder, tmp_path):
    """The whole command, with weights from a file."""
    options = ["experiment=finetune", f"data.root={image_folder}", f"model.network.checkpoint={weights}"]
    options += ["model.network.name=test_efficientnet", "data.image_size=32", "data.batch_size=4", "trainer=cpu"]
    commands.run(tmp_path, *options, "trainer.max_epochs=1", "data.num_workers=0", "preflight=false")
    (run,) = commands.runs(tmp_path)
    saved = load(run / "checkpoints" / "last.ckpt")["state_dict"]
    given = load_plain(weights)
    assert all(torch.equal(saved[f"network.{name}"], value) for name, value in given.items())  # statistics too
    assert saved["network.classifier.bias"].all()


def test_after_the_epochs_of_the_head_all_learn_and_the_head_at_the_highest_rate(weights):
    options = [*SMALL, f"model.network.checkpoint={weights}", "data=digits", "data.channels=3", "model.head_epochs=2"]
    cfg = without_hydra(compose("experiment=finetune", *options, "data.num_classes=10", "data.image_size=8"))
    settle_preprocessing(cfg.model, cfg.data)
    module = train.build_module(cfg)
    groups = module.optimizer_groups
    assert groups.unfreeze_at_epoch == 2
    assert {name for name, _ in module.named_parameters() if not matches(name, groups.freeze)} == HEAD
    found = parameter_groups(module, 0.05, 1.0, groups, [module.network])
    rates = {parameter: group.get("lr", 1.0) for group in found for parameter in group["params"]}
    assert len(rates) == len(list(module.parameters()))
    assert {name for name, parameter in module.named_parameters() if rates[parameter] == 1.0} == HEAD


def load_plain(path):
    state = torch.load(path, weights_only=True)
    return {name: value for name, value in state.items() if not name.startswith("classifier.")}


def asked(*options: str):
    return without_hydra(compose("experiment=finetune", "data.root=.", *options))


@pytest.mark.parametrize(
    ("options", "mean", "size", "crop"),
    [
        (["model.network.name=tf_efficientnet_lite0"], [0.5] * 3, 224, 0.875),
        (["model.network.name=test_resnet"], [0.5] * 3, 160, 0.95),
        (["model=torchvision", "model.network.name=resnet18"], [0.485, 0.456, 0.406], 224, 0.875),
        ([*RESNET, "data.channels=1"], [(0.485 + 0.456 + 0.406) / 3], 224, 0.95),
        (
            ["model.network.name=resnet18", "data.image_size=64", "data.crop=1.0", "model.mean=[0.1,0.2,0.3]"],
            [0.1, 0.2, 0.3],
            64,
            1.0,
        ),
    ],
    ids=["efficientnet", "another", "torchvision", "grey", "given"],
)
def test_what_the_weights_have_seen_is_taken_and_told(options, mean, size, crop, caplog):
    cfg = asked(*options)
    with caplog.at_level(logging.INFO, "lightloom"):
        settle_preprocessing(cfg.model, cfg.data)
    assert list(cfg.model.mean) == pytest.approx(mean)
    assert (cfg.data.image_size, cfg.data.crop, cfg.model.network.image_size) == (size, crop, size)
    (line,) = (record.getMessage() for record in caplog.records)
    assert cfg.model.network.name in line
    assert f"{timm.get_pretrained_cfg(cfg.model.network.name).input_size[-1]} px" in line


def test_a_network_without_published_weights_has_none_to_take():
    cfg = without_hydra(compose("model=mlp", "model.mean=null", "model.std=null"))
    with pytest.raises(
        UserError, match=r"^model\.mean, model\.std: null stands for what published weights have seen, and"
    ):
        settle_preprocessing(cfg.model, cfg.data)


def test_two_ways_to_freeze_are_one_too_many():
    cfg = without_hydra(compose("model=mlp", "model.head_epochs=1", "model.optimizer_groups.freeze=[network]"))
    cfg, _ = train.build_data(cfg)
    with pytest.raises(UserError, match=r"model\.head_epochs=1 freezes all but the head"):
        train.build_module(cfg)


def test_a_file_goes_before_a_download(weights, monkeypatch):
    monkeypatch.setattr("lightloom.networks.library.download", None)
    from_timm("test_efficientnet", 3, 2, 64, pretrained=True, checkpoint=str(weights))
    network = from_torchvision("squeezenet1_1", 3, 2, 64)
    torch.save(network.state_dict(), weights.with_name("squeezenet.pth"))
    from_torchvision("squeezenet1_1", 3, 2, 64, pretrained=True, checkpoint=str(weights.with_name("squeezenet.pth")))


def test_a_prediction_sees_the_same_middle_of_an_image_as_an_evaluation():
    pixels = torch.randint(256, (2, 3, 40, 50), dtype=torch.uint8)
    facts = {"name": "x", "kind": "image", "num_classes": 2, "classes": None, "channels": 3, "image_size": 28}
    sizes = {"mean": [0.5] * 3, "std": [0.5] * 3, "batch_size": 2, "eval_batch_size": 2, "augment": None}
    evaluated, _ = ImageDataModule(None, **facts, **sizes, crop=0.875).on_after_batch_transfer((pixels, None, None), 0)
    assert evaluated.shape == (2, 3, 28, 28)
    assert torch.equal(fitted(pixels, {**facts, "crop": 0.875}, "cpu"), evaluated)
    assert not torch.equal(fitted(pixels, facts, "cpu"), evaluated)
