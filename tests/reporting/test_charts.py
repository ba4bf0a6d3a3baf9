"""Lines are drawn where their values are."""

import math

import pytest

from lightloom.reporting.charts import BOTTOM, HEIGHT, LEFT, MOST_POINTS, RIGHT, TOP, WIDTH, Line, chart, nice, thinned


def places(drawn: dict) -> list[tuple[float, float]]:
    return [tuple(map(float, point.split(","))) for point in drawn["points"].split()]


def test_places_are_linear_in_the_values_and_fill_the_axes():
    drawn = chart("loss", [Line("train", [0, 5, 10], [1.0, 3.0, 2.0], 0)], "step")
    (x0, y0), (x1, y1), (x2, y2) = places(drawn.lines[0])
    assert (x0, x2) == (LEFT, WIDTH - RIGHT)
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert HEIGHT - BOTTOM > y0 > y2 > y1 > TOP  # a higher value is further up
    assert (y0 - y2) == pytest.approx(y2 - y1, abs=0.2)
    for place, text in drawn.y_ticks:
        assert place == pytest.approx(y0 + (float(text) - 1) * (y1 - y0) / 2, abs=0.2)


def test_a_wide_positive_range_is_logarithmic():
    drawn = chart("loss", [Line("a", [0, 1, 2], [0.01, 1.0, 100.0], 0)], "step")
    ys = [y for _, y in places(drawn.lines[0])]
    assert drawn.log
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.2)
    assert [text for _, text in drawn.y_ticks] == ["0.01", "0.1", "1", "10", "100"]
    assert not chart("x", [Line("a", [0, 1], [-0.01, 100.0], 0)], "step").log


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0], [0.0, 0.0], [-1e-30, 1e-30], [1e12, 1e12 + 1]])
def test_any_values_have_places_inside(values):
    drawn = chart("x", [Line("a", list(range(len(values))), values, 0)], "step")
    for x, y in places(drawn.lines[0]):
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM


def test_a_thinned_line_keeps_each_peak():
    y = [math.sin(i / 50) for i in range(10_000)]
    y[4321], y[7654] = 9.0, -9.0
    line = thinned(Line("a", list(range(10_000)), y, 3, True))
    assert len(line.x) <= MOST_POINTS
    assert (max(line.y), min(line.y)) == (9.0, -9.0)
    assert list(line.x) == sorted(line.x)
    assert all(y[x] == value for x, value in zip(line.x, line.y, strict=True))
    assert (line.colour, line.dashed) == (3, True)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.2, 0.25), (-3, 17), (0, 1e-6), (999, 123_456)])
def test_ticks_are_round_inside_and_neither_few_nor_many(low, high):
    ticks = nice(low, high, 5)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 * abs(low) <= tick <= high * (1 + 1e-9) for tick in ticks)
    step = ticks[1] - ticks[0]
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-6
