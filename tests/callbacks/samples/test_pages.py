"""Pages of images are the images, and making them changes nothing in the run that they show."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from noise import images
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from scipy.spatial import geometric_slerp
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.utils import make_grid

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.images.reconstructions import Reconstructions
from lightloom.callbacks.run.ema import WeightAverage
from lightloom.callbacks.samples.filmstrip import Filmstrip
from lightloom.callbacks.samples.grid import SampleGrid, draw
from lightloom.callbacks.samples.interpolation import Interpolation
from lightloom.ops.images import grid
from lightloom.ops.indices import evenly, share
from lightloom.ops.interpolation import lerp, slerp
from lightloom.ops.rng import latents

SHAPES = [(1, 1, 5, 5), (7, 1, 4, 6), (16, 3, 3, 3), (9, 3, 6, 2)]


# --- pages


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("columns", [1, 3, 8])
def test_each_image_is_at_its_place(shape, columns):
    x = images(*shape)
    page = grid.grid(x, columns)
    cells = grid.tiles(page, *shape[2:])
    assert torch.equal(cells[: len(x)], grid.to_uint8(x))
    assert (cells[len(x) :] == grid.PAPER).all()
    if len(x) > 1:  # torchvision puts no margin around a single image
        theirs = make_grid(grid.to_uint8(x), columns, padding=grid.MARGIN, pad_value=grid.PAPER)
        assert torch.equal(page.expand_as(theirs), theirs)


def test_a_pixel_is_the_nearest_of_256_levels():
    levels = torch.arange(256)
    assert torch.equal(grid.to_uint8(levels / 255), levels.byte())
    x = images(1000)
    assert ((grid.to_uint8(x) / 255 - x).abs() <= 0.5 / 255 + 1e-6).all()
    assert grid.to_uint8(torch.tensor([-1.0, 2.0, math.nan, math.inf])).tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (2, 1), (3, 3), (5, 3)])
def test_of_other_channels_the_first_are_shown(channels, shown):
    x = images(4, channels, 5, 5)
    assert torch.equal(grid.grid(x, 2), grid.grid(x[:, :shown], 2))


def test_images_without_channels_are_grey():
    x = images(4, 2, 9)
    assert torch.equal(grid.grid(x, 2), grid.grid(x[:, None], 2))


@pytest.mark.parametrize("count", [3, 8, 11])
def test_a_pair_stands_one_above_the_other(count):
    x = images(count, 3, 4, 4)
    rows = grid.tiles(grid.pairs(x, 1 - x, 4), 4, 4).unflatten(0, (-1, 2, min(count, 4)))
    for i, which in ((0, x), (1, 1 - x)):
        assert torch.equal(rows[:, i].flatten(0, 1)[:count], grid.to_uint8(which))


@pytest.mark.parametrize("channels", [1, 3])
def test_captions_are_beside_the_page_not_on_it(channels):
    page = grid.grid(images(6, channels, 20, 20), 3)
    both = grid.captioned(page, top=["1", "2", "3"], left=["above", "below"])
    assert torch.equal(both[:, -page.shape[1] :, -page.shape[2] :], page)
    assert (both[:, : -page.shape[1]] < 128).any()
    assert (both[:, :, : -page.shape[2]] < 128).any()


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (6, 5), (100, 7)])
def test_evenly_keeps_the_ends(count, most):
    chosen = evenly(count, most)
    gaps = {b - a for a, b in itertools.pairwise(chosen)}
    assert (chosen[0], chosen[-1], len(chosen)) == (0, count - 1, min(count, most))
    assert not gaps or max(gaps) - min(gaps) <= 1 <= min(gaps)


@pytest.mark.parametrize("sizes", [[50], [10] * 5, [3] * 16, [20, 20, 10]])
def test_shares_of_all_batches_suffice(sizes):
    batches = torch.arange(sum(sizes)).split(sizes)
    taken = torch.cat([share(batch, 16, [len(sizes)]) for batch in batches])
    assert len(taken.unique()) == len(taken) >= 16
    assert len(taken) < 16 + len(sizes)


# --- files


@pytest.mark.parametrize("channels", [1, 3])
def test_png_gives_back_the_page_and_its_facts(tmp_path, channels):
    page = grid.grid(images(6, channels, 5, 7), 3)
    grid.write_png(tmp_path / "deep/a.png", page, height=5, width=7)
    again, facts = grid.read_png(tmp_path / "deep/a.png")
    assert torch.equal(again, page)
    assert facts == {"height": 5, "width": 7}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_a_film_shows_its_pages_in_order(tmp_path):
    pages = [grid.grid(x, 2) for x in images(5, 4, 1, 6, 6)]
    grid.write_gif(tmp_path / "a.gif", pages, seconds=1)
    with Image.open(tmp_path / "a.gif") as film:
        for i, page in enumerate(pages):
            film.seek(i)
            assert torch.equal(grid.from_pil(film.convert("L")), page)
        assert film.n_frames == len(pages)


# --- paths


def test_slerp_is_the_great_arc():
    a, b = torch.nn.functional.normalize(
        torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(1)).double(), dim=2
    )
    t = torch.linspace(0, 1, 7).double()
    slow = [geometric_slerp(u, v, t.numpy()) for u, v in zip(a.numpy(), b.numpy(), strict=True)]
    torch.testing.assert_close(slerp(a, b, t), torch.from_numpy(np.stack(slow)))


def test_slerp_keeps_the_norm_and_hits_both_ends():
    a, b = latents(0, 10, 64).split(5)
    b = b * (a.norm(dim=1) / b.norm(dim=1))[:, None]
    arc = slerp(a, b, torch.linspace(0, 1, 9))
    torch.testing.assert_close(arc.norm(dim=2), a.norm(dim=1)[:, None].expand(-1, 9))
    torch.testing.assert_close(arc[:, [0, -1]], torch.stack([a, b], 1))


@pytest.mark.parametrize("factor", [1.0, 1.0 + 1e-6, 3.0, -1.0])
def test_slerp_on_one_line_is_the_line(factor):
    a, t = latents(0, 3, 8), torch.linspace(0, 1, 5)
    torch.testing.assert_close(slerp(a, factor * a, t), lerp(a, factor * a, t))


def test_lerp_is_straight():
    a, b = latents(0, 6, 4).split(3)
    line = lerp(a, b, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(line, torch.stack([a, (a + b) / 2, b], dim=1))


# --- callbacks


class Tiny(pl.LightningModule):
    """Has what a picture could disturb: global randomness, batch norm and dropout."""

    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 25), nn.BatchNorm1d(25), nn.Dropout(0.5))

    def decode(self, z: Tensor) -> Tensor:
        return self.network(z).sigmoid().view(-1, 1, 5, 5)

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.decode(images.flatten(1)[:, :3])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return (self.decode(torch.randn(len(batch[0]), 3)) - batch[0]).square().mean()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        pass

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def batches() -> DataLoader:
    return DataLoader([(x, torch.zeros(8)) for x in images(3, 8, 1, 5, 5)], batch_size=None)


def fit(folder: Path, *callbacks: pl.Callback, ckpt_path: Path | None = None, **options) -> tuple[pl.Trainer, Tiny]:
    torch.manual_seed(0)
    module = Tiny()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    options = {"max_epochs": 3, "enable_checkpointing": False, "default_root_dir": folder, **quiet, **options}
    trainer = pl.Trainer(callbacks=list(callbacks), **options)
    trainer.fit(module, batches(), batches(), ckpt_path=ckpt_path)
    return trainer, module


def expected(module: Tiny, z: Tensor) -> Tensor:
    with torch.no_grad():
        return grid.to_uint8(module.eval().decode(z))


def all_pictures(folder: Path) -> list[pl.Callback]:
    where = str(folder)
    return [SampleGrid(where, 0), Filmstrip(where), Interpolation(where, 0), Reconstructions(where)]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_pictures_change_nothing_in_the_run(tmp_path):
    ends = []
    for callbacks in ([], all_pictures(tmp_path)):
        trainer, module = fit(tmp_path, *callbacks)
        trainer.test(module, batches(), verbose=False)
        ends.append({**module.state_dict(), "random state": torch.get_rng_state()})
    assert [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])] == []
    epochs = {f"{kind}/epoch-000{i}.png" for kind in ("samples", "reconstructions") for i in (1, 2, 3)}
    single = {"filmstrip.png", "filmstrip.gif", "interpolation.png", "reconstructions.png"}
    assert files(tmp_path) == epochs | single


def test_drawing_leaves_each_part_in_its_mode():
    module = Tiny()
    module.network[1].eval()  # frozen statistics in a module that trains
    modes = [part.training for part in module.modules()]
    z = latents(0, 9, 3)
    assert torch.equal(draw(module, z), draw(module, z))
    assert [part.training for part in module.modules()] == modes


def test_nothing_is_drawn_before_training_or_in_a_dry_run(tmp_path):
    trainer, module = fit(tmp_path, *all_pictures(tmp_path), fast_dev_run=True)
    trainer.test(module, batches(), verbose=False)
    fit(tmp_path, *all_pictures(tmp_path), max_epochs=0, num_sanity_val_steps=2)
    assert files(tmp_path) == set()


def test_samples_are_of_fixed_noise_and_of_the_averaged_weights(tmp_path):
    _, module = fit(tmp_path, SampleGrid(str(tmp_path), 5, num_samples=10), WeightAverage(decay=0.9))
    page, size = grid.read_png(tmp_path / "samples/epoch-0003.png")
    assert torch.equal(grid.tiles(page, size["height"], size["width"])[:10], expected(module, latents(5, 10, 3)))


def test_the_first_and_every_nth_epoch_have_samples(tmp_path):
    fit(tmp_path, SampleGrid(str(tmp_path), 0, every_n_epochs=3), max_epochs=7)
    assert files(tmp_path) == {f"samples/epoch-000{i}.png" for i in (1, 3, 6)}


def test_a_resumed_runs_filmstrip_is_whole(tmp_path):
    trainer, _ = fit(tmp_path, SampleGrid(str(tmp_path), 0), max_epochs=2)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    both = SampleGrid(str(tmp_path), 0), Filmstrip(str(tmp_path), rows=4, frames=3)
    fit(tmp_path, *both, max_epochs=5, ckpt_path=tmp_path / "last.ckpt")
    strip, _ = grid.read_png(tmp_path / "filmstrip.png")
    height = 4 * (5 + grid.MARGIN) + grid.MARGIN
    frames = grid.tiles(strip[:, -height:], 5, 5).unflatten(0, (4, 3))
    for column, epoch in enumerate((1, 3, 5)):
        page, size = grid.read_png(tmp_path / f"samples/epoch-000{epoch}.png")
        assert torch.equal(frames[:, column], grid.tiles(page, size["height"], size["width"])[evenly(64, 4)])
    with Image.open(tmp_path / "filmstrip.gif") as film:
        for i in range(5):
            film.seek(i)
            page, _ = grid.read_png(tmp_path / f"samples/epoch-000{i + 1}.png")
            assert torch.equal(grid.from_pil(film.convert("L")), page)


def test_pages_of_another_size_are_left_out_of_the_film(tmp_path):
    trainer, _ = fit(tmp_path, SampleGrid(str(tmp_path), 0, num_samples=4), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    fit(tmp_path, SampleGrid(str(tmp_path), 0), Filmstrip(str(tmp_path)), ckpt_path=tmp_path / "last.ckpt")
    with Image.open(tmp_path / "filmstrip.gif") as film:
        assert film.n_frames == 2


def test_interpolation_begins_and_ends_at_the_sample_grids_images(tmp_path):
    trainer, module = fit(tmp_path, Interpolation(str(tmp_path), 5, pairs=2, steps=4))
    trainer.test(module, batches(), verbose=False)
    page, _ = grid.read_png(tmp_path / "interpolation.png")
    width = 4 * (5 + grid.MARGIN) + grid.MARGIN
    rows = grid.tiles(page[:, :, -width:], 5, 5).unflatten(0, (2, 2, 4))
    ends = expected(module, latents(5, 4, 3)).unflatten(0, (2, 2))
    for kind in (0, 1):
        difference = rows[:, kind][:, [0, -1]].int() - ends.int()
        assert difference.abs().max() <= 1
    assert not torch.equal(rows[:, 0], rows[:, 1])


@pytest.mark.parametrize("stage", ["epoch", "test"])
def test_a_reconstruction_is_under_its_image(tmp_path, stage):
    trainer, module = fit(tmp_path, Reconstructions(str(tmp_path), num_images=8), max_epochs=1)
    trainer.test(module, batches(), verbose=False)
    name = "reconstructions/epoch-0001.png" if stage == "epoch" else "reconstructions.png"
    above, below = grid.tiles(grid.read_png(tmp_path / name)[0], 5, 5).split(8)
    shown = torch.cat([share(x, 8, [3]) for x, _ in batches()])[:8]
    assert torch.equal(above, grid.to_uint8(shown))
    with torch.no_grad():
        assert torch.equal(below, grid.to_uint8(module.eval().reconstruct(shown)))


# --- loggers


class Recorder:
    """Keeps what `log_image` is given."""

    def log_image(self, *args: Any, **options: Any) -> None:
        self.got = args, options


@pytest.mark.parametrize("channels", [1, 3])
def test_each_logger_that_takes_pictures_gets_the_page(tmp_path, channels):
    page = grid.grid(images(4, channels, 8, 8), 2)
    board, csv, weights, client = TensorBoardLogger(tmp_path), CSVLogger(tmp_path), Recorder(), Recorder()
    flow = SimpleNamespace(run_id="7", experiment=client)
    trainer = SimpleNamespace(is_global_zero=True, global_step=12, loggers=[csv, board, weights, flow])
    log_image(trainer, "val/samples", page)

    board.experiment.flush()
    events = EventAccumulator(board.log_dir, size_guidance={"images": 0}).Reload().Images("val/samples")
    with Image.open(io.BytesIO(events[0].encoded_image_string)) as logged:
        assert torch.equal(grid.from_pil(logged.convert("L" if channels == 1 else "RGB")), page)
    assert [event.step for event in events] == [12]
    _, given = weights.got
    assert (given["key"], given["step"], len(given["images"])) == ("val/samples", 12, 1)
    assert torch.equal(grid.from_pil(given["images"][0]), page)
    (run_id, image), given = client.got
    assert (run_id, given) == ("7", {"key": "val/samples", "step": 12})
    assert torch.equal(grid.from_pil(image), page)


def test_only_rank_zero_logs_pictures():
    recorder = Recorder()
    log_image(SimpleNamespace(is_global_zero=False, global_step=0, loggers=[recorder]), "x", images(1, 4, 4))
    assert not hasattr(recorder, "got")
