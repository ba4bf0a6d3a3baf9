"""Tracks keep their numbers, a lag is what it says, and the smoother is the batch solution."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lightloom.tracking.byte_track import ByteTrack, Steady
from lightloom.tracking.smoothing import ACCELERATED, STANDSTILL, F, KalmanSmoother, OneEuro, Unsmoothed

SECONDS = 0.04


def tracked(box, number: int = 1, label: int = 1, score: float = 0.9):
    """The tracks of a frame with one object, or with none."""
    boxes = torch.tensor([] if box is None else [list(box)], dtype=torch.float32).reshape(-1, 4)
    count = len(boxes)
    return {
        "boxes": boxes,
        "labels": torch.full((count,), label),
        "scores": torch.full((count,), score),
        "ids": torch.full((count,), number),
    }


def detected(*boxes):
    """boxes: (x1, y1, x2, y2, label, score) each."""
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 6)
    return {"boxes": rows[:, :4], "labels": rows[:, 4].long(), "scores": rows[:, 5]}


def steadied(method, boxes, **facts):
    """One box or None for each frame, of one track."""
    steady = Steady(method)
    shown = [steady.update(tracked(box, **facts), SECONDS) for box in boxes]
    assert [one is None for one in shown] == [i < method.lag for i in range(len(boxes))]
    shown = [one for one in shown if one is not None] + list(steady.flush())
    return [one["boxes"][0].double().numpy() if len(one["boxes"]) else None for one in shown]


def wandering(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centre = np.cumsum(np.cumsum(rng.normal(0, 0.3, (count, 2)), 0), 0) + 200
    half = 20 + rng.normal(0, 0.5, (count, 2))
    return np.concatenate([centre - half, centre + half], 1) + rng.normal(0, 1, (count, 4))


def batch_solution(boxes: np.ndarray, at: int, method: KalmanSmoother, noises: np.ndarray) -> np.ndarray:
    """The box at `at` by weighted least squares over all accelerations at once; no filter and no recursion.

    noises: the deviation (T, 4) of each box that the method takes it to have.
    """
    centred = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
    count, kick = len(boxes), np.array([0.5, 1.0])
    assert np.array_equal(ACCELERATED, np.outer(kick, kick))
    # Unknowns: position and velocity at the first frame, then the acceleration after each frame.
    places = np.zeros((count, 1 + count))
    state = np.eye(2, 1 + count)
    for t in range(count):
        places[t] = state[0]
        state = F @ state
        if t + 1 < count:
            state[:, 2 + t] += kick
    sides = np.sqrt(centred[:, 2] * centred[:, 3])
    found = []
    for k in range(4):
        weights = 1 / noises[:count, k]
        accelerations = 1 / (np.sqrt(method.process[k, 1, 1]) * sides[1:])
        unknown = np.concatenate([[0.0], [weights[0] / STANDSTILL], accelerations])  # 1 / deviation a priori
        rows = np.concatenate([places * weights[:, None], np.diag(unknown)[1:]])
        values = np.concatenate([centred[:, k] * weights, np.zeros(count)])
        found.append(places[at] @ np.linalg.lstsq(rows, values, rcond=None)[0])
    x, y, w, h = found
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


# --- smoothing


@pytest.mark.parametrize("lag", [0, 1, 5, 30])
def test_the_smoother_is_weighted_least_squares_over_what_it_may_see(lag):
    boxes, method = wandering(20), KalmanSmoother(lag=lag, acceleration=0.01, size_acceleration=0.003)
    shown, state, noises = steadied(method, boxes, score=0.5), None, []
    for box in boxes.astype(np.float32).astype(float):
        state = method.step(state, box, score=0.5)
        noises.append(np.sqrt(state.noise.of(state.noise.recent[-1], 0.5)))
    for t in range(20):
        expected = batch_solution(boxes[: t + lag + 1], t, method, np.array(noises))
        assert shown[t] == pytest.approx(expected, abs=2e-3), t  # boxes are float32


@pytest.mark.parametrize("method", [KalmanSmoother(lag=0), KalmanSmoother(lag=3), OneEuro(), Unsmoothed()])
def test_the_lag_is_all_that_is_looked_ahead(method):
    boxes = wandering(30)
    other = np.concatenate([boxes[:15], wandering(15, seed=1)])
    one, two = steadied(method, boxes), steadied(method, other)
    same = [np.array_equal(a, b) for a, b in zip(one, two, strict=True)]
    assert same == [t + method.lag < 15 for t in range(30)]


@pytest.mark.parametrize("lag", [0, 4])
def test_steady_motion_passes_the_kalman_smoother_unchanged(lag):
    boxes = np.array([10.0, 20, 40, 50]) + np.arange(60)[:, None] * np.array([2.0, -1.5, 2.5, -1.0])
    shown = steadied(KalmanSmoother(lag=lag), boxes)
    assert np.array(shown[40:]) == pytest.approx(boxes[40:], abs=0.02)


def test_smoothing_takes_noise_out_and_more_with_a_lag():
    rng = np.random.default_rng(0)
    true = np.array([10.0, 20, 40, 50]) + np.arange(300)[:, None] * np.array([0.5, 0.2, 0.5, 0.2])
    noisy = true + rng.normal(0, 1, true.shape)
    errors = [np.square(steadied(KalmanSmoother(lag=lag), noisy) - true)[50:].mean() for lag in (0, 3, 10)]
    assert 1 > errors[0] > 1.2 * errors[1] > 1.2 * errors[2]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("size", [20.0, 300.0])
def test_the_noise_is_measured_in_proportion_to_the_box(share, size):
    rng, method, state = np.random.default_rng(0), KalmanSmoother(), None
    times, found = np.arange(400)[:, None], []
    true = np.array([10.0, 20, 10 + size, 20 + size]) + times * np.array([0.5, -0.2, 0.5, -0.2])
    for box in true + share * size * rng.normal(0, 1, true.shape):
        state = method.step(state, box)
        found.append(state.noise.variance)
    # Two corners make a centre, whose variance is half of theirs, and a side, whose variance is twice that.
    assert np.mean(found[50:], 0) == pytest.approx([share**2 / 2, 2 * share**2], rel=0.15, abs=1e-6)


def test_large_boxes_without_noise_stay_where_they_are():
    """A walker, whose width swings by a third with each step."""
    times = np.arange(200)[:, None]
    swing = 30 * np.sin(2 * np.pi * times / 12.5)
    boxes = np.concatenate([3 * times - swing, 100 + 0 * times, 100 + 3 * times + swing, 400 + 0 * times], 1)
    for lag in (0, 10):
        error = np.array(steadied(KalmanSmoother(lag=lag), boxes)) - boxes
        assert np.sqrt(np.square(error)[50:].mean()) < 0.01 * 173  # the side


def test_a_box_at_rest_passes_the_one_euro_filter_and_a_moving_one_is_followed_at_a_distance():
    rest = np.tile([10.0, 20, 40, 50], (5, 1))
    assert np.array(steadied(OneEuro(), rest)) == pytest.approx(rest)
    moving = rest[0] + 2.0 * np.arange(400)[:, None]
    shown = np.array(steadied(OneEuro(min_cutoff=1.0, beta=0.0), moving))
    # An exponential average of weight a is behind by (1 - a) / a steps; here that is 1 / (2 pi cutoff seconds).
    assert (moving - shown)[-1] == pytest.approx(2.0 / (2 * np.pi * 1.0 * SECONDS), abs=1e-3)
    closer = np.array(steadied(OneEuro(min_cutoff=1.0, beta=100.0 * 30), moving))
    assert np.abs(closer - moving)[-1].max() < 0.01


def test_a_gap_is_bridged_where_the_lag_sees_its_end():
    boxes = np.array([10.0, 20, 40, 50]) + 2.0 * np.arange(60)[:, None]
    for gap, bridged in ((3, True), (4, False)):
        seen = [None if 40 <= t < 40 + gap else box for t, box in enumerate(boxes)]
        shown = steadied(KalmanSmoother(lag=3), seen)
        assert [one is None for one in shown[39:45]] == [not bridged and 1 <= t <= gap for t in range(6)]
        if bridged:
            assert np.array(shown[38:45]) == pytest.approx(boxes[38:45], abs=0.1)
    ended = steadied(KalmanSmoother(lag=3), [*boxes[:20], *[None] * 40])
    assert [one is None for one in ended] == [t >= 20 for t in range(60)]


def test_nothing_is_kept_of_tracks_that_are_over():
    steady = Steady(KalmanSmoother(lag=3))
    most = 0
    for number in range(300):
        steady.update(tracked([0, 0, 10, 10], number=number), SECONDS)
        most = max(most, len(steady._paths))
    assert most < 40


# --- tracks


def crossing(t: int):
    """Two objects that pass each other, a box width apart."""
    return (20 + 3 * t, 20, 50 + 3 * t, 60, 1, 0.9), (200 - 3 * t, 70, 230 - 3 * t, 110, 2, 0.8)


def test_tracks_keep_their_numbers_whatever_the_order_and_class():
    generator, tracker = torch.Generator().manual_seed(0), ByteTrack(rate=25)
    numbers: dict[int, set[int]] = {0: set(), 1: set()}
    for t in range(50):
        pair = list(crossing(t))
        if t % 7 == 3:
            pair[0] = (*pair[0][:4], 3, 0.6)  # taken for another class
        found = detected(*(pair[i] for i in torch.randperm(2, generator=generator)))
        tracks = tracker.update(found)
        assert len(tracks["ids"]) == (2 if t else 0)  # a track is sure at its second box
        for box, number, label in zip(*(tracks[name].tolist() for name in ("boxes", "ids", "labels")), strict=True):
            which = int(box[1] == 70)
            assert box == pytest.approx(list(pair[which][:4]))
            assert label == which + 1  # of the last ones, most say so
            numbers[which].add(number)
    assert numbers == {0: {1}, 1: {2}} or numbers == {0: {2}, 1: {1}}


def test_an_uncertain_box_continues_a_track_and_begins_none():
    tracker = ByteTrack(rate=25, min_score=0.5, low_score=0.2)
    shown = []
    for t in range(12):
        sure, unsure = crossing(t)
        found = detected((*sure[:5], 0.9 if t < 6 else 0.3), (*unsure[:5], 0.3))
        shown.append(tracker.update(found)["ids"].tolist())
    assert shown == [[], *[[1]] * 11]


def test_a_box_reported_under_two_classes_is_one_object():
    tracker = ByteTrack(rate=25)
    for t in range(5):
        sure, _ = crossing(t)
        tracks = tracker.update(detected(sure, (*sure[:4], 7, 0.6)))
    assert tracks["ids"].tolist() == [1]
    assert tracks["labels"].tolist() == [1]


@pytest.mark.parametrize(("patience", "same"), [(1.0, True), (0.2, False)])
def test_a_lost_track_is_given_up_after_its_patience(patience, same):
    tracker = ByteTrack(rate=25, patience=patience)
    box = (20, 20, 60, 60, 1, 0.9)
    shown = [tracker.update(detected(*([] if 10 <= t < 20 else [box])))["ids"].tolist() for t in range(25)]
    assert shown[9] == [1]
    assert shown[10:20] == [[]] * 10
    assert shown[24] == [1 if same else 2]


def test_frames_without_boxes_have_empty_tracks():
    tracks = ByteTrack().update(detected())
    assert {name: tuple(values.shape) for name, values in tracks.items()} == {
        "boxes": (0, 4), "labels": (0,), "scores": (0,), "ids": (0,),
    }  # fmt: skip
