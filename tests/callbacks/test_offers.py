"""What a module or its batches do not offer to a callback is left out, and a line says so; nothing breaks."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightloom.callbacks.images.confusion_matrix import ConfusionMatrix
from lightloom.callbacks.images.misclassified import Misclassified
from lightloom.callbacks.images.reconstructions import Reconstructions
from lightloom.callbacks.samples.grid import SampleGrid
from lightloom.callbacks.samples.health import Health
from lightloom.callbacks.samples.interpolation import Interpolation
from lightloom.callbacks.samples.neighbours import NearestNeighbours
from lightloom.callbacks.samples.quality import SampleQuality

LEFT_OUT = {
    SampleGrid: "samples/",
    Interpolation: "interpolation.png",
    Health: "val/diversity",
    Reconstructions: "reconstructions.png",
    SampleQuality: "the quality of samples on means",
    NearestNeighbours: "test/nearest_neighbour_acc",
    Misclassified: "misclassified.png",
    ConfusionMatrix: "confusion_matrix.png",
}


class Means(nn.Module):
    name = "means"

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :2]


class Bare(pl.LightningModule):
    """Trains, is validated and tested; offers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx: int) -> Tensor:
        return self.weight.sum()

    def validation_step(self, batch, batch_idx: int) -> None: ...

    def test_step(self, batch, batch_idx: int) -> dict[str, Tensor]:
        return {"logits": torch.eye(3)}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Rich(Bare):
    """Offers all that a callback asks for."""

    latent_dim, test_outputs = 2, ("logits",)

    def decode(self, z: Tensor) -> Tensor:
        return z.sigmoid()[:, None, :, None].expand(-1, 1, 2, 8)

    def reconstruct(self, images: Tensor) -> Tensor:
        return images

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def collate(items: list[Tensor]) -> dict[str, Tensor]:
    return {"image": torch.stack(items)}


def callbacks(folder: Path) -> dict[type, pl.Callback]:
    quality = SampleQuality(str(folder), Means(), 0, val_samples=4, test_samples=4, batch_size=2)
    made = [SampleGrid(str(folder), 0), Interpolation(str(folder), 0), Health(str(folder)), quality]
    made += [Reconstructions(str(folder)), NearestNeighbours(), Misclassified(str(folder))]
    return {type(one): one for one in [*made, ConfusionMatrix(str(folder))]}


def run(folder: Path, module: pl.LightningModule, *chosen: pl.Callback, collate_fn=None) -> None:
    data = DataLoader([torch.rand(1, 2, 8) for _ in range(6)], 3, collate_fn=collate_fn)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=1, callbacks=list(chosen), enable_checkpointing=False, **quiet)
    trainer.fit(module, data, data)
    trainer.test(module, data, verbose=False)


@pytest.mark.parametrize("kind", LEFT_OUT)
@pytest.mark.filterwarnings("ignore")
def test_of_a_module_that_does_not_offer_it(kind, tmp_path, caplog):
    caplog.set_level("INFO", "lightloom")
    run(tmp_path, Bare(), callbacks(tmp_path)[kind])
    (line,) = [record.getMessage() for record in caplog.records if record.name == "lightloom"]
    assert line.startswith("Bare ")
    assert line.endswith(f": {LEFT_OUT[kind]} is left out.")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [Health, Reconstructions, SampleQuality, NearestNeighbours, Misclassified])
@pytest.mark.filterwarnings("ignore")
def test_of_batches_that_are_dictionaries(kind, tmp_path, caplog):
    caplog.set_level("INFO", "lightloom")
    run(tmp_path, Rich(), callbacks(tmp_path)[kind], collate_fn=collate)
    lines = {record.getMessage() for record in caplog.records if record.name == "lightloom"}
    (line,) = lines
    assert line.startswith("Batches are of type dict, not (inputs")
    assert line.endswith(f": {LEFT_OUT[kind]} is left out.")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_a_batch_without_labels_is_inputs(tmp_path):
    made = callbacks(tmp_path)
    run(tmp_path, Rich(), made[Reconstructions], made[Health], made[SampleGrid])
    assert {"reconstructions.png", "reconstructions", "health.png", "samples"} <= {p.name for p in tmp_path.iterdir()}
