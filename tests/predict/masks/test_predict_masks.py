"""Masks of pictures and films: tiles are the whole picture, areas add up, films are steadied."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lightloom.callbacks.masks.overlays import overlaid
from lightloom.core.errors import UserError
from lightloom.data.boxes.coco import Coco
from lightloom.data.images.decode import read_whole
from lightloom.data.masks.of_boxes import ObjectsAsMasks
from lightloom.data.masks.river_scenes import film
from lightloom.ops.images.grid import JPEG_QUALITY, as_jpeg
from lightloom.predict.masks.areas import areas, region_of
from lightloom.predict.masks.command import write
from lightloom.predict.masks.tiles import segment_tiled, starts, window
from lightloom.predict.masks.video import Flicker, Steady
from lightloom.tracking.video import VideoWriter


def convolutions(reach: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 2 * reach + 1, padding=reach), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()


def seen_whole(size: tuple[int, int], tile: int, overlap: float, reach: int) -> torch.Tensor:
    """The pixels, bool (H, W), around which every tile that holds them shows `reach` pixels, or the picture ends."""
    exact = torch.ones(size, dtype=torch.bool)
    for top in starts(size[0], tile, overlap):
        for left in starts(size[1], tile, overlap):
            part = exact[top : top + tile, left : left + tile]
            part[:reach] &= top == 0
            part[:, :reach] &= left == 0
            part[part.shape[0] - reach :] &= top + tile >= size[0]
            part[:, part.shape[1] - reach :] &= left + tile >= size[1]
    return exact


@pytest.mark.parametrize("overlap", [0.25, 0.5])
@pytest.mark.parametrize("size", [(100, 130), (64, 64), (20, 200)])
def test_tiles_are_the_whole_picture_away_from_their_borders(size, overlap):
    network, image = convolutions(reach=3), torch.rand(3, *size)
    with torch.inference_mode():
        tiled = segment_tiled(image, lambda part: network(part[None])[0], 32, overlap)
        whole = network(image[None])[0].argmax(0).byte()
    exact = seen_whole(size, 32, overlap, 3)
    assert exact.float().mean() > 0.2
    assert torch.equal(tiled[exact], whole[exact])
    assert (tiled != whole).float().mean() < 0.02  # nearly everywhere, for what a border lacks weighs little


def test_a_picture_of_one_tile_is_the_whole():
    network, image = convolutions(), torch.rand(3, 30, 28)
    with torch.inference_mode():
        tiled = segment_tiled(image, lambda part: network(part[None])[0], 64, 0.25)
        assert torch.equal(tiled, network(image[None])[0].argmax(0).byte())


def test_tiles_cover_and_weigh():
    assert starts(100, 32, 0.25) == [0, 24, 48, 68]
    assert starts(20, 32, 0.25) == [0]
    assert (window(7, 9) > 0).all()


def test_tiles_need_memory_for_one_row(monkeypatch):
    """Tiles of 64 x 64 are asked for one by one; scores of 5 classes are held for a row of tiles, not for the whole."""
    held: list[int] = []
    zeros = torch.zeros

    def counted(*size: int) -> torch.Tensor:
        held.append(math.prod(size))
        return zeros(*size)

    def scores(part: torch.Tensor) -> torch.Tensor:
        assert part.shape == (1, 64, 64)
        return torch.ones(5, 64, 64)

    monkeypatch.setattr(torch, "zeros", counted)
    segment_tiled(torch.ones(1, 1000, 200, dtype=torch.uint8), scores, 64, 0.25)
    assert max(held) == 5 * 64 * 200


def test_areas_add_up_and_small_pieces_do_not_count():
    mask = torch.zeros(10, 10, dtype=torch.uint8)
    mask[2:4, 2:5] = 1
    mask[9, 9] = 1
    rows = {row[0]: row[1:] for row in areas(mask, ["land", "river"])}
    assert rows["land"][:3] == (93, 0.93, 1)
    assert rows["river"] == (7, 0.07, 2, 2, 2, 8, 8)
    rows = {row[0]: row[1:] for row in areas(mask, ["land", "river"], min_area=2)}
    assert rows["river"] == (6, 0.06, 1, 2, 2, 3, 2)


def test_a_tall_picture_is_drawn_and_measured_as_a_whole(tmp_path):
    """Beyond the rows that are looked at together."""
    mask = torch.zeros(600, 4, dtype=torch.uint8)
    mask[250:520, 1:3] = 1
    mask[599, 3] = 1
    assert areas(mask, ["land", "river"], min_area=2)[1] == ("river", 540, 540 / 2400, 1, 1, 250, 2, 270)
    image = torch.randint(256, (3, 600, 4), dtype=torch.uint8)
    write(tmp_path, "tall", image, mask)
    assert torch.equal(read_whole(tmp_path / "overlay/tall.jpg", 3), as_jpeg(overlaid(image, mask), JPEG_QUALITY))
    with Image.open(tmp_path / "masks/tall.png") as found:
        assert torch.equal(torch.from_numpy(np.array(found)), mask)


def test_a_region_is_the_inside_of_its_polygon():
    inside = region_of([0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0], 10, 20)
    assert inside[:, :10].all()
    assert not inside[:, 11:].any()
    with pytest.raises(UserError, match="roi has 4 numbers"):
        region_of([0.0, 0.0, 1.0, 1.0], 4, 4)


def test_a_film_is_steadied_by_its_past():
    steady = Steady(0.25)
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert torch.equal(steady.update(first), first)
    torch.testing.assert_close(steady.update(second), torch.tensor([0.75, 0.25]))


def test_flicker_is_the_mean_share_that_changes():
    flicker = Flicker()
    for mask in ([0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]):
        flicker.update(torch.tensor(mask))
    assert flicker.value == pytest.approx((0.25 + 0.5) / 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps, whose masks are something; about 15 s, for all commands below."""
    folder = tmp_path_factory.mktemp("masks")
    small = ("data.height=48", "data.width=64", "data.reader.train_size=16", "data.reader.val_size=4")
    commands.run(
        folder, "model=unet", "model.network.width=4", "data=river_scenes", *small, "data.reader.test_size=4",
        "trainer=cpu", "trainer.max_epochs=1", "run_name=river",
    )  # fmt: skip
    return folder, folder / "runs/river"


def rows_of(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def newest(folder, script: str):
    return max((folder / script).iterdir())


def test_pictures_of_any_size_get_masks_overlays_and_areas(trained):
    folder, run = trained
    photos = folder / "photos"
    for name, size in (("a", (64, 48)), ("sub/b", (51, 37))):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"{name}.png")
    for options in ((), ("tile=32", "format=coco")):
        commands.run(folder, f"ckpt_path={run}", f"input={photos}", "trainer=cpu", *options, script="predict")
        where = newest(folder, "predict")
        with Image.open(where / "masks/sub/b.png") as found:
            assert (found.mode, found.size) == ("P", (51, 37))
            assert set(np.unique(np.asarray(found))) <= {0, 1, 2}
        assert (where / "overlay/a.jpg").is_file()
        shares = [float(row["share"]) for row in rows_of(where / "areas.csv") if row["file"] == "a.png"]
        assert sum(shares) == pytest.approx(1, abs=1e-4)
    _assert_read_back(where / "boxes.json", photos, where / "masks")


def _assert_read_back(annotations: Path, images: Path, masks: Path) -> None:
    """By our own reader of COCO's files: label i is class i - 1."""
    objects = ObjectsAsMasks(Coco(images.parent, train=str(annotations), images=str(images)))
    read = objects.read("train")
    names = [item["file_name"] for item in json.loads(annotations.read_text())["images"]]
    assert sorted(names) == ["a.png", "sub/b.png"]
    for (_, mask), name in zip((read[i] for i in range(2)), names, strict=True):
        with Image.open(masks / name) as found:
            assert np.array_equal(mask.numpy(), np.asarray(found) + 1)


def test_a_film_gets_masks_and_areas_of_each_frame(trained):
    pytest.importorskip("av", reason="PyAV, for videos, is not installed")
    folder, run = trained
    with VideoWriter(folder / "rising.mp4", 10) as writer:
        for i, (image, _) in enumerate(film(0, 6, 48, 64)):
            writer.write(image, i / 10)
    said = commands.run(folder, f"ckpt_path={run}", f"input={folder / 'rising.mp4'}", "trainer=cpu", script="predict")
    where = newest(folder, "predict")
    assert {row["frame"] for row in rows_of(where / "areas.csv")} == {str(i) for i in range(1, 7)}
    assert (where / "rising.mp4").stat().st_size > 1000
    assert "flicker" in said


def test_the_report_shows_the_masks(trained):
    _, run = trained
    page = (run / "report.html").read_text()
    assert "The images with the most wrong pixels" in page
    assert (run / "masks/epoch-0001.png").is_file()
    assert "test/iou_of_river" in page
