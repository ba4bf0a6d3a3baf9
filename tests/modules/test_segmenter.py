"""A segmenter's figures are those of all pixels at the masks' own size; every network on every set of masks."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from conftest import at_hand, data_of, in_turn, models_for
from one_step import reader_of_sets, train_and_restore
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.losses.segmentation import SegmentationLoss
from lightloom.metrics.segmentation import of_confusion
from lightloom.modules.segmenter import Segmenter

DATA = data_of("segmentation")
SMALL = ["data.batch_size=2", "data.height=64", "data.width=64", "data.num_workers=0"]


@pytest.fixture(scope="module")
def datasets():
    """Of each name its datamodule, read once."""
    return reader_of_sets("unet", SMALL)


@pytest.mark.parametrize(("model", "data"), in_turn(models_for("segmentation"), DATA, "river_scenes"))
def test_one_step_saved_and_reloaded_segments_equally(model, data, datasets, tmp_path):
    _, module, again = train_and_restore(model, data, SMALL, at_hand(datasets(data)), tmp_path)
    images = [torch.rand(3, 40, 56), torch.rand(3, 33, 47)]
    with torch.inference_mode():
        for expected, found in zip(module.segment(images), again.segment(images), strict=True):
            assert torch.equal(expected, found)
            torch.testing.assert_close(found.sum(0), torch.ones(found.shape[1:]))


class Painter(nn.Module):
    """Gives each pixel the class that its red is nearest to, in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(30.0))

    def forward(self, images: Tensor) -> Tensor:
        shades = torch.linspace(0, 1, 3).view(1, 3, 1, 1)
        return -self.scale * (images[:, :1] - shades).abs()


def segmenter(**options: object) -> Segmenter:
    return Segmenter(
        Painter(),
        SegmentationLoss(3, **options),
        torch.optim.SGD,
        3,
        [0.0] * 3,
        [1.0] * 3,  # type: ignore[arg-type]
    )


def test_figures_are_of_all_pixels_at_the_masks_own_size():
    """Batches of images of several sizes, ignored pixels, and a mask twice as large as what the model sees."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, h, w, generator=generator) for h, w in ((8, 6), (8, 6), (5, 9))]
    masks = [torch.randint(3, size, generator=generator) for size in ((8, 6), (16, 12), (5, 9))]
    masks[1][:, :4] = 255
    module = segmenter().eval()
    found = [p.argmax(0) for p in module.segment(images, [mask.shape for mask in masks])]
    matrix = torch.zeros(3, 3)
    for mask, answer in zip(masks, found, strict=True):
        for truth, label in zip(mask.flatten().tolist(), answer.flatten().tolist(), strict=True):
            if truth != 255:
                matrix[truth, label] += 1
    batches = [(images[:2], masks[:2]), (images[2:], masks[2:])]
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(accelerator="cpu", **quiet)  # type: ignore[arg-type]
    (results,) = trainer.test(module, torch.utils.data.DataLoader(batches, batch_size=None), verbose=False)
    for name, value in of_confusion(matrix).items():
        assert results[f"test/{name}"] == pytest.approx(float(value))


def test_rare_classes_weigh_more_by_their_shares():
    module = segmenter(median_frequency=True)
    module.loss.weigh(torch.tensor([0.6, 0.3, 0.1]))
    torch.testing.assert_close(module.loss.weights, torch.tensor([0.5, 1.0, 3.0]))


def test_one_class_is_nothing_to_learn():
    with pytest.raises(UserError, match="pixels of one class need no model"):
        Segmenter(Painter(), SegmentationLoss(1), torch.optim.SGD, 1, [0.0], [1.0])  # type: ignore[arg-type]
