"""Every mode that a file may have ends as the grey or colour that a person sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.data.images.decode import read_image, read_whole
from lightloom.data.images.pixels import to_channels

COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [90, 90, 90]]], dtype=np.uint8)
GREY = np.array([[0, 77], [150, 255]], dtype=np.uint8)


def saved(image: Image.Image, path, **options):
    image.save(path, **options)
    return path


def expected(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).view(*pixels.shape[:2], -1).permute(2, 0, 1)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_colours_survive_every_colour_mode(tmp_path, mode):
    image = Image.fromarray(COLOURS)
    path = saved(image.quantize() if mode == "P" else image.convert(mode), tmp_path / "x.png")
    assert torch.equal(read_image(path, 3, 2), expected(COLOURS))


def test_cmyk_becomes_rgb(tmp_path):
    path = saved(Image.new("CMYK", (2, 2), (0, 255, 255, 0)), tmp_path / "x.tif")
    assert read_image(path, 3, 2)[:, 0, 0].tolist() == [255, 0, 0]


def test_grey_becomes_three_equal_channels_and_back(tmp_path):
    path = saved(Image.fromarray(GREY), tmp_path / "x.png")
    assert torch.equal(read_image(path, 1, 2), expected(GREY))
    assert torch.equal(read_image(path, 3, 2), expected(GREY).expand(3, -1, -1))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_whole_picture_is_upright(tmp_path, channels):
    """Of its own mode or another; a turned one has height and width exchanged."""
    exif = Image.Exif()
    exif[274] = 6  # a quarter to the right
    wide = np.concatenate([GREY, GREY], 1)
    path = saved(Image.fromarray(wide), tmp_path / "x.png", exif=exif)
    turned = expected(np.rot90(wide, -1).copy()).expand(channels, -1, -1)
    assert torch.equal(read_whole(path, channels), turned)
    assert torch.equal(read_whole(saved(Image.fromarray(wide), tmp_path / "y.png"), channels)[0], torch.tensor(wide))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_scale_to_eight(tmp_path, suffix):
    path = saved(Image.fromarray(GREY.astype(np.uint16) * 257), tmp_path / f"x{suffix}")
    assert torch.equal(read_image(path, 1, 2), expected(GREY))


def test_big_endian_sixteen_bits_scale_to_eight():
    deep = Image.frombytes("I;16B", (2, 2), (GREY.astype(">u2") * 257).astype(">u2").tobytes())
    assert np.array_equal(np.asarray(to_channels(deep, 1)), GREY)


def test_one_bit_is_black_or_white(tmp_path):
    path = saved(Image.fromarray(GREY > 100), tmp_path / "x.png")
    assert read_image(path, 1, 2).flatten().tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(tmp_path, mode):
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    image = clear.quantize() if mode == "P" else clear.convert(mode)
    assert read_image(saved(image, tmp_path / "x.png"), 3, 2).unique().tolist() == [255]


def test_exif_orientation_turns_the_image_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn to the left
    stored = Image.fromarray(np.rot90(COLOURS))
    path = saved(stored, tmp_path / "x.png", exif=exif)
    assert torch.equal(read_image(path, 3, 2), expected(COLOURS))


@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (8, 13), (8, 8)], ids=str)
def test_the_centre_is_cropped(tmp_path, shape):
    """A ramp from the centre outwards is antisymmetric, and stays so in the middle of the crop."""
    h, w = shape
    ramp = np.add.outer(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2)
    path = saved(Image.fromarray((128 + 4 * ramp).astype(np.uint8)), tmp_path / "x.png")
    crop = read_image(path, 1, 4).float()
    torch.testing.assert_close(crop + crop.flip(-1, -2), torch.full_like(crop, 256), atol=2, rtol=0)


def test_shrinking_averages_and_does_not_alias(tmp_path):
    checkers = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    crop = read_image(saved(Image.fromarray(checkers), tmp_path / "x.png"), 1, 8)
    assert (crop.float() - 127.5).abs().max() <= 4


def test_fast_jpeg_decoding_changes_next_to_nothing(tmp_path):
    y, x = np.mgrid[:256, :320]
    smooth = np.stack([128 + 100 * np.sin(x / 40), 128 + 100 * np.cos(y / 30), (x + y) / 3], -1).astype(np.uint8)
    jpeg, png = (saved(Image.fromarray(smooth), tmp_path / f"x.{kind}") for kind in ("jpg", "png"))
    with Image.open(jpeg) as image:
        image.convert("RGB").save(png)
    difference = read_image(jpeg, 3, 24).float() - read_image(png, 3, 24).float()
    assert difference.abs().max() <= 4


def test_unreadable_files_are_named(tmp_path):
    whole = saved(Image.effect_noise((64, 64), 50), tmp_path / "whole.png").read_bytes()
    for name, content in (("cut.png", whole[:500]), ("text.png", b"not an image"), ("empty.jpg", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}: cannot be read as an image .*; replace the file or delete it"):
            read_image(tmp_path / name, 1, 8)
    with pytest.raises(UserError, match=r"gone\.png: cannot be read"):
        read_image(tmp_path / "gone.png", 1, 8)
    with pytest.raises(UserError, match=r"float\.tif: .*floats.*8 or 16 bits"):
        read_image(saved(Image.new("F", (2, 2)), tmp_path / "float.tif"), 1, 2)


def test_channels_are_one_or_three(tmp_path):
    with pytest.raises(UserError, match=r"data\.channels is 4; expected 1 \(grey\) or 3"):
        read_image(saved(Image.fromarray(GREY), tmp_path / "x.png"), 4, 2)
