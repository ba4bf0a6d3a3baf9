"""How much of a picture each class covers, in how many pieces, and where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lightloom.core.errors import UserError

BAND = 256  # rows of a large picture that are counted together
HEADER = ("class", "pixels", "share", "components", "left", "top", "width", "height")


def areas(mask: Tensor, classes: Sequence[str], min_area: int = 0, region: Tensor | None = None) -> list[tuple]:
    """A row of HEADER for each class that the mask (H, W) has, in pixels and as a share of the region.

    components: pieces that hang together by their sides, of `min_area` pixels or more; smaller ones count for nothing.
    region: bool (H, W), what is measured; None for all.
    """
    from scipy.ndimage import find_objects, label

    whole = mask.numel() if region is None else int(region.sum())
    rows = []
    for k in classes_of(mask):
        pieces, count = label((mask == k if region is None else (mask == k) & region).numpy())
        sizes = np.zeros(count + 1, dtype=np.int64)  # the first is that of the rest
        for top in range(0, len(pieces), BAND):
            sizes += np.bincount(pieces[top : top + BAND].ravel(), minlength=count + 1)
        large = [i for i in range(1, count + 1) if sizes[i] >= min_area]
        if not large:
            continue
        pixels = int(sizes[large].sum())
        places = find_objects(pieces)
        corners = np.array([[(side.start, side.stop) for side in places[i - 1]] for i in large])
        (top, left), (bottom, right) = corners[..., 0].min(0).tolist(), corners[..., 1].max(0).tolist()
        box = (left, top, right - left, bottom - top)
        name = classes[k] if k < len(classes) else str(k)
        rows.append((name, pixels, pixels / max(whole, 1), len(large), *box))
    return rows


def classes_of(mask: Tensor) -> list[int]:
    """Those that a mask, uint8 (H, W), has."""
    counts = torch.zeros(256, dtype=torch.int64)
    for band in mask.split(BAND):
        counts += torch.bincount(band.flatten(), minlength=256)
    return counts.nonzero().flatten().tolist()


def region_of(corners: Sequence[float] | None, height: int, width: int) -> Tensor | None:
    """The inside of a polygon, bool (height, width). corners: x and y by turns, shares of width and height."""
    if corners is None:
        return None
    if len(corners) < 6 or len(corners) % 2:
        raise UserError(f"roi has {len(corners)} numbers; expected x and y of three corners or more, by turns.")
    points = [(x * width, y * height) for x, y in zip(corners[::2], corners[1::2], strict=True)]
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon(points, fill=1)
    return torch.from_numpy(np.array(canvas))
