"""Shards hold what was written, each sample is seen once, in an order of seed and epoch, and read alone."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ranged
import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.data.images.augment import Augment
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.readers import Split
from lightloom.data.images.shards import ShardedImages, index_others, png
from lightloom.data.sampling import Blocks, EvenBatches, KeyedBatches
from lightloom.data.shards import store
from lightloom.data.shards.conversion import convert
from lightloom.data.shards.index import INDEX, open_index
from lightloom.data.shards.tar import members, packed

SIZE, PER_SHARD, WINDOW = 53, 7, 2


class Images:
    """Images that no other is like, in three classes; the validation part has 11, and there is no test."""

    classes = ("a", "b", "c")

    def read(self, split: str) -> Split | None:
        if split == "test":
            return None
        count, seed = (SIZE, 0) if split == "train" else (11, 1)
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 256, (count, 3, 5, 5), dtype=torch.uint8, generator=generator)
        return Split(images=images, labels=torch.arange(count) % 3)


def data(reader: Any, **options: Any) -> ImageDataModule:
    facts: dict[str, Any] = {"name": "x", "kind": "image", "num_classes": None, "classes": None, "channels": 3}
    facts |= {"image_size": 5, "mean": [0.5] * 3, "std": [0.5] * 3, "batch_size": 6, "eval_batch_size": 4}
    return ImageDataModule(reader, **{**facts, "augment": Augment(flip=True), "seed": 3, **options})


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "out"
    convert(data(Images()), folder, PER_SHARD, 1 << 20)
    return folder


def sharded(root: Path | str, **options: Any) -> ImageDataModule:
    return data(ShardedImages(str(root), WINDOW), **options)


def batches(datamodule: ImageDataModule, epoch: int = 0, start: int = 0) -> list[tuple[Tensor, ...]]:
    """Of an epoch from a step on: images, labels and keys, as the loader gives them."""
    datamodule.resume_at(epoch, start)
    return list(datamodule.train_dataloader())


def same(found: Sequence[tuple[Tensor, ...]], expected: Sequence[tuple[Tensor, ...]]) -> bool:
    return len(found) == len(expected) and all(
        torch.equal(a, b) for one, other in zip(found, expected, strict=True) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("name", ["train", "val"])
def test_what_was_written_is_read(shards, name):
    expected = Images().read(name)
    (found,) = list(sharded(shards, eval_batch_size=100).eval_loader(name))
    assert torch.equal(found[0], expected.images)
    assert torch.equal(found[1], expected.labels)
    assert ShardedImages(str(shards)).read("test") is None


def test_they_are_tar_files_as_others_write_and_read_them(shards):
    with tarfile.open(shards / "train-000001.tar") as archive:
        members = archive.getnames()
    assert members[:4] == ["000000007.png", "000000007.cls", "000000008.png", "000000008.cls"]
    assert len(members) == 2 * PER_SHARD


def test_they_are_written_alike_each_time_and_over_nothing(shards, tmp_path):
    convert(data(Images()), tmp_path / "again", PER_SHARD, 1 << 20)
    files = {path.name: path.read_bytes() for path in shards.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == files
    with pytest.raises(UserError, match="is not empty"):
        convert(data(Images()), tmp_path / "again", PER_SHARD, 1 << 20)


def test_shards_have_no_more_bytes_than_they_may(tmp_path):
    convert(data(Images()), tmp_path / "out", 1000, 8000)
    assert all(path.stat().st_size <= 8000 for path in (tmp_path / "out").glob("*.tar"))
    (found,) = list(sharded(tmp_path / "out", eval_batch_size=100).eval_loader("train"))
    assert torch.equal(found[0], Images().read("train").images)


# --- those of other programs


def theirs(folder: Path, name: str, images: Split, extra: Sequence[tarfile.TarInfo] = (), **header: Any) -> Path:
    """A tar file as WebDataset's own writer makes it: times with a fraction take an extended header each."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / name, "w") as archive:
        for i in range(len(images)):
            for ending, content in (("cls", str(int(images.labels[i])).encode()), ("PNG", png(images.images[i]))):
                about = tarfile.TarInfo(f"photos/{i:04d}.{ending}")
                about.size = len(content)
                for key, value in header.items():
                    setattr(about, key, value)
                archive.addfile(about, io.BytesIO(content))
        for about in extra:
            archive.addfile(about)
    return folder / name


@pytest.mark.parametrize("header", [{}, {"mtime": 1.25}, {"uname": "x" * 40}, {"pax_headers": {"comment": "é" * 200}}])
def test_tar_files_of_others_are_indexed_where_they_lie(tmp_path, header):
    for name, part in (("photos-train-0000.tar", "train"), ("photos-validation-0000.tar", "val")):
        theirs(tmp_path / "x", name, Images().read(part), **header)
    before = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}
    assert index_others(tmp_path / "x", Images.classes) == {"train": SIZE, "val": 11}
    assert {name: (tmp_path / "x" / name).read_bytes() for name in before} == before
    for name in ("train", "val"):
        (found,) = list(sharded(tmp_path / "x", eval_batch_size=100).eval_loader(name))
        assert torch.equal(found[0], Images().read(name).images)
        assert torch.equal(found[1], Images().read(name).labels)
    with pytest.raises(UserError, match="is there already"):
        index_others(tmp_path / "x")


# --- the order


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_an_epoch_has_each_sample_once_over_all_processes(shards, world_size):
    """Training leaves out what fills no batch, of another epoch others; an evaluation leaves out nothing."""
    blocks, size = sharded(shards).split("train").blocks, world_size * 4
    orders = [KeyedBatches(SIZE, size, 3, True, rank, world_size, blocks=blocks) for rank in range(world_size)]
    seen = torch.cat([indices for order in orders for indices, _ in order])
    assert len(seen.unique()) == len(seen) == SIZE // size * size
    parts = [EvenBatches(SIZE, 4, rank, world_size) for rank in range(world_size)]
    assert torch.cat([indices for part in parts for indices, _ in part]).sort().values.tolist() == list(range(SIZE))


@pytest.mark.parametrize("window", [1, 2, 3, 8, 100])
def test_an_epoch_reads_few_shards_at_a_time_and_each_for_one_while(window):
    homes = torch.arange(SIZE) // PER_SHARD
    (order, _), *_ = KeyedBatches(SIZE, SIZE, 3, blocks=Blocks(homes, window))
    assert order.sort().values.tolist() == list(range(SIZE))
    groups = list(dict.fromkeys(map(tuple, _windows(homes[order].tolist(), window))))
    assert sorted(shard for group in groups for shard in group) == list(range(8))
    assert all(len(group) <= window for group in groups)


def _windows(shards: list[int], window: int) -> Iterator[list[int]]:
    """The shards of one while after another: as many as there are until one comes that would be too many."""
    current: list[int] = []
    for shard in shards:
        if shard not in current and len(current) == window:
            yield sorted(current)
            current = []
        current = current if shard in current else [*current, shard]
    yield sorted(current)


def test_the_order_is_one_of_seed_and_epoch(shards):
    first = batches(sharded(shards))
    assert same(first, batches(sharded(shards)))
    assert not same(first, batches(sharded(shards), epoch=1))
    assert not same(first, batches(sharded(shards, seed=4)))


def test_workers_and_an_address_change_nothing(shards):
    """Workers are processes: they take a second."""
    expected = batches(sharded(shards))
    with ranged.serving(shards) as served:
        assert same(batches(sharded(served.address, num_workers=2)), expected)
        assert same(batches(sharded(served.address)), expected)
        assert sharded(served.address).describe("train") == sharded(shards).describe("train")


@pytest.mark.parametrize("start", [1, 5, 7])
def test_a_run_goes_on_at_any_step_and_reads_nothing_that_is_behind(shards, start):
    expected = batches(sharded(shards), epoch=2)
    with ranged.serving(shards) as served:
        datamodule = sharded(served.address)
        datamodule.split("train")
        served.asked.clear()
        assert same(batches(datamodule, epoch=2, start=start), expected[start:])
        records, order = datamodule.split("train").shards.records, datamodule.train_dataloader().sampler
        order.set_epoch(2)
        ahead = torch.cat([indices for indices, _ in list(order)[start:]])
        wanted = [(int(records["first"][i]), int(records["count"][i])) for i in ahead.tolist()]
        assert sorted(span for _, *span in served.asked) == sorted(map(list, wanted))


def test_a_part_and_the_whole_are_samples_like_others(shards):
    train = sharded(shards).split("train")
    chosen = torch.tensor([50, 3, 4, 20])
    contents = [source.getvalue() for source in train.sources(range(SIZE))]
    assert [source.getvalue() for source in train.pick(chosen).sources(range(4))] == [contents[i] for i in chosen]
    assert train.pick(chosen).labels.tolist() == (chosen % 3).tolist()
    (found,) = list(sharded(shards, eval_batch_size=100).eval_loader("all"))
    expected = torch.cat([Images().read(name).images for name in ("train", "val")])
    assert torch.equal(found[0], expected)


# --- what fails


def test_a_server_that_fails_for_a_moment_is_asked_again(shards, monkeypatch):
    monkeypatch.setattr(store, "PAUSE", 0.0)
    with ranged.serving(shards) as served:
        datamodule = sharded(served.address)
        datamodule.split("train")
        served.fails = 3
        assert same(batches(datamodule), batches(sharded(shards)))


def told(root: Path | str) -> str:
    with pytest.raises(UserError) as raised:
        batches(sharded(root))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_a_server_does_wrong_is_one_sentence(shards, monkeypatch):
    monkeypatch.setattr(store, "PAUSE", 0.0)
    with ranged.serving(shards) as served:
        assert "there is no such file; set data.root to shards" in told(f"{served.address}/none")
        served.fails, served.status = 1000, 500
        assert "500" in told(served.address)
        served.fails, served.ranges = 0, False
        assert "must know HTTP ranges" in told(served.address)
        served.ranges = True
        datamodule = sharded(served.address)
        datamodule.split("train")
        served.cut = 1
        with pytest.raises(UserError, match=r"train-\d+.tar, sample \d: the shard ends before"):
            batches(datamodule)
    said = told("http://me:secret@127.0.0.1:9/shards")
    assert "http://***@127.0.0.1:9/shards/index.json: could not be read in 4 tries" in said
    assert "secret" not in said
    assert "an address of http, https, s3" in told("ftp://x/y")
    assert "s3fs, not installed here" in told("s3://bucket/x")


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def changed(index: Path, **entries: Any) -> None:
    """Other entries in the first training shard of an index."""
    content = json.loads(index.read_text())
    content["parts"]["train"]["shards"][0] |= entries
    index.write_text(json.dumps(content))


DAMAGES = {
    "a byte": (lambda f: flip(f / "train-000002.tar", 700), "train-000002.tar, sample 0: is damaged"),
    "an end": (lambda f: (f / "train-000000.tar").write_bytes(b"x" * 9), "has 9 bytes, not the"),
    "a shard": (lambda f: (f / "train-000001.tar").unlink(), "train-000001.tar: there is no such file"),
    "the records": (lambda f: flip(f / "train.index", 3), "train.index: is not the file that index.json"),
    "no records": (lambda f: (f / "train.index").unlink(), "train.index: is not the file that index.json"),
    "no index": (lambda f: (f / INDEX).unlink(), "index.json: there is no such file; set data.root to shards"),
    "no JSON": (lambda f: (f / INDEX).write_text("{"), "index.json: is no whole JSON"),
    "no text": (lambda f: (f / INDEX).write_bytes(b"\xff"), "is no text in UTF-8"),
    "a path": (lambda f: changed(f / INDEX, name="../x.tar"), "shards[0].name is '../x.tar'; expected the name of a"),
    "a root": (lambda f: changed(f / INDEX, name="/etc/x.tar"), "is '/etc/x.tar'; expected the name of a .tar file"),
    "no samples": (lambda f: changed(f / INDEX, samples=0), "samples is 0; expected a whole number of at least 1"),
    "many samples": (lambda f: changed(f / INDEX, samples=2**52), "more than is read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_one_sentence(shards, tmp_path, damage):
    folder = tmp_path / "damaged"
    shutil.copytree(shards, folder)
    make, says = DAMAGES[damage]
    make(folder)
    assert says in told(folder)


def test_shards_of_another_kind_are_told(shards):
    with pytest.raises(UserError, match="hold data of kind image, not detection"):
        open_index(str(shards), "detection")


LINK = tarfile.TarInfo("a.lnk")
LINK.type, LINK.linkname = tarfile.SYMTYPE, "/etc/passwd"
LONG = tarfile.TarInfo("a.txt")
LONG.size = 10**9


FOREIGN = {
    "a link": (lambda f: theirs(f, "a.tar", Images().read("val"), [LINK]), "a.lnk is no plain file"),
    "a cut": (
        lambda f: (p := theirs(f, "a.tar", Images().read("val"))).write_bytes(p.read_bytes()[:5000]),
        "a.tar: is no plain tar",
    ),
    "no tar": (lambda f: (f / "a.tar").write_bytes(b"x" * 2000), "is no plain tar file"),
    "no file": (lambda f: None, "has no .tar file to index"),
    "a class": (lambda f: theirs(f, "a.tar", Split(**LABELLED)), "its .cls is b'-1'; expected a whole number from 0"),
    "a name": (lambda f: theirs(f, "a b.tar", Images().read("val")), "is not called by letters, digits"),
    "names": (lambda f: theirs(f, "a.tar", Images().read("val")), "have a class 2; name them all"),
    "twice": (lambda f: twice(theirs(f, "a.tar", Images().read("val"))), "do not follow each other"),
}
LABELLED = {"images": torch.zeros(1, 3, 5, 5, dtype=torch.uint8), "labels": torch.tensor([-1])}


def twice(path: Path) -> None:
    content = path.read_bytes().rstrip(b"\0")
    content += bytes(-len(content) % tarfile.BLOCKSIZE)
    path.write_bytes(content + path.read_bytes())


@pytest.mark.parametrize("fault", FOREIGN)
def test_what_is_wrong_with_tar_files_of_others_is_one_sentence(tmp_path, fault):
    make, says = FOREIGN[fault]
    make(tmp_path)
    with pytest.raises(UserError) as raised:
        index_others(tmp_path, ["one", "two"])
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / INDEX).exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [(LINK.tobuf(), "is no plain file"), (LONG.tobuf(), "is no plain file"), (b"x" * 700, "is no part of a tar file")],
)
def test_a_sample_is_plain_files_alone(content, says):
    with pytest.raises(UserError, match=says):
        members(content, "x.tar, sample 0")
    assert members(packed("0", {"txt": b"hello", "json": b""}), "x") == {"txt": b"hello", "json": b""}
