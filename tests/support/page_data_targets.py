"""Plain pictures with a table of labels or of a number each, for pages of docs/."""

from pathlib import Path

from PIL import Image


def fill(project: Path) -> None:
    """data/tagged and data/measured: 24 pictures of red and green, and a CSV."""
    reds, greens = [40 * (i % 5) for i in range(24)], [200 * (i % 2) for i in range(24)]
    tags = ["|".join(["red"] * (red > 60) + ["green"] * (green > 0)) for red, green in zip(reds, greens, strict=True)]
    for name, column in (("tagged", tags), ("measured", reds)):
        folder = project / "data" / name
        folder.mkdir(parents=True)
        for i, colour in enumerate(zip(reds, greens, strict=True)):
            Image.new("RGB", (32, 32), (*colour, 0)).save(folder / f"{i}.png")
        rows = ["file,is", *(f"{i}.png,{said}" for i, said in enumerate(column))]
        (folder / "table.csv").write_text("\n".join(rows) + "\n")
