"""Captchas as files, for pages of docs/ and for tests."""

from pathlib import Path

from lightloom.data.text_images.captchas import Captchas
from lightloom.ops.images.grid import to_pil


def fill(project: Path) -> None:
    """data/captchas with train and test, of 3 to 4 digits at 50 x 20 pixels, the text in the file's name."""
    reader = Captchas("0123456789", 3, 4, 20, 50, 80, 0, 16)
    for name in ("train", "test"):
        split = reader.read(name)
        folder = project / f"data/captchas/{name}"
        folder.mkdir(parents=True)
        for i in range(len(split)):
            to_pil(split[i]).save(folder / f"{split.texts[i]}_{i}.png")
