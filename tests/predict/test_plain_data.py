"""Somebody's LightningDataModule in predict.py, inspect_data.py and export.py: read by what Lightning promises."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import compose
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from their_parts import TheirDigits
from torch import Tensor
from torch.utils.data import DataLoader

from lightloom.core.errors import UserError
from lightloom.exporting import steps
from lightloom.predict import choose, inspection


class Counts(pl.LightningModule):
    """The class of an image is its width; it states no more than Lightning asks for."""

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        return torch.eye(40)[[batch[0].shape[-1]] * len(batch[0])]


class Halves(pl.LightningModule):
    def reconstruct(self, images: Tensor) -> Tensor:
        return images / 2


class Dictionaries(TheirDigits):
    def test_dataloader(self) -> DataLoader:
        return DataLoader([{"image": torch.rand(1, 28, 28)}], 1)


class Untested(TheirDigits):
    test_dataloader = pl.LightningDataModule.test_dataloader


TRAINED = {"run_name": "x", "labelled": True, "data": {"name": "theirs", "_target_": "their_parts.TheirDigits"}}


def command(name: str, folder: Path, *overrides: str, kind: type | None = TheirDigits) -> DictConfig:
    trainer = ["trainer=cpu"] if name == "predict" else []
    cfg = compose(*trainer, *overrides, config_name=name)
    OmegaConf.set_struct(cfg, False)
    if kind is not None:
        cfg.data = {"_target_": f"{kind.__module__}.{kind.__qualname__}", "folder": str(folder / "digits")}
    cfg.paths.output_dir = str(folder)
    return cfg


def predict(cfg: DictConfig, module: pl.LightningModule, **facts: object) -> list[dict[str, str]]:
    """The rows of predictions.csv."""
    trained = OmegaConf.merge(TRAINED, {"data": facts})
    choose.choose(cfg, trained, module).run(cfg, trained, module)
    with (Path(cfg.paths.output_dir) / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_its_test_images_are_predicted_and_classes_have_numbers(tmp_path):
    rows = predict(command("predict", tmp_path), Counts())
    assert [row["file"] for row in rows] == [str(i) for i in range(64)]
    assert {row["label"] for row in rows} == {"28"}  # their size, as no fact says another
    rows = predict(command("predict", tmp_path), Counts(), image_size=14)
    assert {row["label"] for row in rows} == {"14"}
    assert len(predict(command("predict", tmp_path), Halves())) == 64


@pytest.mark.parametrize(("kind", "said"), [(Dictionaries, "are of type dict"), (Untested, "has no test data")])
def test_what_cannot_be_predicted_is_one_sentence(kind, said, tmp_path):
    with pytest.raises(UserError, match=rf"^data={kind.__name__}.*{said}"):
        predict(command("predict", tmp_path, kind=kind), Counts())


def test_a_file_needs_the_size_that_images_have(tmp_path):
    Image.new("L", (9, 5)).save(tmp_path / "a.png")
    cfg = command("predict", tmp_path, f"input={tmp_path}/a.png", kind=None)
    with pytest.raises(UserError, match=r"^theirs, on which .* states no image_size, so images from files"):
        predict(cfg, Counts(), channels=1)
    (row,) = predict(cfg, Counts(), channels=1, image_size=12)
    assert row["label"] == "12"


def test_its_splits_are_inspected(tmp_path, capsys):
    cfg = command("inspect_data", tmp_path, kind=Untested)
    cfg.data.name = "theirs"  # a fact, which the constructor does not take
    datamodule = inspection.read(cfg)
    assert (tmp_path / "digits/prepared.txt").read_text() == "once\n"
    inspection.choose(datamodule)(datamodule, cfg)
    said = capsys.readouterr().out
    for expected in ("theirs", "256", "64", "unknown", "Untested has no test_dataloader."):
        assert expected in said


def test_an_export_is_checked_on_its_images(tmp_path):
    class Graph:
        of_data = True

        def real(self, batch):
            return [batch[0]]

    (images,) = steps.real_inputs(command("export", tmp_path), OmegaConf.create(TRAINED), Graph())
    assert images.shape == (32, 1, 28, 28)
