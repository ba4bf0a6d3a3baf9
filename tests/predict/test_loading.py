"""`lightloom.load(...).predict` is what predict.py does, for each kind of module."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.predict.boxes.predictor import Predictor as Boxes
from lightloom.predict.classes.predictor import Predictor as Classes
from lightloom.predict.loading import Loaded
from lightloom.predict.reconstructions.predictor import Predictor as Reconstructions
from lightloom.predict.samples.predictor import Predictor as Samples

IMAGES = torch.randint(256, (2, 1, 12, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Classifies(pl.LightningModule):
    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        assert batch[0].shape[1:] == (1, 8, 8)
        return batch[0].flatten(1)[:, :3].softmax(1)


class Detects(pl.LightningModule):
    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        return [{"boxes": image.flatten()[:4][None]} for image in images]


class Rebuilds(pl.LightningModule):
    def reconstruct(self, images: Tensor) -> Tensor:
        return images / 2


class Draws(pl.LightningModule):
    latent_dim = 4

    def decode(self, z: Tensor) -> Tensor:
        return z.view(-1, 1, 2, 2).sigmoid()


class Forwards(pl.LightningModule):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Counts(pl.LightningModule):
    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return {"n": batch["x"].sum()}


def loaded(module: pl.LightningModule, **facts: object) -> Loaded:
    data = {"name": "x", "kind": "image", "image_size": 8, **facts}
    return Loaded(module, OmegaConf.create({"data": data}), {}, Path("x.ckpt"))


def same(found, expected) -> bool:
    if isinstance(found, Tensor):
        return torch.equal(found, expected)
    if isinstance(found, dict):
        return same(list(found.values()), list(expected.values()))
    return all(same(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("module", "predictor", "inputs"),
    [
        (Classifies(), Classes, IMAGES),
        (Detects(), Boxes, [IMAGES[0], IMAGES[1, :, :7]]),
        (Rebuilds(), Reconstructions, IMAGES),
        (Draws(), Samples, torch.randn(3, 4)),
    ],
    ids=["classes", "boxes", "reconstructions", "samples"],
)
def test_it_is_the_predictors_answer(module, predictor, inputs):
    one = loaded(module)
    assert same(one.predict(inputs), predictor(module, one.config.data).predict(inputs))


def test_images_of_several_sizes_are_a_list():
    one = loaded(Classifies())
    found = one.predict([IMAGES[0], IMAGES[1, :, :7]])
    assert torch.equal(found[:1], one.predict(IMAGES[:1]))
    assert torch.equal(found[1:], one.predict(IMAGES[1:, :, :7]))


def test_what_no_predictor_knows_is_lightnings_own_prediction():
    assert loaded(Forwards(), kind="letters").predict(torch.zeros(2)).tolist() == [1, 1]
    assert loaded(Counts(), kind="letters").predict({"x": torch.ones(3)})["n"] == 3
    with pytest.raises(UserError, match="has no predict_step or forward to predict with"):
        loaded(pl.LightningModule()).predict(nn.Parameter(torch.zeros(2)))
