"""Drawn boxes are where they are said to be, the worst come first, and the confusion has a background."""

import csv
import json
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightloom.callbacks.boxes.overlays import MOST_SIDE, Overlays, drawn_on, faults, page, readable, write_scenes
from lightloom.callbacks.boxes.precision_recall import PrecisionRecall, draw
from lightloom.callbacks.images.confusion_matrix import ConfusionMatrix
from lightloom.metrics.detection import BoxConfusion
from lightloom.ops.images.grid import read_png

SIDE = 128  # drawn at twice that


def truth(*boxes: list[float]) -> dict[str, Tensor]:
    return {"boxes": torch.tensor(boxes).view(-1, 4), "labels": torch.ones(len(boxes), dtype=torch.int64)}


def found(*boxes: list[float], score: float = 0.9) -> dict[str, Tensor]:
    return truth(*boxes) | {"scores": torch.full((len(boxes),), score)}


def test_a_box_is_drawn_at_its_place_in_an_enlarged_image():
    image = torch.zeros(3, SIDE, SIDE)
    plain, drawn = drawn_on(image, truth(), ["cat"]), drawn_on(image, truth([20, 30, 100, 90]), ["cat"])
    assert drawn.shape == plain.shape == (3, 2 * SIDE, 2 * SIDE)
    y, x = (drawn != plain).any(0).nonzero().unbind(1)
    for value, expected in zip((x.min(), y.min(), x.max(), y.max()), (40, 60, 200, 180), strict=True):
        assert abs(int(value) - expected) <= 2  # the line's width


@pytest.mark.parametrize(("side", "width"), [(400, 2), (4000, 8)])
def test_lines_are_wider_in_a_large_image(side, width):
    drawn = drawn_on(torch.zeros(3, 100, side), truth([20, 50, 300, 90]), ["cat"])
    column = drawn[:, 70:, 150].any(0)  # across the lower line
    assert abs(int(column.sum()) - width) <= 1


def test_a_mask_colours_its_pixels_only():
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    mask[0, 40:60, 30:70] = 1
    image = torch.full((3, SIDE, SIDE), 0.5)
    boxes = truth([20, 20, 100, 100])
    masked, empty = ({**boxes, "masks": m} for m in (mask, torch.zeros_like(mask)))
    changed = (drawn_on(image, masked, []) != drawn_on(image, empty, [])).any(0)
    assert torch.equal(changed, mask[0].bool().repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_names_are_left_out_where_they_would_hide_the_image():
    room = torch.tensor([[0.0, 0, 40, 40], [50, 50, 90, 62]])
    assert readable(["cat", "cat"], room, area=300 * 300) == [0]  # the second is hardly higher than a line
    assert readable(["cat"] * 40, room[:1].expand(40, 4), area=250 * 250) == []  # 40 x 18 x 12 pixels
    assert readable(["cat"] * 3, room[[0, 1, 1]], area=300 * 300) == []  # some names only would confuse
    assert readable([], torch.zeros(0, 4), area=100) == []


def test_objects_of_an_only_class_have_colours_of_their_own():
    image, boxes = torch.zeros(3, SIDE, SIDE), truth([10, 10, 40, 20], [60, 60, 90, 70])

    def colours(classes):
        drawn = drawn_on(image, boxes, classes)
        return [tuple(drawn[:, 2 * y, 2 * x + 20].tolist()) for x, y in ((10, 10), (60, 60))]

    first, second = colours(["cat"])
    assert len({first, second, (0, 0, 0)}) == 3
    assert len(set(colours(["cat", "dog"]))) == 1


def test_images_of_any_size_share_a_page():
    shapes = [(3, 40, 60), (3, 300, 200), (1, 50, 50)]
    picture = page([(torch.rand(s), truth(), found()) for s in shapes], [])
    assert picture.dtype == torch.uint8
    assert picture.shape[0] == 3


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [(found([10, 10, 50, 50]), (0, 0)), (found(), (1, 0)), (found([60, 60, 90, 90]), (1, 1)),
     (found([10, 10, 50, 50], [11, 11, 50, 50]), (0, 1))],
)  # fmt: skip
def test_missed_and_false_boxes_are_faults(prediction, expected):
    assert faults(truth([10, 10, 50, 50]), prediction) == expected


class Given(pl.LightningModule):
    """Image i is of brightness i / 10 and has i truths, of which none is found: the last is the worst."""

    min_score = 0.5
    test_outputs = ("detections",)

    def __init__(self) -> None:
        super().__init__()
        self.confusion = BoxConfusion(1)

    def _step(self, batch, batch_idx):
        detections = [found([0, 0, 5, 5], score=0.1) for _ in batch[0]]
        self.confusion.update(detections, batch[1])
        return {"detections": detections}

    validation_step = test_step = _step


class Data(pl.LightningDataModule):
    classes = ("cat",)

    def _loader(self) -> DataLoader:
        box = [100.0, 100, 120, 120]
        pairs = [(torch.full((3, SIDE, SIDE), i / 10), truth(*[box] * i)) for i in range(7)]
        return DataLoader(pairs, 3, collate_fn=lambda batch: tuple(map(list, zip(*batch, strict=True))))

    val_dataloader = test_dataloader = _loader


@pytest.fixture
def trainer(tmp_path):
    quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    callbacks = [Overlays(str(tmp_path), num_images=4), ConfusionMatrix(str(tmp_path), background=True)]
    return pl.Trainer(accelerator="cpu", callbacks=callbacks, **dict.fromkeys(quiet, False))


def test_a_test_shows_the_worst_first(trainer, tmp_path):
    trainer.test(Given(), datamodule=Data(), verbose=False)
    picture, _ = read_png(tmp_path / "overlays.png")
    cell = 2 * SIDE + 2
    top = picture.shape[1] - 2 * cell  # below the caption
    levels = [int(picture[0, top + row * cell + 20, 2 * column * cell + 20]) for row in (0, 1) for column in (0, 1)]
    assert levels == [round(25.5 * i) for i in (6, 5, 4, 3)]


def test_a_test_leaves_boxes_for_a_threshold_that_moves(trainer, tmp_path):
    """The weak detections too, which the picture does not show; the boxes and the image in the same pixels."""
    trainer.test(Given(), datamodule=Data(), verbose=False)
    told = json.loads((tmp_path / "overlays.json").read_text())
    assert [len(scene["truth"]) for scene in told] == [6, 5, 4, 3]
    assert [[one["score"] for one in scene["found"]] for scene in told] == [[0.1]] * 4
    assert told[0]["truth"][0] == {"box": [100.0, 100.0, 120.0, 120.0], "name": "cat", "label": 1}
    for scene in told:
        assert scene["size"] == [SIDE, SIDE]
        assert read_png(tmp_path / scene["image"])[0].shape == (3, SIDE, SIDE)


def test_a_large_image_and_its_boxes_are_reduced_together(tmp_path):
    image = torch.zeros(3, MOST_SIDE, 2 * MOST_SIDE)
    image[:, 100:200, 400:600] = 1
    write_scenes(tmp_path, [(image, truth([400, 100, 600, 200]), found([0, 0, 8, 8]))], ["cat"])
    (scene,) = json.loads((tmp_path / "overlays.json").read_text())
    picture, _ = read_png(tmp_path / scene["image"])
    x0, y0, x1, y1 = map(round, scene["truth"][0]["box"])
    assert scene["size"] == [picture.shape[2], picture.shape[1]] == [MOST_SIDE, MOST_SIDE // 2]
    assert picture[:, y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].min() == 255
    assert int((picture[0] > 127).sum()) == (x1 - x0) * (y1 - y0)


def test_validation_shows_the_same_few_images_of_all_batches(tmp_path):
    callback = Overlays(str(tmp_path), num_images=3)
    trainer = SimpleNamespace(
        sanity_checking=False, fast_dev_run=False, is_global_zero=True, num_val_batches=[3], loggers=[],
        state=SimpleNamespace(fn="fit"), current_epoch=0, datamodule=Data(), global_step=1,
    )  # fmt: skip
    for epoch in (0, 1):
        trainer.current_epoch = epoch
        for i, batch in enumerate(Data().val_dataloader()):
            callback.on_validation_batch_end(trainer, Given(), {"detections": [found()] * len(batch[0])}, batch, i)
        callback.on_validation_epoch_end(trainer, Given())
    first, second = (read_png(tmp_path / f"overlays/epoch-000{i}.png")[0] for i in (1, 2))
    assert torch.equal(first, second)
    assert {int(first[0, -20, 20]), int(first[0, -20 - 2 * SIDE, 20])} == {round(25.5 * 6), 0}


def test_a_test_draws_precision_over_recall(trainer, tmp_path):
    trainer.callbacks.append(PrecisionRecall(str(tmp_path)))
    trainer.test(Given(), datamodule=Data(), verbose=False)
    assert read_png(tmp_path / "pr_curves.png")[0].shape[0] == 3


def test_a_curve_is_drawn_where_it_is():
    """The one curve at precision 1 up to recall 0.5 leaves the right half and all below it empty."""
    picture = draw({"cat": (torch.tensor([0.25, 0.5]), torch.tensor([1.0, 1.0]))}, 0.5)
    red = torch.tensor([0xE6, 0x19, 0x4B], dtype=torch.uint8)[:, None, None]
    y, x = (picture == red).all(0).nonzero().unbind(1)
    axes = x < 0.6 * picture.shape[2]  # beside it is the legend
    assert y[axes].max() - y[axes].min() <= 3
    assert 0.2 < (x[axes].max() - x[axes].min()) / picture.shape[2] < 0.45


def test_the_table_has_the_background_and_what_was_missed(trainer, tmp_path):
    trainer.test(Given(), datamodule=Data(), verbose=False)
    with (tmp_path / "confusion_matrix.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["true \\ predicted", "background", "cat"], ["background", "0", "0"], ["cat", "21", "0"]]
    assert (tmp_path / "confusion_matrix.png").is_file()
