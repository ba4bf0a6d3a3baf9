"""Pictures of rivers with their masks, and a film of one that rises, for pages of docs/."""

from pathlib import Path

from PIL import Image

from lightloom.data.masks.river_scenes import RiverScenes, film
from lightloom.ops.images.grid import to_pil
from lightloom.tracking.video import VideoWriter


def fill(project: Path) -> None:
    """data/river with 30 pictures, images/ and masks/, and rising.mp4."""
    scenes = RiverScenes(48, 64, 30).read("train")
    assert scenes is not None
    for kind in ("images", "masks"):
        (project / "data/river" / kind).mkdir(parents=True)
    for i in range(len(scenes)):
        image, mask = scenes[i]
        to_pil(image).save(project / f"data/river/images/{i}.jpg")
        Image.fromarray(mask.numpy()).save(project / f"data/river/masks/{i}.png")
    (project / "data/river/classes.txt").write_text("sky\nbank\nriver\n")
    with VideoWriter(project / "rising.mp4", 10) as writer:
        for i, (image, _) in enumerate(film(0, 6, 48, 64)):
            writer.write(image, i / 10)
