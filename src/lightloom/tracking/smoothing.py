"""Smooth the boxes of a track from frame to frame.

A method is stepped with each frame's box, (4,) float64 xyxy in pixels, or None where the object was not found, and says
where the box lay at an earlier step. Its `lag` is the number of later frames that it looks at: 0 is causal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from lightloom.core.ranges import Natural, NotNegative, Positive, checked

F = np.array([[1.0, 1.0], [0.0, 1.0]])  # position and velocity, a frame later
ACCELERATED = np.outer([0.5, 1.0], [0.5, 1.0])  # what an acceleration of variance 1 adds, constant within a frame
STANDSTILL = 10.0  # the deviation of a velocity that is not known yet, in the detector's noise per frame
MEMORY = 25.0  # boxes that say most of how much an object's boxes tremble
LEAST = 1e-4  # the deviation of a box that does not tremble at all, over its side


class Method(Protocol):
    """Smooths the box of one object. lag: frames that it waits for, to use them too."""

    lag: int

    def step(self, state: Any, box: np.ndarray | None, seconds: float, score: float = 1.0) -> Any:
        """The state a frame later, `seconds` after the one before; None at the first box. score: of the box, (0, 1]."""
        ...

    def smoothed(self, states: Sequence[Any]) -> np.ndarray:
        """The box at states[0], given these states, of which the others are later."""
        ...


class Unsmoothed:
    """Boxes as they were detected."""

    lag = 0

    def step(
        self, state: np.ndarray | None, box: np.ndarray | None, seconds: float, score: float = 1.0
    ) -> np.ndarray | None:
        return box

    def smoothed(self, states: Sequence[np.ndarray]) -> np.ndarray:
        return states[0]


@dataclass(frozen=True)
class Noise:
    """How much the boxes of one object tremble: variance (2,) of its centre and of its size, over its side squared.

    Third differences of boxes on end show it: those of smooth motion are next to nothing, those of white noise have 20
    times its variance. weight: of what is known, in boxes. recent: the last three boxes on end, or fewer.
    """

    variance: np.ndarray
    weight: float = 1.0
    recent: tuple[np.ndarray, ...] = ()

    def seen(self, centred: np.ndarray, score: float) -> Noise:
        """With one box more, as a mean of which the last `MEMORY` boxes make most."""
        recent = (*self.recent[-2:], centred)
        if len(self.recent) < 3:
            return replace(self, recent=recent)
        first, second, third = self.recent
        squared = ((centred - 3 * third + 3 * second - first) * score / _side(centred)) ** 2 / 20
        weight = min(self.weight + 1, MEMORY)
        variance = self.variance + (squared.reshape(2, 2).mean(1) - self.variance) / weight
        return Noise(variance, weight, recent)

    def of(self, centred: np.ndarray, score: float) -> np.ndarray:
        """The variance (4,) of a box's centre x, centre y, width and height, in pixels squared."""
        return (self.variance + LEAST**2).repeat(2) * (_side(centred) / max(score, 1e-3)) ** 2


@dataclass(frozen=True)
class Gaussian:
    """Of centre x, centre y, width and height each: mean (4, 2) and covariance (4, 2, 2) of position and velocity,
    before (`predicted`) and after the frame's box was seen; side: of the last box, in pixels.
    """

    mean: np.ndarray
    covariance: np.ndarray
    predicted_mean: np.ndarray
    predicted_covariance: np.ndarray
    noise: Noise
    side: float


class KalmanSmoother:
    """A Kalman filter of constant velocity, smoothed over a fixed lag (Rauch, Tung & Striebel 1965).

    Centre, width and height have independent velocities, which random accelerations change. The detector's noise is
    white and measured of each object (`Noise`), so that steady boxes are left as they are; uncertain ones are worse
    placed, by 1 / score. All is in proportion to the box's side, the root of its area: near objects move and tremble
    by more pixels than far ones.

    acceleration: the deviation of the centre's, per frame squared and side; more follows turns closer, less is
    steadier. size_acceleration: that of width and height. noise: the deviation of a certain box over its side, before
    it is measured. lag: in frames; a box is settled when so many later frames have been seen. 0 is the filter alone.
    """

    @checked
    def __init__(
        self,
        lag: Natural = 10,
        acceleration: Positive = 0.02,
        size_acceleration: Positive = 0.01,
        noise: Positive = 0.02,
    ) -> None:
        self.lag, self.noise = lag, noise
        variances = np.array([acceleration, acceleration, size_acceleration, size_acceleration]) ** 2
        self.process = variances[:, None, None] * ACCELERATED

    def step(
        self, state: Gaussian | None, box: np.ndarray | None, seconds: float = 0.0, score: float = 1.0
    ) -> Gaussian:
        """seconds are not looked at: the frame is the unit of time."""
        if state is None:
            assert box is not None
            return self._first(_centred(box), score)
        side = state.side if box is None else _side(_centred(box))
        mean, covariance = state.mean @ F.T, F @ state.covariance @ F.T + self.process * side**2
        if box is None:
            return Gaussian(mean, covariance, mean, covariance, replace(state.noise, recent=()), side)
        centred = _centred(box)
        noise = state.noise.seen(centred, score)
        gain = covariance[:, :, 0] / (covariance[:, 0, 0] + noise.of(centred, score))[:, None]
        return Gaussian(
            mean + gain * (centred - mean[:, 0])[:, None],
            covariance - gain[:, :, None] * covariance[:, None, 0],
            mean,
            covariance,
            noise,
            side,
        )

    def smoothed(self, states: Sequence[Gaussian]) -> np.ndarray:
        mean = states[-1].mean
        for now, later in zip(states[-2::-1], states[:0:-1], strict=True):
            gain = now.covariance @ F.T @ np.linalg.inv(later.predicted_covariance)
            mean = now.mean + (gain @ (mean - later.predicted_mean)[..., None])[..., 0]
        return _corners(mean[:, 0])

    def _first(self, centred: np.ndarray, score: float) -> Gaussian:
        noise = Noise(np.full(2, self.noise**2), recent=(centred,))
        mean = np.stack([centred, np.zeros(4)], 1)
        covariance = noise.of(centred, score)[:, None, None] * np.diag([1.0, STANDSTILL**2])
        return Gaussian(mean, covariance, mean, covariance, noise, _side(centred))


@dataclass(frozen=True)
class Lowpassed:
    """raw and value: (4,), the last box as it was found and filtered; speed: (4,) per second; gap: seconds since."""

    raw: np.ndarray
    value: np.ndarray
    speed: np.ndarray
    gap: float = 0.0


class OneEuro:
    """The one-euro filter (Casiez, Roussel & Vogel 2012): a low pass whose cutoff rises with the speed. It has no lag
    in frames, and follows a moving box at a small distance.

    min_cutoff: of a box at rest, in Hz; less is steadier. beta: Hz of cutoff for each of the box's sides per second, so
    that near and far objects are steadied alike; more follows closer. d_cutoff: of the speed, in Hz.
    """

    lag = 0

    @checked
    def __init__(self, min_cutoff: Positive = 1.0, beta: NotNegative = 12.0, d_cutoff: Positive = 0.5) -> None:
        self.min_cutoff, self.beta, self.d_cutoff = min_cutoff, beta, d_cutoff

    def step(self, state: Lowpassed | None, box: np.ndarray | None, seconds: float, score: float = 1.0) -> Lowpassed:
        if state is None:
            assert box is not None
            centred = _centred(box)
            return Lowpassed(centred, centred, np.zeros(4))
        elapsed = state.gap + seconds
        if box is None:
            return replace(state, gap=elapsed)
        centred = _centred(box)
        speed = _lowpass((centred - state.raw) / elapsed, state.speed, self.d_cutoff, elapsed)
        cutoff = self.min_cutoff + self.beta * np.abs(speed) / _side(centred)
        return Lowpassed(centred, _lowpass(centred, state.value, cutoff, elapsed), speed)

    def smoothed(self, states: Sequence[Lowpassed]) -> np.ndarray:
        return _corners(states[0].value)


def _lowpass(new: np.ndarray, old: np.ndarray, cutoff: np.ndarray | float, seconds: float) -> np.ndarray:
    """Exponential smoothing; Casiez et al., equations 2 and 7."""
    weight = 1 / (1 + 1 / (2 * np.pi * cutoff * seconds))
    return weight * new + (1 - weight) * old


def _centred(box: np.ndarray) -> np.ndarray:
    """xyxy as centre x, centre y, width, height."""
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])


def _side(centred: np.ndarray) -> float:
    """The root of a box's area, a pixel at least."""
    return float(max(centred[2] * centred[3], 1.0)) ** 0.5


def _corners(centred: np.ndarray) -> np.ndarray:
    half = np.maximum(centred[2:], 0) / 2
    return np.concatenate([centred[:2] - half, centred[:2] + half])
