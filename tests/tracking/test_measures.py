"""MOTA and identity switches counted by hand, and how much boxes tremble in closed form."""

import math

import pytest
import torch

from lightloom.tracking.measures import Tremor, clear_mot, jitter

HERE, THERE = [0.0, 0.0, 10.0, 20.0], [50.0, 0.0, 60.0, 20.0]


def frame(**boxes):
    """`t1=box`: track 1."""
    return {
        "ids": torch.tensor([int(name[1:]) for name in boxes], dtype=torch.int64),
        "boxes": torch.tensor(list(boxes.values()), dtype=torch.float32).reshape(-1, 4),
    }


TRUTH = [frame(t1=HERE, t2=THERE)] * 4


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [
        (TRUTH, (1.0, 0, 0, 0)),
        ([frame(t8=HERE, t9=THERE)] * 4, (1.0, 0, 0, 0)),  # names do not matter
        ([frame()] * 4, (0.0, 0, 8, 0)),
        ([frame(t1=HERE)] * 4, (0.5, 0, 4, 0)),
        ([frame(t1=HERE, t2=THERE, t3=[90, 90, 99, 99])] * 4, (0.5, 0, 0, 4)),
        ([frame(t1=HERE, t2=THERE)] * 2 + [frame(t2=HERE, t1=THERE)] * 2, (0.75, 2, 0, 0)),
        ([frame(t1=HERE, t2=THERE)] * 3 + [frame(t1=HERE, t7=THERE)], (0.875, 1, 0, 0)),
        # Lost and found: as many misses as frames, and a switch only under another name.
        ([TRUTH[0], frame(t1=HERE), frame(t1=HERE), frame(t1=HERE, t5=THERE)], (0.625, 1, 2, 0)),
        # An overlap of 4/10 is a miss and a false box.
        ([frame(t1=HERE, t2=[50, 0, 60, 8])] * 4, (0.0, 0, 4, 4)),
        ([frame(t1=HERE, t2=[50, 0, 60, 10])] * 4, (1.0, 0, 0, 0)),  # 1/2 is enough
    ],
)
def test_mota_as_counted_by_hand(tracks, expected):
    found = clear_mot(TRUTH, tracks)
    counts = tuple(found[name] for name in ("id_switches", "misses", "false_boxes"))
    assert (found["mota"], *counts) == pytest.approx(expected)


def moving(noise: torch.Tensor, steps: int = 3000):
    boxes = torch.tensor(HERE) * 4 + torch.arange(steps)[:, None] * torch.tensor([0.5, -0.25, 0.5, -0.25])
    return [frame(t1=box.tolist()) for box in boxes], [frame(t3=box.tolist()) for box in boxes + noise]


def test_a_constant_error_does_not_tremble():
    truth, found = moving(torch.tensor([1.0, -2.0, 3.0, 0.5]).expand(3000, 4))
    assert jitter(truth, found) == pytest.approx(0, abs=1e-4)


def test_independent_noise_trembles_by_the_root_of_two_and_six():
    torch.manual_seed(0)
    truth, found = moving(0.7 * torch.randn(3000, 4))
    assert jitter(truth, found) == pytest.approx(0.7 * math.sqrt(2), rel=0.06)
    tremor = Tremor()
    for tracks in found:
        tremor.update(tracks)
    assert tremor.value == pytest.approx(0.7 * math.sqrt(6), rel=0.06)


def test_steps_across_a_gap_or_to_another_track_are_no_jitter():
    truth = [frame(t1=HERE)] * 4
    shifted = [2.0, 0.0, 12.0, 20.0]
    assert math.isnan(jitter(truth, [frame(t1=HERE), frame(), frame(t1=shifted), frame()]))
    assert math.isnan(jitter(truth[:2], [frame(t1=HERE), frame(t2=shifted)]))
    assert jitter(truth[:2], [frame(t1=HERE), frame(t1=shifted)]) == pytest.approx(1.0)  # of 2, 0, 2, 0


def test_steady_motion_has_no_tremor_and_a_gap_hides_none():
    tremor, gone = Tremor(), Tremor()
    assert math.isnan(tremor.value)
    for t in range(9):
        box = frame(t1=[t, 2.0 * t, t + 9.0, 2.0 * t + 9])
        tremor.update(box)
        gone.update(box if t % 3 else frame())
    assert tremor.value == pytest.approx(0, abs=1e-9)
    assert math.isnan(gone.value)
