"""What is written in a data set's layout is what its reader gives back; what is broken is named."""

from __future__ import annotations

import csv
import gzip
import os
import pickle
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
import torchvision
from conftest import real
from PIL import Image
from sklearn.datasets import load_digits

from lightloom.core.errors import UserError
from lightloom.data.images.decode import read_image
from lightloom.data.images.readers import Cifar, Digits, Idx, ImageFolder, KaggleCsv, read_digits, read_idx


def random_bytes(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def refused(*words: str):
    return pytest.raises(UserError, match=".*".join(re.escape(word) for word in words))


# Digits


def test_digits_split_by_class_without_overlap():
    train, test = Digits().read("train"), Digits().read("test")
    assert len(train) + len(test) == 1797
    rows = torch.cat([train.images, test.images]).flatten(1).unique(dim=0)
    assert len(rows) == 1797  # all digits differ, so none is in both parts
    share = test.labels.bincount() / torch.cat([train.labels, test.labels]).bincount()
    assert ((share - 0.2).abs() < 0.01).all()
    assert (train.images.min(), train.images.max()) == (0, 255)
    assert Digits().read("val") is None


def test_digits_are_those_that_sklearn_loads():
    grey, labels = load_digits(return_X_y=True)
    rows = read_digits()
    assert np.array_equal(rows[:, :-1], grey)
    assert np.array_equal(rows[:, -1], labels)


# MNIST and its kin


def write_idx(path: Path, values: np.ndarray) -> None:
    content = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes() + values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(root: Path, suffix: str = ".gz") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    parts = {
        "train": (random_bytes(7, 5, 4), random_bytes(7) % 10),
        "t10k": (random_bytes(3, 5, 4), random_bytes(3) % 10),
    }
    for stem, (images, labels) in parts.items():
        write_idx(root / f"MNIST/raw/{stem}-images-idx3-ubyte{suffix}", images)
        write_idx(root / f"MNIST/raw/{stem}-labels-idx1-ubyte{suffix}", labels)
    return parts


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_round_trip(tmp_path, suffix):
    parts = write_mnist(tmp_path, suffix)
    for split, stem in (("train", "train"), ("test", "t10k")):
        read = Idx(tmp_path, "MNIST").read(split)
        assert torch.equal(read.images.squeeze(1), torch.from_numpy(parts[stem][0]))
        assert read.labels.tolist() == parts[stem][1].tolist()
    assert Idx(tmp_path, "MNIST").read("val") is None
    assert len(Idx(tmp_path, "MNIST").classes) == 10


def test_reading_writes_nothing(tmp_path):
    write_mnist(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    Idx(tmp_path, "MNIST", download=True).read("train")
    assert sorted(tmp_path.rglob("*")) == before


def test_fashion_mnist_is_what_torchvision_reads(tmp_path):
    root = real("fashion_mnist")
    (tmp_path / "FashionMNIST/raw").mkdir(parents=True)
    for file in (root / "FashionMNIST/raw").glob("t10k*"):
        unpacked = tmp_path / "FashionMNIST/raw" / file.stem
        unpacked.write_bytes(gzip.decompress(file.read_bytes()))
        unpacked.with_name(file.stem.replace("t10k", "train")).touch()
    theirs = torchvision.datasets.FashionMNIST(tmp_path, train=False)
    ours = Idx(root, "FashionMNIST").read("test")
    assert torch.equal(ours.images.squeeze(1), theirs.data)
    assert torch.equal(ours.labels, theirs.targets)
    assert len(Idx(root, "FashionMNIST").read("train")) == 60_000


def test_missing_files_ask_for_the_download(tmp_path):
    root = tmp_path / "mnist"
    remedy = "add data.download=true to fetch them (11 MB), or set paths.data_dir to the folder that has mnist/"
    with refused("data set mnist: files of MNIST are missing in", str(root), remedy):
        Idx(root, "MNIST").read("train")
    assert not root.exists()
    with refused("data set mnist", "CIFAR10", "170 MB"):
        Cifar(root, "CIFAR10").read("train")


def test_broken_idx_files_are_named(tmp_path):
    remedy = "Delete the file and add data.download=true"
    path = tmp_path / "x.gz"
    write_idx(path, random_bytes(50, 8))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with refused(str(path), "not a whole gzip file", remedy):
        read_idx(path)
    for content in (b"", b"\x00\x00\x08", b"GIF89a"):
        (tmp_path / "x").write_bytes(content)
        with refused(str(tmp_path / "x"), f"starts with {content[:3].hex()}", "000008", remedy):
            read_idx(tmp_path / "x")
    (tmp_path / "x").write_bytes(gzip.decompress(whole)[:-1])
    with refused(str(tmp_path / "x"), "399 bytes of values, not 400", remedy):
        read_idx(tmp_path / "x")
    (tmp_path / "x").write_bytes(gzip.decompress(whole)[:7])
    with refused(str(tmp_path / "x"), "bytes of values", remedy):
        read_idx(tmp_path / "x")


def test_images_without_a_label_are_counted(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "MNIST/raw/train-labels-idx1-ubyte.gz", random_bytes(6))
    with refused("train-images-idx3-ubyte.gz: 7 images, but 6 labels in train-labels-idx1-ubyte.gz"):
        Idx(tmp_path, "MNIST").read("train")


# Downloads


def test_one_downloads_and_the_others_wait(tmp_path, monkeypatch):
    calls, begun = [], Event()

    def download(root, download):
        calls.append(root)
        write_mnist(Path(root))
        whole = {path: path.read_bytes() for path in Path(root).rglob("*.gz")}
        for path, content in whole.items():
            path.write_bytes(content[:20])
        begun.set()
        time.sleep(0.3)
        for path, content in whole.items():
            path.write_bytes(content)

    monkeypatch.setattr(torchvision.datasets, "MNIST", download)
    reader = Idx(tmp_path / "mnist", "MNIST", download=True)
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(reader.read, "train") for _ in range(3)]
        assert begun.wait(10)
        reads += [pool.submit(reader.read, "train") for _ in range(3)]
    assert [len(read.result()) for read in reads] == [7] * 6
    assert calls == [tmp_path / "mnist"]


def test_a_failed_download_is_explained(tmp_path, monkeypatch):
    def fail(root, download):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    with refused("download of MNIST to", "failed (Error downloading", "check the network", "set paths.data_dir"):
        Idx(tmp_path / "mnist", "MNIST", download=True).read("train")


def test_an_unwritable_folder_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with refused("download of MNIST", "failed", "permissions"):
        Idx(tmp_path / "file" / "mnist", "MNIST", download=True).read("train")


# CIFAR


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 did, in which CIFAR's files were made."""

    def save_bytes(self, content: bytes) -> None:
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_bytes}  # noqa: RUF012


def pickled(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(content)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def write_cifar(root: Path, source: str) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
    known = getattr(torchvision.datasets, source)
    folder, key = root / known.base_folder, {"CIFAR10": "labels", "CIFAR100": "fine_labels"}[source]
    rows, labels = {"train": [], "test": []}, {"train": [], "test": []}
    for split, files in (("train", known.train_list), ("test", known.test_list)):
        for number, (name, _) in enumerate(files):
            rows[split].append(random_bytes(2 + number, 3072))
            labels[split] += list(range(2 + number))
            pickled(folder / name, {"data": rows[split][-1], key: list(range(2 + number))})
    pickled(folder / known.meta["filename"], {known.meta["key"]: ["apple", "bear"]})
    return {split: np.concatenate(parts) for split, parts in rows.items()}, labels


@pytest.mark.parametrize("source", ["CIFAR10", "CIFAR100"])
def test_cifar_round_trip(tmp_path, source):
    rows, labels = write_cifar(tmp_path, source)
    reader = Cifar(tmp_path, source)
    for split in ("train", "test"):
        read = reader.read(split)
        assert torch.equal(read.images.flatten(1), torch.from_numpy(rows[split]))
        assert read.images.shape[1:] == (3, 32, 32)
        assert read.labels.tolist() == labels[split]
    assert reader.classes == ["apple", "bear"]
    assert reader.read("val") is None


class Attack:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_cifar_batches_run_no_code(tmp_path):
    write_cifar(tmp_path, "CIFAR10")
    pickled(tmp_path / "cifar-10-batches-py/data_batch_3", Attack(tmp_path / "attacked"))
    with refused("data_batch_3: not a whole batch of CIFAR10 (it asks for posix.mkdir"):
        Cifar(tmp_path, "CIFAR10").read("train")
    assert not (tmp_path / "attacked").exists()


def test_broken_cifar_batches_are_named(tmp_path):
    write_cifar(tmp_path, "CIFAR10")
    batch = tmp_path / "cifar-10-batches-py/test_batch"
    whole = batch.read_bytes()
    for content in (b"", whole[: len(whole) // 2], pickle.dumps({"data": 1})):
        batch.write_bytes(content)
        with refused(str(batch), "not a whole batch of CIFAR10", "Delete the file and add data.download=true"):
            Cifar(tmp_path, "CIFAR10").read("test")


# Folders


def write_image(path: Path, size: int = 4) -> np.ndarray:
    pixels = random_bytes(size, size, 3, len(str(path)))[..., 0]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_flat_folder_is_all_training(tmp_path):
    for name in ("dog/b.png", "dog/deep/a.JPG", "cat/1.png"):
        write_image(tmp_path / name)
    for stray in (".hidden/x.png", "cat/.thumb.png", "cat/.cache/y.png", "dog/notes.txt", "README.md"):
        (tmp_path / stray).parent.mkdir(exist_ok=True)
        (tmp_path / stray).write_text("not an image")
    reader = ImageFolder(tmp_path, channels=3, image_size=4)
    train = reader.read("train")
    assert reader.classes == ["cat", "dog"]
    assert train.ids == ["cat/1.png", "dog/b.png", "dog/deep/a.JPG"]
    assert train.labels.tolist() == [0, 1, 1]
    assert train.paths == [tmp_path / id_ for id_ in train.ids]
    assert reader.read("val") is None
    assert reader.read("test") is None


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_split_folders(tmp_path, val):
    for split, name in (("train", "dog"), ("train", "cat"), (val, "dog"), ("test", "cat")):
        write_image(tmp_path / split / name / f"{split}.png")
    reader = ImageFolder(tmp_path, channels=3, image_size=4)
    assert [reader.read(split).ids for split in ("train", "val", "test")] == [
        ["cat/train.png", "dog/train.png"],
        [f"dog/{val}.png"],
        ["cat/test.png"],
    ]
    assert [reader.read(split).labels.tolist() for split in ("val", "test")] == [[1], [0]]


def test_in_memory_is_the_same_images(tmp_path):
    pixels = [write_image(tmp_path / f"{name}.png") for name in ("cat/1", "cat/2", "dog/1")]
    read = ImageFolder(tmp_path, channels=3, image_size=4, in_memory=True).read("train")
    assert torch.equal(read.images, torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2))
    assert read.ids == ["cat/1.png", "cat/2.png", "dog/1.png"]


def test_cifar10_small_in_memory():
    root = real("cifar10_small")
    memory = ImageFolder(root, channels=3, image_size=32, in_memory=True).read("test")
    files = ImageFolder(root, channels=3, image_size=32).read("test")
    assert memory.images.shape == (1000, 3, 32, 32)
    assert memory.labels.bincount().tolist() == [100] * 10
    assert torch.equal(memory.images[::97], torch.stack([read_image(path, 3, 32) for path in files.paths[::97]]))


def test_images_without_class_folders_are_one_class(tmp_path):
    """Flat, or flat below train and test; the ids are the files' names."""
    for name in ("flat/a.png", "flat/.hidden.png", "split/train/b.png", "split/test/c.png"):
        write_image(tmp_path / name)
    flat, split = (ImageFolder(tmp_path / name, channels=3, image_size=4) for name in ("flat", "split"))
    assert flat.classes == split.classes == ["images"]
    assert (flat.read("train").ids, flat.read("test")) == (["a.png"], None)
    assert (split.read("train").ids, split.read("test").ids) == (["b.png"], ["c.png"])
    assert split.read("test").labels.tolist() == [0]


def test_folder_mistakes_are_named(tmp_path):
    def reader(name: str) -> ImageFolder:
        return ImageFolder(tmp_path / name, channels=3, image_size=4)

    with refused(f"{tmp_path}/gone: no class folders; expected {tmp_path}/gone/<class>/*.png", "set paths.data_dir"):
        reader("gone").read("train")
    write_image(tmp_path / "empty/cat/x.png")
    (tmp_path / "empty/dog").mkdir()
    with refused("empty: no images (", ".png", ") in ['dog']", "delete the folder"):
        reader("empty").read("train")
    for name in ("train/cat", "test/cat", "test/bird"):
        write_image(tmp_path / "new" / name / "x.png")
    with refused("new/test: classes ['bird'] are not in", "new/train", "rename or delete"):
        reader("new").read("test")


# Kaggle


def write_kaggle(root: Path, rows: dict[str, str]) -> None:
    for id_ in (*rows, "test/10", "test/9"):
        write_image(root / (f"{id_}.png" if "/" in id_ else f"train/{id_}.png"))
    with (root / "trainLabels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *rows.items()])


def test_kaggle_csv_round_trip(tmp_path):
    rows = {"10": "frog", "2": "a, quoted", "1": "frog"}
    write_kaggle(tmp_path, rows)
    reader = KaggleCsv(tmp_path)
    train, test = reader.read("train"), reader.read("test")
    assert {id_: reader.classes[label] for id_, label in zip(train.ids, train.labels, strict=True)} == rows
    assert train.ids == ["1", "2", "10"]
    assert train.paths == [tmp_path / f"train/{id_}.png" for id_ in train.ids]
    assert (test.ids, test.labels) == (["9", "10"], None)
    assert reader.read("val") is None


def test_kaggle_without_test_images(tmp_path):
    write_kaggle(tmp_path, {"1": "frog"})
    for path in (tmp_path / "test").iterdir():
        path.unlink()
    assert KaggleCsv(tmp_path).read("test") is None


def test_kaggle_mistakes_are_named(tmp_path):
    with refused("data set gone: no", "gone/trainLabels.csv", "set paths.data_dir to the folder that has gone/"):
        KaggleCsv(tmp_path / "gone").read("train")
    write_kaggle(tmp_path, {"1": "frog", "2": "cat"})
    (tmp_path / "train/2.png").unlink()
    with refused("trainLabels.csv: 1 of 2 rows name no image in", "train, the first is '2'", "unpack"):
        KaggleCsv(tmp_path).read("train")
    for content in ("", "id,label\n", "id,class\n1,frog\n", "id,label\n1\n"):
        (tmp_path / "trainLabels.csv").write_text(content)
        with refused("trainLabels.csv: expected a first line `id,label`"):
            KaggleCsv(tmp_path).read("train")
