"""Segments of a picture whose pixels are alike, as a graph's edges are cut.

Felzenszwalb & Huttenlocher 2004, Efficient Graph-Based Image Segmentation, IJCV 59(2), section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter

SMOOTHING = 0.8  # of a Gaussian in pixels, before edges are weighed: theirs
PARTS = 48  # of the edges; before each those inside of one segment are left out at once
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # to the neighbours of a pixel, rows and columns; the others are theirs


def segments(planes: np.ndarray, scales: Sequence[float], min_size: int) -> Iterator[np.ndarray]:
    """For each scale k the number of each pixel's segment from 0, int64 (H, W).

    planes: float (C, H, W), of any range. k: the threshold of a segment of one pixel, larger for larger segments.
    min_size: pixels; smaller ones are joined to a neighbour.
    """
    shape = planes.shape[1:]
    edges = weighed(np.stack([gaussian_filter(plane, SMOOTHING) for plane in planes]))
    for scale in scales:
        yield np.unique(_joined(*edges, scale, min_size), return_inverse=True)[1].reshape(shape)


def weighed(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The edges of the grid of 8 neighbours, lightest first: two pixels, int64 (E,) each, and their distance (E,)."""
    height, width = planes.shape[1:]
    pixels = np.arange(height * width).reshape(height, width)
    found = []
    for down, right in STEPS:
        to = slice(down, None), slice(max(right, 0), width + min(right, 0))
        of = slice(0, height - down), slice(max(-right, 0), width - max(right, 0))
        weights = np.sqrt(((planes[:, *of] - planes[:, *to]) ** 2).sum(0))
        found.append((pixels[of].ravel(), pixels[to].ravel(), weights.ravel()))
    first, second, weights = (np.concatenate(values) for values in zip(*found, strict=True))
    order = np.argsort(weights, kind="stable")
    return first[order], second[order], weights[order]


def _joined(first: np.ndarray, second: np.ndarray, weights: np.ndarray, scale: float, min_size: int) -> np.ndarray:
    """A pixel of each pixel's segment, int64 (H * W,). All edges count: those of a minimum spanning tree do not do."""
    count = int(max(first.max(initial=0), second.max(initial=0))) + 1
    roots, parent = np.arange(count), list(range(count))
    size, limit = [1] * count, [scale] * count  # limit: a segment's heaviest edge, and k over its pixels

    def join(part: slice, smallest: int) -> np.ndarray:
        a, b = roots[first[part]], roots[second[part]]
        apart = np.flatnonzero(a != b)
        lost, into = [], []
        for x, y, weight in zip(a[apart].tolist(), b[apart].tolist(), weights[part][apart].tolist(), strict=True):
            while parent[x] != x:
                x = parent[x]
            while parent[y] != y:
                y = parent[y]
            if x == y:
                continue
            if size[x] < size[y]:
                x, y = y, x
            if size[y] < smallest if smallest else (weight <= limit[x] and weight <= limit[y]):
                parent[y] = x
                size[x] += size[y]
                limit[x] = weight + scale / size[x]
                lost.append(y)
                into.append(x)
        further = np.arange(count)
        further[lost] = into
        return _ends(further)[roots]

    bounds = np.linspace(0, len(weights), PARTS + 1).astype(int).tolist()
    for low, high in pairwise(bounds):
        roots = join(slice(low, high), 0)
    return join(slice(None), max(min_size, 1))


def _ends(parent: np.ndarray) -> np.ndarray:
    """Where the way from each node to its parent, and its parent's, ends; int64 (N,)."""
    while not np.array_equal(parent, further := parent[parent]):
        parent = further
    return parent
