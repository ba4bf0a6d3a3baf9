"""Instance maps: an image whose pixels number the objects, 0 for the background; boxes are the objects' extents."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.limits import check_pixels
from lightloom.core.parts import part
from lightloom.data.boxes.annotations import AnnotatedImages, Annotation, annotation, elsewhere
from lightloom.data.images.decode import plain_file
from lightloom.data.images.readers import SplitName, image_files
from lightloom.data.listing import Listing

CHOICE, LAYOUT = "instance_maps", "instance maps"


def annotation_files(listing: Listing) -> list[Path]:
    """The maps in labels/, where images/ beside it has an image for each."""
    maps = [path for path in listing.images if path.parent.name == "labels" and path.suffix.lower() in (".png", ".tif")]
    stems = {path.stem for path in listing.images if path.parent.name == "images"}
    return maps if maps and {path.stem for path in maps} <= stems else []


@part
class InstanceMaps:
    """`root`/<images>/x.png with `root`/<maps>/x<suffix>.png, of 8 or 16 bits; or so below train, val and test.

    All objects are of one class, `class_name`.
    """

    has_masks = True

    def __init__(
        self,
        root: str | Path,
        channels: int = 3,
        images: str = "images",
        maps: str = "labels",
        suffix: str = "",
        class_name: str = "object",
    ) -> None:
        self.root, self.channels = Path(root), channels
        self.images, self.maps, self.suffix = images, maps, suffix
        self.classes = [class_name]

    def read(self, split: SplitName) -> AnnotatedImages | None:
        """The images of a part, with a box and a mask for each value of their maps; None where there is no such part.

        Raises UserError where there are no training images, or only some of the images have a map.
        """
        places = [self.root / split, *([self.root] if split == "train" else [])]
        place = next((place for place in places if (place / self.images).is_dir()), None)
        if place is None:
            if split == "train":
                raise UserError(f"data set {self.root.name}: no {self.root / self.images}; {elsewhere(self.root)}")
            return None
        maps = {path.stem: path for path in image_files(place / self.maps)} if (place / self.maps).is_dir() else {}
        paths = image_files(place / self.images)
        lacking = [path.name for path in paths if path.stem + self.suffix not in maps]
        if lacking and maps:
            raise UserError(
                f"{place / self.maps}: {len(lacking)} of {len(paths)} images have no map, as {lacking[0]}; add a black "
                f"one where there is nothing"
            )
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda path: _annotation(path, maps.get(path.stem + self.suffix)), paths))
        return AnnotatedImages(found, self.channels, has_masks=True, labelled=bool(maps))


def _annotation(image: Path, path: Path | None) -> Annotation:
    if path is None:
        return annotation(image.name, image, [], [])
    numbers = read_map(path)
    ids, boxes = extents(numbers)
    masks = NumberedMasks(path, tuple(ids))
    return annotation(image.name, image, boxes, [1] * len(ids), size=numbers.shape[:2], masks=masks)


@dataclass(frozen=True)
class NumberedMasks:
    """The masks of these objects in a map."""

    path: Path
    ids: tuple[int, ...]

    def read(self, size: tuple[int, int]) -> Tensor:
        """uint8 (N, H, W)."""
        numbers = torch.from_numpy(read_map(self.path))
        return (numbers == torch.tensor(self.ids, dtype=torch.int64).view(-1, 1, 1)).to(torch.uint8)

    def pick(self, kept: Tensor) -> NumberedMasks:
        return NumberedMasks(self.path, tuple(self.ids[i] for i in kept.tolist()))


def read_map(path: Path) -> np.ndarray:
    """An instance map as int64 (H, W)."""
    try:
        with Image.open(plain_file(path)) as image:
            check_pixels(path, *image.size)
            numbers = np.array(image)
    except UserError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        raise UserError(f"{path}: cannot be read as an instance map ({error}); replace the file") from error
    if numbers.ndim != 2:
        raise UserError(f"{path}: has {numbers.shape[2]} channels; an instance map has one, with 8 or 16 bits")
    return numbers.astype(np.int64)


def extents(numbers: np.ndarray) -> tuple[list[int], list[list[int]]]:
    """The objects' numbers and boxes, xyxy; numbers: (H, W), 0 for the background."""
    from scipy.ndimage import find_objects

    ids, dense = np.unique(numbers, return_inverse=True)
    background = int(len(ids) > 0 and ids[0] == 0)
    found = find_objects(dense.reshape(numbers.shape) + 1 - background)
    return ids[background:].tolist(), [[x.start, y.start, x.stop, y.stop] for y, x in found]
