"""The misclassified images of a test, bounded however many there are."""

import csv
import json

import commands
import pytest
import torch
from noise import images

from lightloom.callbacks.images.misclassified import Wrong, choose, write, wrong
from lightloom.ops.images.grid import read_png, tiles, to_uint8

SMALL = ("trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=3", "preflight=false", "data=digits")
ALL = ("callbacks.misclassified.per_pair=1000", "callbacks.misclassified.most=1000")


def test_the_wrong_ones_are_found_with_their_confidence():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 1.0, 0.0]])
    batch = images(3, 1, 4, 4)
    (one,) = wrong(logits, batch, torch.tensor([0, 2, 1]), side=8)
    assert (one.true, one.predicted) == (2, 1)
    assert one.confidence == pytest.approx(float(logits[1].softmax(0)[1]))
    assert torch.equal(one.image, to_uint8(batch)[1])


def test_a_large_image_is_reduced_and_keeps_its_shape():
    (one,) = wrong(torch.tensor([[0.0, 1.0]]), torch.full((1, 3, 100, 200), 0.6), torch.tensor([0]), side=20)
    assert one.image.shape == (3, 10, 20)
    assert set(one.image.flatten().tolist()) == {153}


def some(count: int) -> list[Wrong]:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(3, (count, 2), generator=generator).tolist()
    confidence = torch.rand(count, generator=generator).tolist()
    return [Wrong(a, b, c, torch.zeros(1, 2, 2)) for (a, b), c in zip(pairs, confidence, strict=True)]


def test_choosing_batch_by_batch_is_choosing_of_all():
    every, kept = some(300), []
    for i in range(0, 300, 7):
        kept = choose([*kept, *every[i : i + 7]], per_pair=4, most=20)
    assert {w.confidence for w in kept} == {w.confidence for w in choose(every, 4, 20)}


def test_each_pair_shows_its_most_certain():
    every = some(300)
    kept = choose(every, per_pair=2, most=1000)
    for pair in {(w.true, w.predicted) for w in every}:
        of_pair = sorted((w.confidence for w in every if (w.true, w.predicted) == pair), reverse=True)
        assert sorted((w.confidence for w in kept if (w.true, w.predicted) == pair), reverse=True) == of_pair[:2]
    few = choose(every, per_pair=9, most=9)
    assert len({(w.true, w.predicted) for w in few}) == 9  # a pair's second only after all firsts


def test_the_files_hold_what_was_kept(tmp_path):
    page = to_uint8(images(25, 3, 4, 5))
    write(tmp_path, [Wrong(i, i + 1, 0.5, image) for i, image in enumerate(page)])
    told = json.loads((tmp_path / "misclassified.json").read_text())
    sheet, size = read_png(tmp_path / "misclassified.png")
    assert [image["true"] for image in told["images"]] == list(range(25))
    assert torch.equal(tiles(sheet, size["height"], size["width"])[:25], page)
    write(tmp_path, [])
    assert json.loads((tmp_path / "misclassified.json").read_text())["images"] == []
    assert not (tmp_path / "misclassified.png").exists()


@pytest.mark.parametrize("start", [commands.run, commands.run_two], ids=["alone", "two processes"])
def test_there_are_as_many_as_the_confusion_matrix_counts(tmp_path, start):
    alone = () if start is commands.run_two else ("trainer=cpu",)
    start(tmp_path, "model=mlp", "run_name=first", *SMALL[1:], *ALL, *alone)
    where = tmp_path / "runs/first"
    with (where / "confusion_matrix.csv").open(newline="") as file:
        rows = [list(map(int, row[1:])) for row in list(csv.reader(file))[1:]]
    kept = [(w["true"], w["predicted"]) for w in json.loads((where / "misclassified.json").read_text())["images"]]
    counted = {(i, j): n for i, row in enumerate(rows) for j, n in enumerate(row) if i != j and n}
    assert {pair: kept.count(pair) for pair in kept} == counted
