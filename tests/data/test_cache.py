"""A cache changes how often a file is decoded, and nothing else."""

from __future__ import annotations

import pickle
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.data.images.augment import Augment
from lightloom.data.images.datamodule import FileImages, ImageDataModule
from lightloom.data.images.readers import ImageFolder

N, SIZE = 12, 24


def picture(seed: int, height: int = 40, width: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of files of several formats, sizes and modes, one turned by EXIF."""
    root = tmp_path / "photos"
    for i in range(N):
        path = root / "ab"[i % 2] / f"{i}.{('jpg', 'png', 'gif')[i % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i, 30 + i, 60 - i).save(path)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(99).save(root / "a" / "turned.jpg", exif=turned)
    picture(98).convert("L").save(root / "b" / "grey.png")
    return root


def datamodule(photos: Path, cache: Path | None, **options: Any) -> ImageDataModule:
    facts = {"name": "photos", "kind": "image", "num_classes": 2, "classes": None, "channels": 3, "image_size": SIZE}
    loading = {"batch_size": 5, "eval_batch_size": 4, "augment": Augment(), "val_fraction": 0.2}
    kept = {"cache": cache is not None, "cache_dir": str(cache)}
    normal = {"mean": [0.5] * 3, "std": [0.25] * 3}
    options = {"reader": ImageFolder(photos, 3, SIZE), **facts, **normal, **loading, **kept, **options}
    return ImageDataModule(**options)


def batches(data: ImageDataModule, epoch: int = 0) -> list[tuple[Tensor, ...]]:
    """All of an epoch and of the validation."""
    data.resume_at(epoch, 0)
    return [*data.train_dataloader(), *data.val_dataloader()]


def assert_same(ours: list[tuple[Tensor, ...]], theirs: list[tuple[Tensor, ...]]) -> None:
    pairs = [pair for batch in zip(ours, theirs, strict=True) for pair in zip(*batch, strict=True)]
    assert pairs
    assert all(torch.equal(a, b) for a, b in pairs)


def fill(photos: Path, cache: Path) -> FileImages:
    """The training split with all its images in the cache."""
    data = datamodule(photos, cache)
    images = FileImages(data.split("train"), 3, SIZE)
    images[torch.arange(len(images)), torch.zeros(len(images))]
    return images


@pytest.mark.parametrize("workers", [0, 2])
def test_images_are_those_without_a_cache(photos, tmp_path, workers):
    plain = datamodule(photos, None)
    cached = datamodule(photos, tmp_path / "cache", num_workers=workers)
    for epoch in range(3):
        assert_same(batches(cached, epoch), batches(plain, epoch))


def test_each_file_is_decoded_once(photos, tmp_path):
    """Nothing is read from the files after all were seen, by this run or by one after it."""
    again = datamodule(photos, tmp_path / "cache")
    again.setup()
    expected = batches(datamodule(photos, None))
    fill(photos, tmp_path / "cache")
    list(datamodule(photos, tmp_path / "cache").val_dataloader())
    for path in photos.rglob("*.*"):
        path.write_bytes(b"no longer an image")
    assert_same(batches(again), expected)


def test_a_transform_sees_the_decoded_image(photos, tmp_path):
    def noisy(image: Tensor) -> Tensor:
        return image ^ torch.randint(256, (), dtype=torch.uint8)

    plain = datamodule(photos, None, transform=noisy)
    cached = datamodule(photos, tmp_path / "cache", transform=noisy)
    first, second = batches(cached, 0), batches(cached, 1)
    assert_same(first + second, batches(plain, 0) + batches(plain, 1))
    assert_same(batches(datamodule(photos, tmp_path / "cache")), batches(datamodule(photos, None)))


def test_a_changed_file_is_decoded_anew(photos, tmp_path):
    fill(photos, tmp_path / "cache")
    for seed, path in enumerate(sorted(photos.rglob("*.png"))):
        picture(1000 + seed, 33, 34).save(path)
    assert_same(batches(datamodule(photos, tmp_path / "cache")), batches(datamodule(photos, None)))


@pytest.mark.parametrize("options", [{"image_size": 8}, {"channels": 1, "mean": [0.5], "std": [0.25]}])
def test_another_size_or_colour_is_another_file(photos, tmp_path, options):
    fill(photos, tmp_path / "cache")
    assert_same(
        batches(datamodule(photos, tmp_path / "cache", **options)), batches(datamodule(photos, None, **options))
    )
    assert len(list((tmp_path / "cache").glob("*.images"))) == 2


def test_train_and_validation_share_a_file_whatever_the_split(photos, tmp_path):
    fill(photos, tmp_path / "cache")
    other = datamodule(photos, tmp_path / "cache", seed=3, val_fraction=0.4)
    assert_same(batches(other), batches(datamodule(photos, None, seed=3, val_fraction=0.4)))
    assert len(list((tmp_path / "cache").glob("*.images"))) == 1


def test_half_written_images_are_decoded_anew(photos, tmp_path):
    """Whatever bytes a killed writer, or a disk, left in the place of an image."""
    images = fill(photos, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*.images")
    content = bytearray(file.read_bytes())
    content[: 2 * 3 * SIZE**2 : 7] = bytes(len(content[: 2 * 3 * SIZE**2 : 7]))
    file.write_bytes(content)
    everything = torch.arange(len(images))
    assert torch.equal(images[everything, everything][0], torch.stack([*images._decode(range(len(images)))]))
    assert images.cache.read(everything)[1] == []


def test_a_worker_gets_the_cache_without_its_content(photos, tmp_path):
    images = fill(photos, tmp_path / "cache")
    sent = pickle.dumps(images)
    assert len(sent) < images.cache.size * images.cache.bytes / 2
    everything = torch.arange(len(images))
    assert torch.equal(pickle.loads(sent)[everything, everything][0], images[everything, everything][0])


def test_a_full_disk_is_said_and_the_run_goes_on(photos, tmp_path, caplog):
    """The kernel refuses files beyond a size, at first the whole file and then what is written into it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    expected = batches(datamodule(photos, None))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        assert_same(batches(datamodule(photos, tmp_path / "cache")), expected)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "decoded images are not kept" in caplog.text
    assert "set data.cache_dir" in caplog.text
    assert not list((tmp_path / "cache").glob("*images*"))
    caplog.clear()
    data = datamodule(photos, tmp_path / "cache")
    data.setup()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        assert_same(batches(data), expected)
        assert_same(batches(data), expected)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caplog.text.count("no more images are kept") == 2  # once for training images, once for those of validation


def test_images_in_memory_need_no_cache(photos, tmp_path, caplog):
    caplog.set_level("INFO", logger="lightloom")
    data = datamodule(photos, tmp_path / "cache", reader=ImageFolder(photos, 3, SIZE, in_memory=True))
    data.setup()
    assert "in memory already" in caplog.text
    assert not (tmp_path / "cache").exists()


def test_a_cache_needs_a_folder(photos):
    with pytest.raises(UserError, match=r"set data\.cache_dir="):
        datamodule(photos, photos, cache_dir=None)
