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
class Gaussian:
    """Of centre x, centre y, width and height each: mean (4, 2) and covariance (4, 2, 2) of position and velocity,
    before (`predicted`) and after the frame's box was seen.
    """

    mean: np.ndarray
    covariance: np.ndarray
    predicted_mean: np.ndarray
    predicted_covariance: np.ndarray


class KalmanSmoother:
    """A Kalman filter of constant velocity, smoothed over a fixed lag (Rauch, Tung & Striebel 1965).

    Centre, width and height have independent velocities, which random accelerations change; the detector's noise is
    white, its deviation 1 / score, as uncertain boxes are worse placed. tracking_index: the deviation of a centre's
    acceleration, per frame squared, over the noise of a certain box (Kalata 1984): more follows turns closer, less is
    steadier. size_index: that of width and height. lag: in frames; a box is settled when so many later frames have been
    seen. 0 is the filter alone.
    """

    @checked
    def __init__(self, lag: Natural = 10, tracking_index: Positive = 0.4, size_index: Positive = 0.01) -> None:
        self.lag = lag
        variances = np.array([tracking_index, tracking_index, size_index, size_index]) ** 2
        self.process = variances[:, None, None] * ACCELERATED

    def step(
        self, state: Gaussian | None, box: np.ndarray | None, seconds: float = 0.0, score: float = 1.0
    ) -> Gaussian:
        """seconds are not looked at: the frame is the unit of time."""
        noise = 1 / max(score, 1e-3) ** 2
        if state is None:
            assert box is not None
            mean = np.stack([_centred(box), np.zeros(4)], 1)
            covariance = np.broadcast_to(np.diag([noise, STANDSTILL**2]), (4, 2, 2))
            return Gaussian(mean, covariance, mean, covariance)
        mean, covariance = state.mean @ F.T, F @ state.covariance @ F.T + self.process
        if box is None:
            return Gaussian(mean, covariance, mean, covariance)
        gain = covariance[:, :, 0] / (covariance[:, 0, 0] + noise)[:, None]
        return Gaussian(
            mean + gain * (_centred(box) - mean[:, 0])[:, None],
            covariance - gain[:, :, None] * covariance[:, None, 0],
            mean,
            covariance,
        )

    def smoothed(self, states: Sequence[Gaussian]) -> np.ndarray:
        mean = states[-1].mean
        for now, later in zip(states[-2::-1], states[:0:-1], strict=True):
            gain = now.covariance @ F.T @ np.linalg.inv(later.predicted_covariance)
            mean = now.mean + (gain @ (mean - later.predicted_mean)[..., None])[..., 0]
        return _corners(mean[:, 0])


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

    min_cutoff: of a box at rest, in Hz; less is steadier. beta: Hz of cutoff for each pixel per second; more follows
    closer. d_cutoff: of the speed, in Hz.
    """

    lag = 0

    @checked
    def __init__(self, min_cutoff: Positive = 1.0, beta: NotNegative = 0.2, d_cutoff: Positive = 1.0) -> None:
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
        cutoff = self.min_cutoff + self.beta * np.abs(speed)
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


def _corners(centred: np.ndarray) -> np.ndarray:
    half = np.maximum(centred[2:], 0) / 2
    return np.concatenate([centred[:2] - half, centred[:2] + half])
