"""What is told of a data set is what is in it."""

from itertools import pairwise
from types import SimpleNamespace

import torch

from lightloom.core.findings import Findings
from lightloom.data.boxes.proposals import KeptProposals
from lightloom.data.boxes.scenes import DigitScenes
from lightloom.predict.boxes.inspection import BOUNDS, CELL, class_counts, known, overlay, report_recall, size_histogram


def test_counts_are_those_of_a_slow_loop():
    split = DigitScenes(96, 30).read("train")
    items = list(known(split))
    labels = [label for _, target in (split[i] for i in range(30)) for label in target["labels"].tolist()]
    assert class_counts(items, 10) == [labels.count(label) for label in range(1, 11)]
    boxes = [box for boxes, _ in items for box in boxes.tolist()]
    sizes = [((x2 - x1) * (y2 - y1)) ** 0.5 for x1, y1, x2, y2 in boxes]
    assert size_histogram(items) == [sum(low <= size < high for size in sizes) for low, high in pairwise(BOUNDS)]


def test_a_part_has_the_boxes_of_its_images():
    split = DigitScenes(96, 10).read("train")
    whole, part = list(known(split)), list(known(split.pick(torch.tensor([7, 2]))))
    assert torch.equal(part[0][0], whole[7][0])
    assert torch.equal(part[1][0], whole[2][0])


def test_boxes_are_drawn_around_the_digits():
    """What the overlay changes of an image of its own size lies in the masks, on the boxes or in their names."""
    split = DigitScenes(CELL, 4, max_digits=1).read("train")
    for image, target in split:
        (x1, y1, x2, y2) = target["boxes"][0].int().tolist()
        changed = (overlay(image, target, list("0123456789")) != image).any(0)
        assert changed[y1 : y2 + 1, x1 : x2 + 1].any()
        outside = changed.clone()
        outside[max(y1 - 20, 0) : y2 + 20, max(x1 - 20, 0) : x2 + 20] = False
        assert not outside.any()


def test_recall_is_told_by_the_number_of_proposals_used():
    """Proposals of which the third is the first object's box."""
    scenes = DigitScenes(64, 3, max_digits=1).read("train")
    boxes = {image.numpy().tobytes(): target["boxes"] for image, target in (scenes[i] for i in range(3))}

    def propose(image):
        return torch.cat([torch.zeros(11, 4), boxes[image.numpy().tobytes()], torch.zeros(30, 4)]).short()

    found = Findings("scenes")
    report_recall(found, SimpleNamespace(proposals=KeptProposals(propose, None), split=lambda name: scenes), "train")
    (table,) = found.tables
    assert [row[0] for row in table.rows] == ["10", "30", "42"]
    assert [row[1] for row in table.rows] == ["0.000", "1.000", "1.000"]
