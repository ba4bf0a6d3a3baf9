"""Every classifier, and every image data set: a new file in configs/ is tested without a new test."""

import json

import commands
import pytest
import pytorch_lightning as pl
import torch
from conftest import IMAGE_DATA, at_hand, in_turn, models_for, names, real, written
from one_step import train_and_restore

from lightloom.config.compose import compose, without_hydra
from lightloom.engine import checkpoint, train
from lightloom.engine import trainer as trainers

# Very deep networks have the code paths of their shallow sisters, wide ones those of narrow ones.
STAND_IN = {
    "wide_resnet": {"+model.network.layers": [1, 1, 1, 1]},
    "resnet1202": {"model.network.depth": 20},
    "resnet110": {"model.network.depth": 20},
    "resnet152": {"model.network.depth": 50},
    "resnet101": {"model.network.depth": 50},
}
MODELS = models_for("classification")


@pytest.mark.parametrize(("model", "data"), in_turn(MODELS, IMAGE_DATA, "digits"))
def test_one_step_saved_and_reloaded_gives_equal_outputs(model, data, datamodules, tmp_path):
    overrides, datamodule = datamodules(data)
    datamodule = at_hand(datamodule)
    options = [*overrides, *small(model), *fitting(model, datamodule)]
    cfg, module, again = train_and_restore(model, data, options, datamodule, tmp_path)
    images = torch.rand(2, cfg.data.channels, cfg.data.image_size, cfg.data.image_size)
    with torch.inference_mode():
        expected = module(images)
        assert expected.shape == (2, datamodule.num_classes)
        assert torch.equal(expected, again(images))


def small(model: str) -> list[str]:
    """Options by which it is less deep, and a quarter as wide where its network has a multiplier of all widths."""
    narrow = {"model.network.width": 0.25} if written(model).network.get("width") == 1.0 else {}
    return [f"{key}={value}" for key, value in {**narrow, **STAND_IN.get(model, {})}.items()]


def fitting(model: str, datamodule: pl.LightningDataModule) -> list[str]:
    """A patch size that divides, as the message for one that does not asks for."""
    if model == "vit":
        return [f"model.network.patch_size={next(p for p in (8, 7, 4) if datamodule.image_size % p == 0)}"]
    return []


@pytest.mark.parametrize("experiment", [name for name in names("experiment") if "speedrun" in name])
def test_a_speedrun_trains_a_step_on_a_cpu_and_is_tested(experiment, tmp_path):
    name = compose("train", [f"experiment={experiment}"]).data.name
    stand_in = ["data=cifar10_small"] if name == "cifar10" else []
    if name != "digits":
        real(stand_in[0].removeprefix("data=") if stand_in else name)
    small = ["trainer.max_epochs=1", "data.batch_size=16", "data.eval_batch_size=50", "trainer=cpu"]
    limits = [f"trainer.limit_{stage}_batches=1" for stage in ("train", "val", "test")]
    commands.run(tmp_path, f"experiment={experiment}", *stand_in, *small, *limits)
    (folder,) = commands.runs(tmp_path)
    assert json.loads((folder / "results.json").read_text())["steps"] == 1
    saved = checkpoint.load(folder / "checkpoints" / "last.ckpt")["state_dict"]
    assert saved["network.0.fitted"]


def test_all_metrics_that_are_promised_are_logged(tmp_path):
    cfg = without_hydra(compose("train", ["model=mlp", "data.batch_size=64", "trainer=cpu"]))
    cfg, datamodule = train.build_data(cfg)
    module = train.build_module(cfg)
    trainer = trainers.make(
        cfg.trainer, max_epochs=1, logger=False, default_root_dir=str(tmp_path), enable_checkpointing=False
    )
    trainer.fit(module, datamodule=datamodule)
    seen = set(trainer.callback_metrics)
    trainer.test(module, datamodule=datamodule, verbose=False)
    assert seen | set(trainer.callback_metrics) == set(module.logged)
