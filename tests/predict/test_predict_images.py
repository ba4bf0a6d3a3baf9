"""What predict.py draws and reconstructs, and what it says where a module cannot."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import compose
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor, nn

from lightloom.config.compose import without_hydra
from lightloom.core.atomic_io import deduplicate
from lightloom.core.errors import UserError
from lightloom.ops.images import grid
from lightloom.ops.rng import latents
from lightloom.predict import choose


class Draws(pl.LightningModule):
    latent_dim = 7

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(7, 600), nn.Tanh(), nn.Linear(600, 3 * 4 * 6))

    def decode(self, z: Tensor) -> Tensor:
        return self.network(z).sigmoid().view(-1, 3, 4, 6)


class DrawsLastDigits(Draws):
    """Shows what another order of a sum changes, as it may in a batch of another size."""

    def decode(self, z: Tensor) -> Tensor:
        return super().decode(z).mul(1e6).frac()


class DrawsByClass(Draws):
    """A class is a brightness."""

    num_classes = 10

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        labels = self.classes_of(z) if labels is None else labels
        return super().decode(z) * (labels + 1).view(-1, 1, 1, 1) / 10

    def classes_of(self, z: Tensor) -> Tensor:
        return (z[:, 0] > 0).long()


class Rebuilds(pl.LightningModule):
    """Halves the brightness."""

    def reconstruct(self, images: Tensor) -> Tensor:
        return images / 2


class Both(Draws):
    reconstruct = Rebuilds.reconstruct

    def predict_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        raise AssertionError("no classes here")


class Classifies(pl.LightningModule):
    num_classes = 10

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        return torch.eye(10)[(batch[0].mean((1, 2, 3)) * 9.99).long()]


class DrawsAndClassifies(Classifies):
    latent_dim = 7

    def decode(self, z: Tensor) -> Tensor:
        return z[:, None, None]


TRAINED = OmegaConf.create(
    {"run_name": "x", "data": {"kind": "image", "channels": 1, "image_size": 8, "classes": [str(i) for i in range(10)]}}
)


def predict(folder: Path, module: pl.LightningModule, *overrides: str, **data: str) -> Path:
    """The folder of an invocation of predict.py."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg = without_hydra(compose("trainer=cpu", *overrides, config_name="predict"))
    cfg.paths.output_dir = str(folder)
    trained: DictConfig = OmegaConf.merge(TRAINED, {"data": data})
    choose.choose(cfg, trained, module).run(cfg, trained, choose.settle(cfg, module))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- new images


def test_a_sample_depends_on_the_seed_and_its_number_only(tmp_path):
    hundred, ten, others = (
        files(predict(tmp_path / name, DrawsLastDigits(), f"num_samples={n}", f"seed={seed}") / "samples")
        for name, n, seed in (("a", 100, 1), ("b", 10, 1), ("c", 10, 2))
    )
    assert list(hundred) == [f"{i:05d}.png" for i in range(100)]
    assert ten == {name: hundred[name] for name in list(hundred)[:10]}
    assert len(set(ten.values()) | set(others.values())) == 20


def test_samples_are_the_decoded_latents_and_the_page_shows_the_first(tmp_path):
    module = Draws()
    predict(tmp_path, module, "num_samples=70", "seed=3", "batch_size=20")
    with torch.no_grad():
        expected = module.decode(latents(3, 70, 7))
    page, _ = grid.read_png(tmp_path / "samples.png")
    single = torch.stack([grid.read_png(tmp_path / f"samples/{i:05d}.png")[0] for i in range(70)])
    assert (single.float() - expected * 255).abs().max() <= 0.51
    assert torch.equal(page, grid.grid(single[:64], 8))


def test_samples_of_classes_are_the_same_latents_row_by_row(tmp_path):
    module = DrawsByClass()
    predict(tmp_path, module, "num_samples=9", "seed=3", "classes=[5,2]", "batch_size=4")
    with torch.no_grad():
        expected = {k: grid.to_uint8(module.decode(latents(3, 9, 7), torch.full((9,), k))) for k in (5, 2)}
    for k, images in expected.items():
        found = [grid.read_png(tmp_path / f"samples/{k}-{i:05d}.png")[0] for i in range(9)]
        assert (torch.stack(found).int() - images.int()).abs().max() <= 1
    page, _ = grid.read_png(tmp_path / "samples.png")
    cells = grid.tiles(page[:, -2 * (4 + grid.MARGIN) - grid.MARGIN :, -8 * (6 + grid.MARGIN) - grid.MARGIN :], 4, 6)
    assert (cells.int() - torch.cat([x[:8] for x in expected.values()]).int()).abs().max() <= 1


def test_truncated_samples_are_of_truncated_latents(tmp_path):
    module = DrawsByClass()
    whole, same, half = (
        files(predict(tmp_path / str(i), module, "num_samples=5", *options) / "samples")
        for i, options in enumerate([[], ["truncation=1"], ["truncation=0.5"]])
    )
    assert whole == same
    assert not set(whole.values()) & set(half.values())


def test_many_samples_are_one_file(tmp_path):
    predict(tmp_path / "a", Draws(), "num_samples=1001")
    predict(tmp_path / "b", Draws(), "num_samples=3")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["samples.npz", "samples.png"]
    images = np.load(tmp_path / "a/samples.npz")["images"]
    assert (images.shape, images.dtype) == ((1001, 4, 6, 3), np.uint8)
    for i in range(3):
        assert np.array_equal(images[i], np.asarray(Image.open(tmp_path / f"b/samples/{i:05d}.png")))


# --- reconstructions


@pytest.fixture
def photos(tmp_path) -> Path:
    for name, grey in (("a.png", 100), ("b.png", 200), ("deep/a.png", 50), ("deep/a-2.png", 20)):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), grey).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.mark.parametrize("batch_size", [1, 3, 512])
@pytest.mark.parametrize("kind", [Rebuilds, Both])
def test_reconstructions_and_their_errors(tmp_path, photos, kind, batch_size):
    predict(tmp_path / "out", kind(), f"input={photos}", f"batch_size={batch_size}")
    found = rows(tmp_path / "out")
    levels = [100, 200, 20, 50]  # in the order of the paths
    assert [row["file"] for row in found] == [str(photos / n) for n in ("a.png", "b.png", "deep/a-2.png", "deep/a.png")]
    assert [float(row["mse"]) for row in found] == pytest.approx([(g / 255 / 2) ** 2 for g in levels], abs=1e-6)
    written = {path.stem: np.asarray(Image.open(path)).max() for path in (tmp_path / "out/reconstructions").iterdir()}
    assert written == {"a": 50, "b": 100, "a-2": 10, "a-3": 25}
    page, _ = grid.read_png(tmp_path / "out/reconstructions.png")
    assert grid.tiles(page, 8, 8)[:, 0, 0, 0].tolist() == [*levels, 50, 100, 10, 25]


def test_each_image_has_a_name_of_its_own():
    names = deduplicate(["1", "1", "1-2", "1", "1-2"])
    assert len(set(names)) == 5
    assert names[0] == "1"
    assert deduplicate(["b", "a"]) == ["b", "a"]


# --- classes


@pytest.mark.parametrize("kind", [Classifies, DrawsAndClassifies])
def test_a_classifier_classifies(tmp_path, photos, kind):
    predict(tmp_path / "out", kind(), f"input={photos}")
    assert [row["label"] for row in rows(tmp_path / "out")] == ["3", "7", "0", "1"]
    assert {row["probability"] for row in rows(tmp_path / "out")} == {"1.000000"}


class Looks(Classifies):
    """Is for class 3 where it is bright: its map is the image."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.same(images).mean((1, 2, 3))[:, None] * torch.eye(10)[3]

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        return self(batch[0]).softmax(1)


@pytest.mark.parametrize("batch_size", [1, 2, 512])
def test_it_is_hot_where_a_classifier_looks(tmp_path, batch_size):
    for i in range(3):
        Image.fromarray(np.eye(8, dtype=np.uint8)[i : i + 1].T * np.full((1, 8), 250, np.uint8)).save(
            tmp_path / f"{i}.png"
        )
    predict(tmp_path / "out", Looks(), f"input={tmp_path}", f"batch_size={batch_size}", "saliency=grad_cam")
    page, _ = grid.read_png(tmp_path / "out/saliency.png")
    cells = page[:, :, 2 * grid.MARGIN :].split(page.shape[2] // 3, 2)
    for i, cell in enumerate(cells):
        heat = cell[:, -112 - 2 * grid.MARGIN : -2 * grid.MARGIN, 112 + grid.MARGIN :][:, :, 8:-16].sum((0, 2))
        assert heat.argmax() // 14 == i
        assert heat.min() < heat.max() / 4


def test_what_looks_at_nothing_is_not_asked_where(tmp_path, photos):
    with pytest.raises(UserError, match="saliency=rollout needs a Vision Transformer"):
        predict(tmp_path / "out", Looks(), f"input={photos}", "saliency=rollout")


# --- one bad file among good ones


@pytest.mark.parametrize("kind", [Classifies, Rebuilds])
@pytest.mark.parametrize("batch_size", [1, 3, 512])
def test_an_unreadable_file_is_named_and_the_others_are_predicted(tmp_path, photos, kind, batch_size):
    whole = predict(tmp_path / "whole", kind(), f"input={photos}")
    (photos / "deep/0.png").write_bytes(b"no picture")
    (photos / "z.png").write_bytes((photos / "a.png").read_bytes()[:40])
    with pytest.raises(UserError, match=r"2 of 6 inputs were left out") as caught:
        predict(tmp_path / "out", kind(), f"input={photos}", f"batch_size={batch_size}")
    assert rows(tmp_path / "out") == rows(whole)
    assert all(f"{name}: cannot be read as an image" in str(caught.value) for name in ("0.png", "z.png"))
    with (tmp_path / "out/unreadable.csv").open() as file:
        assert [row["file"] for row in csv.DictReader(file)] == [str(photos / "deep/0.png"), str(photos / "z.png")]
    assert not (whole / "unreadable.csv").exists()


def test_nothing_but_unreadable_files_is_said(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(b"")
    for kind in (Classifies, Rebuilds):
        with pytest.raises(UserError, match=r"1 of 1 inputs were left out"):
            predict(tmp_path / kind.__name__, kind(), f"input={tmp_path / 'photos'}")
        assert rows(tmp_path / kind.__name__) == []


def test_what_was_predicted_before_a_fault_is_in_the_file(tmp_path, photos):
    class Fails(Classifies):
        def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
            if batch[0].mean() < 0.15:
                raise RuntimeError("out of luck")
            return super().predict_step(batch, batch_idx)

    with pytest.raises(RuntimeError, match="out of luck"):
        predict(tmp_path / "out", Fails(), f"input={photos}", "batch_size=1")
    assert [row["label"] for row in rows(tmp_path / "out")] == ["3", "7"]


def test_a_submission_says_that_it_lacks_rows(tmp_path, kaggle, caplog):
    root = shutil.copytree(kaggle, tmp_path / "kaggle")
    (root / "test/7.png").write_bytes(b"no picture")
    data = ("data=kaggle_cifar10", f"data.root={root}")
    trained = {"name": "x", "channels": 3, "image_size": 32, "num_classes": 10}
    with pytest.raises(UserError, match=r"1 of 16 inputs were left out"), caplog.at_level("WARNING", "lightloom"):
        predict(tmp_path / "out", Classifies(), *data, **trained)
    assert "The submission lacks 1 of its rows" in caplog.text
    with (tmp_path / "out/submission.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == [str(i) for i in range(1, 17) if i != 7]


# --- what cannot be


@pytest.mark.parametrize(
    ("module", "overrides", "said"),
    [
        (Draws(), [], ["Say what to predict: num_samples="]),
        (Rebuilds(), [], ["Say what to predict: input=", "data="]),
        (Both(), [], ["Say what to predict: input=", "num_samples="]),
        (
            Classifies(),
            ["num_samples=3"],
            ["num_samples=3: Classifies plays no episodes and makes no new", "say input=<"],
        ),
        (
            Rebuilds(),
            ["num_samples=3"],
            ["num_samples=3: Rebuilds plays no episodes and makes no new", "say input=<"],
        ),
        (
            Draws(),
            ["input=here"],
            [
                "input=here: Draws finds no objects, classifies nothing,",
                "makes no masks, reconstructs nothing",
                "say num_samples=<",
            ],
        ),
        (
            Draws(),
            ["data=digits"],
            ["data=digits: Draws classifies nothing,", "reconstructs nothing", "say num_samples=<"],
        ),
        (Draws(), ["num_samples=3", "classes=[1]"], ["classes=: Draws makes images of no class that is asked for"]),
        (DrawsByClass(), ["num_samples=3", "classes=[x]"], ["classes=x: the generator has no such class", "0, 1, 2"]),
        (Both(), ["input=here", "num_samples=3"], ["input=here and num_samples=3 are two things", "say one:"]),
        (Classifies(), ["input=here", "data=digits"], ["input=here and data=digits are two things"]),
        (
            pl.LightningModule(),
            ["num_samples=3"],
            ["LightningModule, trained on data of kind image, is for none", "classes (predict_step"],
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_remedy(tmp_path, module, overrides, said):
    with pytest.raises(UserError) as caught:
        predict(tmp_path, module, *overrides)
    assert all(part in str(caught.value) for part in said), str(caught.value)
    assert "\n" not in str(caught.value)


def test_signals_are_no_images(tmp_path):
    with pytest.raises(
        UserError, match=r"Rebuilds, trained on data of kind signal, is for none of .*; use src/eval\.py"
    ):
        predict(tmp_path, Rebuilds(), "input=here", kind="signal")
