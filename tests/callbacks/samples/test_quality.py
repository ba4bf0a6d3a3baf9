"""Samples are measured alike whatever the number of processes, the batches, or who else is there."""

from __future__ import annotations

import csv
import json
import os
import socket
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from commands import LIMIT, SERVER
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from lightloom.callbacks.run.ema import WeightAverage
from lightloom.callbacks.samples.by_class import ClassQuality
from lightloom.callbacks.samples.neighbours import NearestNeighbours
from lightloom.callbacks.samples.quality import SampleQuality, in_order
from lightloom.core.errors import UserError
from lightloom.data.images.augment import Augment
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.readers import Digits, Split
from lightloom.data.sampling import EvenBatches
from lightloom.metrics.distances import frechet_distance
from lightloom.metrics.extractors import Pixels
from lightloom.ops.rng import content_keys, latents, mix


class Source(pl.LightningModule):
    """Images that are an affine map of the latent, squashed into [0, 1]; its features are an image's pixels."""

    latent_dim = 5

    def __init__(self) -> None:
        super().__init__()
        weights = torch.randn(self.latent_dim, 64, generator=torch.Generator().manual_seed(0))
        self.weights = nn.Parameter(weights)

    def decode(self, z: Tensor) -> Tensor:
        return (z @ self.weights - 1).sigmoid().view(-1, 1, 8, 8)

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.decode(torch.ones(1, self.latent_dim)).mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None: ...

    def test_step(self, batch: Any, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=100.0)


class Real(Source):
    """Training images of the digits, taken by the latent."""

    def decode(self, z: Tensor) -> Tensor:
        found = digits().read("train").images.float() / 255
        return found[(z[:, 0].abs() * 1e4).long() % len(found)]


class OfClass(Source):
    """Training images of the class that is asked for; of an odd one those of the class before."""

    num_classes = 10

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        labels = self.classes_of(z) if labels is None else labels
        found = digits().read("train")
        rows = [(found.labels == int(k) // 2 * 2).nonzero().flatten() for k in labels]
        chosen = [row[int(v) % len(row)] for row, v in zip(rows, z[:, 0].abs() * 1e4, strict=True)]
        return found.images[torch.stack(chosen)] / 255

    def classes_of(self, z: Tensor) -> Tensor:
        return content_keys(z, 0) % 10


class Constant(Source):
    value = 0.5

    def decode(self, z: Tensor) -> Tensor:
        return torch.full((len(z), 1, 8, 8), self.value)


class Bands(Pixels):
    """Pixels, and classes by the brightest of four bands of rows."""

    def classify(self, features: Tensor) -> Tensor:
        return features.view(-1, 4, 16).sum(2).softmax(1)


class Nearest(Pixels):
    """Pixels, and the class of the nearest training image."""

    def classify(self, features: Tensor) -> Tensor:
        found = digits().read("train")
        nearest = torch.cdist(features, found.images.flatten(1) / 255).argmin(1)
        return torch.nn.functional.one_hot(found.labels[nearest], 10).float()


class Unlabelled(Digits):
    def read(self, split: str) -> Split | None:
        found = super().read(split)  # type: ignore[arg-type]
        return Split(images=found.images) if split == "test" and found else found


@cache
def digits() -> Digits:
    return Digits()


def data(eval_batch_size: int = 50, reader: Any = None, **options: Any) -> ImageDataModule:
    facts = {"name": "digits", "kind": "image", "num_classes": 10, "classes": None, "channels": 1, "image_size": 8}
    loading = {"batch_size": 100, "eval_batch_size": eval_batch_size, "augment": Augment(), "val_fraction": 0.13}
    return ImageDataModule(reader=reader or digits(), **{**facts, "mean": [0.3], "std": [0.3], **loading, **options})


def quality(folder: Path = Path(), extractor: nn.Module | None = None, **options: Any) -> SampleQuality:
    return SampleQuality(str(folder), extractor or Pixels(), **{"seed": 0, "test_samples": 600, **options})


def trainer(*callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    quiet |= {"logger": False, "use_distributed_sampler": False, "num_sanity_val_steps": 0}
    return pl.Trainer(accelerator="cpu", callbacks=list(callbacks), **{**quiet, **options})


def measure(module: pl.LightningModule, *callbacks: pl.Callback, **options: Any) -> dict[str, float]:
    """All that a validation and a test log."""
    found = trainer(*(callbacks or [quality()]), **options)
    results = (found.validate(module, data(), verbose=False), found.test(module, data(), verbose=False))
    return {name: value for part in results for name, value in part[0].items()}


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    return measure(Source(), quality(), NearestNeighbours())


# --- what the figures say


def test_each_class_is_compared_with_its_own_images(tmp_path):
    """Fakes of an odd class are images of the one before: half are what they were asked to be."""
    by_class = ClassQuality(str(tmp_path), Nearest(), seed=0, samples_per_class=20)
    found = measure(OfClass(), by_class)
    assert found["test/class_accuracy_pixels"] == 0.5
    with (tmp_path / "by_class.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [1.0, 0.0] * 5
    frechet = [float(row["frechet"]) for row in rows]
    assert found["test/frechet_by_class_pixels"] == pytest.approx(sum(frechet) / 10)
    test = digits().read("test")
    real = test.images[test.labels == 3].flatten(1) / 255
    fake = OfClass().decode(latents(mix(0, -4), 20, 5), torch.full((20,), 3)).flatten(1)
    assert frechet[3] == pytest.approx(frechet_distance(real, fake), rel=1e-4)
    assert (tmp_path / "by_class.png").is_file()


def test_a_module_that_makes_no_classes_is_left_out(tmp_path):
    assert not [name for name in measure(Source(), ClassQuality(str(tmp_path), Pixels(), seed=0)) if "class" in name]
    assert not list(tmp_path.iterdir())


def test_they_have_the_names_that_are_promised(figures):
    names = {f"test/{what}_pixels" for what in ("frechet", "kernel", "precision", "recall")}
    names |= {"test/parzen_nats", "test/parzen_nats_stderr", "test/parzen_sigma"}
    names |= {"test/nearest_neighbour_acc", "test/nearest_neighbour_of"}
    assert set(figures) == names | set(quality().logged)


def test_real_images_are_near_and_others_far(figures):
    real, constant = measure(Real()), measure(Constant())
    for stage in ("val", "test"):
        near, middle, far = (found[f"{stage}/frechet_pixels"] for found in (real, figures, constant))
        assert 50 * near < middle
        assert 50 * near < far
    assert real["test/kernel_pixels"] < 0.01 * min(f["test/kernel_pixels"] for f in (figures, constant))
    assert min(real["test/precision_pixels"], real["test/recall_pixels"]) > 0.9
    assert constant["test/precision_pixels"] == constant["test/recall_pixels"] == 0
    assert real["test/parzen_nats"] > max(figures["test/parzen_nats"], constant["test/parzen_nats"])


def test_a_constant_images_likelihood_in_closed_form():
    """All windows in one place: a normal around the constant image, with a bandwidth of the grid."""
    found = measure(Constant())
    images = digits().read("test").images.flatten(1).double() / 255
    bandwidths = [10 ** (-1.5 + step / 10) for step in range(16)]
    expected = [
        torch.distributions.Normal(0.5, h).log_prob(images).sum(1).mean() for h in map(torch.tensor, bandwidths)
    ]
    assert found["test/parzen_nats"] == pytest.approx(float(max(expected)), rel=1e-5)


# --- on what they do not depend


def test_neither_on_time_nor_batches_nor_random_state(figures):
    torch.manual_seed(17)
    before = torch.get_rng_state()
    again = measure(Source(), quality(batch_size=37), NearestNeighbours(batch_size=41))
    assert torch.equal(torch.get_rng_state(), before)
    assert again == pytest.approx(figures, rel=1e-6)
    assert measure(Source(), quality(seed=1))["test/frechet_pixels"] != figures["test/frechet_pixels"]


def evaluate(folder: Path, environment: dict[str, str]) -> None:
    """One of two processes."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    callbacks = (quality(folder, Bands(), batch_size=70), NearestNeighbours(batch_size=70))
    found = measure(Source(), *callbacks, strategy="ddp", devices=2)
    (folder / f"rank{environment['LOCAL_RANK']}.json").write_text(json.dumps(found))


def test_nor_on_the_number_of_processes(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}
    ranks = [
        SERVER.Process(target=evaluate, args=(tmp_path, {**common, "LOCAL_RANK": str(r), "NODE_RANK": "0"}))
        for r in range(2)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(LIMIT)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    one = measure(Source(), quality(tmp_path / "one", Bands()), NearestNeighbours())
    for rank in range(2):
        assert json.loads((tmp_path / f"rank{rank}.json").read_text()) == pytest.approx(one, rel=1e-6)
    tables = [(folder / "class_histogram.csv").read_text() for folder in (tmp_path, tmp_path / "one")]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_batches_of_all_processes_come_into_the_datas_order(world_size):
    for size in range(world_size, 30):
        parts = [[i for i, _ in EvenBatches(size, 4, rank, world_size)] for rank in range(world_size)]
        assert torch.equal(torch.cat(in_order(parts)), torch.arange(size))
        shares = [list(torch.arange(size).split(4)[rank::world_size]) for rank in range(world_size)]
        assert torch.equal(torch.cat(in_order(shares)), torch.arange(size))


@pytest.mark.parametrize("first", ["average", "quality"])
def test_averaged_weights_are_judged_whoever_comes_first(first):
    """Training leaves the averaged weights in the module; the figures of a run without them are others."""
    callbacks = [WeightAverage(decay=0.9, warm_up=False), quality(val_samples=100)]
    judged = {}
    for average in (True, False):
        found = trainer(*(callbacks[:: 1 if first == "average" else -1] if average else callbacks[1:]), max_epochs=1)
        found.fit(Source(), data())
        judged[average] = float(found.callback_metrics["val/frechet_pixels"])
        left = measure(found.lightning_module, quality(val_samples=100))["val/frechet_pixels"]
        assert judged[average] == pytest.approx(left, rel=1e-6)
    assert judged[True] != pytest.approx(judged[False], rel=0.01)


# --- classes


def test_class_histogram(tmp_path):
    """Four bands of rows, whose brightest is known for each fake."""
    found = measure(Source(), quality(tmp_path, Bands()))
    with (tmp_path / "class_histogram.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts = [int(row["count"]) for row in rows]
    assert sum(counts) == 600
    assert len(counts) == 4
    assert found["test/smallest_class_share"] == pytest.approx(min(counts) / 600)
    assert 1 / 4 <= found["test/confidence"] <= 1
    assert (tmp_path / "class_histogram.png").stat().st_size > 1000


def test_a_constant_has_one_class_only(tmp_path):
    found = measure(Constant(), quality(tmp_path, Bands()))
    assert found["test/smallest_class_share"] == 0
    assert found["test/confidence"] == pytest.approx(1 / 4)


# --- nearest neighbours


def test_nearest_neighbour_accuracy_is_sklearns(figures):
    module = data()
    train, test = (module.split(name) for name in ("train", "test"))
    model = KNeighborsClassifier(1).fit(train.images.flatten(1).numpy(), train.labels.numpy())
    expected = model.score(test.images.flatten(1).numpy(), test.labels.numpy())
    assert figures["test/nearest_neighbour_acc"] == pytest.approx(expected)


def test_images_without_labels_have_no_accuracy():
    found = trainer(NearestNeighbours())
    found.test(Source(), data(reader=Unlabelled()), verbose=False)
    assert "test/nearest_neighbour_acc" not in found.callback_metrics


# --- refusals


def test_a_fast_run_judges_one_batch():
    found = trainer(quality(batch_size=50), fast_dev_run=True, max_epochs=1)
    found.fit(Source(), data())
    assert float(found.callback_metrics["val/frechet_pixels"]) > 0


class Broken(Constant):
    value = float("nan")


class Grey(Pixels):
    """Refuses what is not of three channels."""

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != 3:
            raise UserError("three channels, please")
        return super().forward(images)


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        (Broken, {}, "not finite numbers"),
        (Source, {"extractor": Grey()}, "three channels, please"),
    ],
)
def test_what_cannot_be_judged(module, options, words):
    with pytest.raises(UserError, match=words):
        measure(module(), quality(**options))


def test_one_image_is_not_enough():
    with pytest.raises(UserError, match="at least 2 real and 2 generated images, but has 1"):
        trainer(quality(), limit_val_batches=1).validate(Source(), data(eval_batch_size=1), verbose=False)
    with pytest.raises(UserError, match=r"^val_samples is 1; expected at least 2"):
        quality(val_samples=1)
