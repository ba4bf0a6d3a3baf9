"""Pictures that are as smooth as photographs."""

import numpy as np
from PIL import Image


def photograph(seed: int, side: int = 48) -> Image.Image:
    """Noise of 6 x 6 pixels, enlarged to a square."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
