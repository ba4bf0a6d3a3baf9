"""Every detector, and every data set with boxes: a new file in configs/ is tested without a new test."""

import pytest
import torch
from conftest import at_hand, data_of, in_turn, models_for
from data_of_task import LESS
from one_step import reader_of_sets, train_and_restore
from statistics_of_batches import initial_share

from lightloom.config import compose
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError

DATA = data_of("detection")
SMALL = ["data.batch_size=2", "data.image_size=96", "data.num_workers=0"]  # the same code, less arithmetic


@pytest.fixture(scope="module")
def datasets():
    """Of each name its datamodule, read once."""
    return reader_of_sets("faster_rcnn", SMALL)


@pytest.mark.parametrize(("model", "data"), in_turn(models_for("detection"), DATA, "digit_scenes"))
def test_one_step_saved_and_reloaded_finds_equal_boxes(model, data, datasets, tmp_path):
    datamodule, small = at_hand(datasets(data)), [*SMALL, *LESS.get(model, ())]
    if model == "mask_rcnn" and not datamodule.facts()["has_masks"]:
        with pytest.raises(UserError, match="has boxes only"):
            train_and_restore(model, data, small, datamodule, tmp_path)
        return
    _, module, again = train_and_restore(model, data, small, datamodule, tmp_path)
    images = [torch.rand(3, 80, 96), torch.rand(3, 96, 72)]
    with torch.inference_mode():
        for expected, found in zip(module.detect(images), again.detect(images), strict=True):
            assert expected.keys() == found.keys() >= {"boxes", "labels", "scores"}
            assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.parametrize("model", models_for("detection"))
def test_statistics_of_batches_follow_within_a_few_steps(model):
    cfg = compose.without_hydra(compose.compose("train", [f"model={model}", "data=digit_scenes"]))
    assert initial_share(build(cfg.model.network, "model.network"), steps=50) < 0.25
