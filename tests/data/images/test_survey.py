"""What is told of images is what is in them; the same picture is found again, scaled or compressed."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import photograph
from PIL import Image

from lightloom.data.images.survey import (
    MOST_LEVELS,
    PLAIN,
    Look,
    look_at_files,
    look_at_tensor,
    nearly_same,
    outliers,
    same,
)


def saved(folder: Path, **images: Image.Image) -> list[Look]:
    paths = []
    for name, image in images.items():
        paths.append(folder / name.replace("__", "."))
        image.save(paths[-1])
    return look_at_files(paths, 3)


def test_sizes_forms_and_values_are_those_of_the_files(tmp_path):
    grey, deep = Image.new("L", (30, 20), 51), Image.fromarray(np.full((5, 9), 65535, np.uint16))
    turned = Image.Exif()
    turned[0x0112] = 6
    photograph(0).resize((64, 32)).save(tmp_path / "turned.jpg", exif=turned)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    looks = saved(tmp_path, a__png=grey, b__png=deep)
    looks += look_at_files([tmp_path / "turned.jpg", tmp_path / "broken.png"], 3)
    assert [look.size for look in looks] == [(30, 20), (9, 5), (32, 64), (0, 0)]
    assert [look.form for look in looks] == ["PNG L", "PNG I;16", "JPEG RGB", ""]
    assert looks[0].colours == ((51.0,) * 3, (0.0,) * 3)
    assert looks[1].colours[0] == (255.0,) * 3
    assert [bool(look.error) for look in looks] == [False, False, False, True]


def test_images_in_memory_are_looked_at_as_files_are(tmp_path):
    image = photograph(1)
    (from_file,) = saved(tmp_path, a__png=image)
    (from_memory,) = look_at_tensor(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])
    assert (from_memory.size, from_memory.bits, from_memory.colours) == (
        from_file.size,
        from_file.bits,
        from_file.colours,
    )


def test_equal_files_are_one_group_and_others_none(tmp_path):
    looks = saved(tmp_path, a__png=photograph(0), b__png=photograph(1), c__png=photograph(0), d__png=photograph(0))
    assert same(looks) == [[0, 2, 3]]
    assert same([*looks, Look(error="x"), Look(error="x")]) == [[0, 2, 3]]


def test_a_picture_is_found_again_scaled_and_compressed_and_no_other_is_taken_for_it(tmp_path):
    copies = {
        "png__png": photograph(0),
        "small__png": photograph(0).resize((32, 32)),
        "large__jpg": photograph(0).resize((96, 90)),
    }
    looks = saved(tmp_path, **copies, **{f"other{i}__png": photograph(i) for i in range(1, 30)})
    assert {pair[:2] for pair in nearly_same(looks)} == {(0, 1), (0, 2), (1, 2)}


def test_pairs_are_those_of_a_slow_loop(tmp_path):
    """Of 40 images, each second of which is the one before with some noise."""
    rng = np.random.default_rng(0)
    pixels = [np.array(photograph(i // 2), np.int16) for i in range(40)]
    images = {
        f"{i:02}__png": Image.fromarray((p + (i % 2) * rng.integers(0, i + 1, p.shape)).clip(0, 255).astype(np.uint8))
        for i, p in enumerate(pixels)
    }
    looks = saved(tmp_path, **images)
    slow = {
        (i, j)
        for (i, a), (j, b) in combinations(enumerate(looks), 2)
        if (a.bits ^ b.bits).bit_count() <= 10 and np.abs(a.small.astype(float) - b.small).mean() <= MOST_LEVELS
    }
    assert {pair[:2] for pair in nearly_same(looks)} == slow
    assert len(slow) >= 5


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        (Image.new("RGB", (48, 48), (9, 9, 9)), "one colour, grey level 9"),
        (photograph(5, 6), "6 x 6 pixels, where others have 48"),
        (photograph(5).resize((300, 48)), "300 x 48 pixels: far longer than others"),
    ],
)
def test_an_image_unlike_the_others_is_named_with_the_reason(tmp_path, strange, said):
    looks = saved(tmp_path, **{f"{i}__png": photograph(i) for i in range(8)}, x__png=strange)
    assert outliers(looks, same(looks)) == {8: said}


def test_a_picture_that_is_there_three_times_may_be_a_placeholder(tmp_path):
    looks = saved(tmp_path, **{f"{i}__png": photograph(max(i, 2)) for i in range(6)})
    assert outliers(looks, same(looks)) == dict.fromkeys((0, 1, 2), "the same picture 3 times: a placeholder?")
    assert min(look.deviation for look in looks) > PLAIN
