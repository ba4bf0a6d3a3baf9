"""Labels that were changed on purpose are what a trained model's held-out predictions speak against."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import pytorch_lightning as pl
from class_folders import data
from omegaconf import OmegaConf
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.core.findings import Findings
from lightloom.data.images.readers import ImageFolder
from lightloom.engine import evaluate
from lightloom.predict.classes import label_review


class KnowsColours(pl.LightningModule):
    """Takes an image for the channel that is brightest in it; classes are b, g, r."""

    def predict_step(self, batch, batch_idx):
        return (8 * batch[0].mean((2, 3))).softmax(1)[:, [2, 1, 0]]


def coloured(root: Path) -> Path:
    """Classes of red, green and blue images; of the test two lie in a wrong folder."""
    for part, count in (("train", 8), ("test", 10)):
        for channel, name in enumerate(("r", "g", "b")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                shade = [20, 20, 20]
                shade[channel] = 150 + 10 * i
                Image.new("RGB", (6, 6), tuple(shade)).save(root / part / name / f"{name}{i}.png")
    (root / "test/r/r9.png").rename(root / "test/b/r9.png")
    (root / "test/g/g9.png").rename(root / "test/r/g9.png")
    return root


@pytest.fixture
def review(tmp_path, monkeypatch):
    datamodule = data(ImageFolder(coloured(tmp_path / "pets"), 3, 4))
    datamodule.setup("validate")
    datamodule.setup("test")
    cfg = OmegaConf.create({"ckpt_path": "best.ckpt", "data": None})

    def run(module: pl.LightningModule) -> Findings:
        found = Findings("pets")
        monkeypatch.setattr(evaluate, "restore", lambda cfg: (OmegaConf.create({}), module))
        label_review.add_label_issues(found, datamodule, cfg, tmp_path)
        return found

    return run


def test_the_images_in_a_wrong_folder_are_named_and_no_other(review, tmp_path):
    found = review(KnowsColours())
    with (tmp_path / "label_issues.csv").open() as file:
        rows = [(Path(r["file"]).name, r["label"], r["likely"]) for r in csv.DictReader(file)]
    assert sorted(rows) == [("g9.png", "r", "g"), ("r9.png", "b", "r")]
    assert "predictions speak confidently against 2" in found.notes[-1]
    assert [file for file, _ in found.pictures] == ["label_issues.png"]


def test_a_model_without_classes_is_refused(review):
    with pytest.raises(UserError, match="gives no classes; name a classifier's"):
        review(pl.LightningModule())
