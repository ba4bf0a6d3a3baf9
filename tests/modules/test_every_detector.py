"""Every detector, and every data set with boxes: a new file in configs/ is tested without a new test."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT, at_hand, in_turn, models_for, names
from one_step import train_and_restore
from statistics_of_batches import initial_share

from lightloom.config import compose
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.engine import train

DATA = [n for n in names("data") if compose._kind(ROOT / f"configs/data/{n}.yaml") == "detection"]
SMALL = ["data.batch_size=2", "data.image_size=96", "data.num_workers=0"]  # the same code, less arithmetic


@pytest.fixture(scope="module")
def datasets():
    """name -> its datamodule, or the message where the data is not on this machine; read once."""
    found: dict = {}

    def get(name: str):
        if name not in found:
            cfg = compose.without_hydra(compose.compose("train", ["model=faster_rcnn", f"data={name}", *SMALL]))
            try:
                found[name] = train.build_data(cfg)[1]
            except UserError as error:
                if cfg.data.root and Path(cfg.data.root).exists():
                    raise  # the data is here: no reason to skip
                found[name] = error
        return found[name]

    return get


@pytest.mark.parametrize(("model", "data"), in_turn(models_for("detection"), DATA, "digit_scenes"))
def test_one_step_saved_and_reloaded_finds_equal_boxes(model, data, datasets, tmp_path):
    datamodule = at_hand(datasets(data))
    if model == "mask_rcnn" and not datamodule.facts()["has_masks"]:
        with pytest.raises(UserError, match="has boxes only"):
            train_and_restore(model, data, SMALL, datamodule, tmp_path)
        return
    _, module, again = train_and_restore(model, data, SMALL, datamodule, tmp_path)
    images = [torch.rand(3, 80, 96), torch.rand(3, 96, 72)]
    with torch.inference_mode():
        for expected, found in zip(module.detect(images), again.detect(images), strict=True):
            assert expected.keys() == found.keys() >= {"boxes", "labels", "scores"}
            assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.parametrize("model", models_for("detection"))
def test_statistics_of_batches_follow_within_a_few_steps(model):
    cfg = compose.without_hydra(compose.compose("train", [f"model={model}", "data=digit_scenes"]))
    assert initial_share(build(cfg.model.network, "model.network"), steps=50) < 0.25
