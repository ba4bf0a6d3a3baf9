"""Tracks by numpy alone: each object keeps its number, whatever the order of the boxes and the time between."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from lightloom.tracking.light import LaggedTrack, LightTrack, overlaps
from lightloom.tracking.smoothing import KalmanSmoother, OneEuro, Unsmoothed


def frame(*boxes, scores=None, labels=None):
    count = len(boxes)
    return {
        "boxes": np.array(boxes, dtype=np.float32).reshape(-1, 4),
        "labels": np.array(labels or [1] * count),
        "scores": np.array(scores or [0.9] * count, dtype=np.float32),
    }


def at(x, y, side=20.0):
    return (x, y, x + side, y + side)


def test_overlaps_are_torchvisions():
    boxes = torch.rand(7, 4) * 50
    boxes[:, 2:] += boxes[:, :2]
    assert np.allclose(overlaps(boxes[:4].numpy(), boxes[4:].numpy()), box_iou(boxes[:4], boxes[4:]), atol=1e-6)


@pytest.mark.parametrize("seconds", [1 / 30, 0.2])
def test_two_that_cross_keep_their_numbers(seconds):
    """In any order of the boxes; the speed is 60 pixels a second, rows are 15 pixels apart."""
    track, paths = LightTrack(0.5, method=Unsmoothed()), {}
    for step in range(int(2 / seconds)):
        left, right = 10 + 60 * step * seconds, 150 - 60 * step * seconds
        boxes = [at(left, 20), at(right, 35)]
        found = track.update(frame(*(boxes if step % 2 else boxes[::-1])), seconds)
        for number, box in zip(found["ids"], found["boxes"], strict=True):
            paths.setdefault(int(number), []).append(box[0])
    assert len(paths) == 2
    assert sorted(np.sign(np.diff(path)).sum() / (len(path) - 1) for path in paths.values()) == [-1, 1]


def test_uncertain_boxes_continue_a_track_and_begin_none():
    track = LightTrack(0.5, 0.1)
    track.update(frame(at(0, 0)), 0.1)
    assert track.update(frame(at(1, 0), at(90, 90), scores=[0.2, 0.2]), 0.1)["ids"].tolist() == [1]
    assert track.update(frame(at(2, 0), scores=[0.05]), 0.1)["ids"].tolist() == []


def test_a_track_is_found_again_within_a_second_and_not_after():
    for unseen, numbers in ((0.8, [1]), (1.3, [])):
        track = LightTrack(0.5)
        for _ in range(3):
            track.update(frame(at(0, 0)), 0.1)
        track.update(frame(), unseen)
        assert track.update(frame(at(0, 0)), 0.1)["ids"].tolist() == numbers


def test_one_object_under_two_labels_is_one_box_with_the_label_of_most_votes():
    track = LightTrack(0.5)
    for _ in range(3):
        found = track.update(frame(at(0, 0), at(1, 0), labels=[1, 2], scores=[0.9, 0.8]), 0.1)
    assert found["ids"].tolist() == [1]
    assert track.update(frame(at(0, 0), labels=[2]), 0.1)["labels"].tolist() == [1]


def test_steadied_boxes_tremble_less():
    noise = np.random.default_rng(0).normal(0, 2, (200, 4))
    shaken = {}
    for steady in (True, False):
        track = LightTrack(0.5, method=OneEuro() if steady else Unsmoothed())
        found = [track.update(frame(tuple(np.array(at(50, 50, 40)) + n)), 1 / 25)["boxes"] for n in noise]
        shaken[steady] = np.diff([boxes[0] for boxes in found if len(boxes)], axis=0).std(0).mean()
    assert shaken[True] < 0.5 * shaken[False]


def test_a_film_has_as_many_answers_as_pictures_and_they_lie_where_the_object_is():
    """Steadied by what comes later, boxes of an even motion tremble less and lag behind by nothing."""
    noise = np.random.default_rng(0).normal(0, 2, (100, 4))
    track = LaggedTrack(0.5, 0.1, KalmanSmoother())
    true = [np.array(at(10 + 2 * step, 50, 40)) for step in range(100)]
    found = [track.update(frame(tuple(box + n)), 1 / 25) for box, n in zip(true, noise, strict=True)]
    found = [one for one in found if one is not None] + track.flush()
    assert len(found) == 100
    off = np.array([one["boxes"][0] - box for one, box in zip(found[1:], true[1:], strict=True)])
    assert np.abs(off[20:].mean(0)).max() < 0.7
    assert off[20:].std(0).max() < 1
