"""Find masks and images that cannot be used, before the first step and not by the batch that meets one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL
from PIL import Image, ImageOps

from lightloom.core.errors import UserError
from lightloom.core.limits import MOST_PIXELS, check_pixels, limit
from lightloom.data.cache import faults_unless_known_clean, fingerprint
from lightloom.data.images.decode import plain_file
from lightloom.data.masks.split import MaskFiles, check_sizes


def unreadable(split: MaskFiles, folder: Path | None = None) -> dict[Path, str]:
    """Path -> what is wrong with it: images that cannot be opened, masks that cannot be read, have a value that is no
    class, or another size than their image.

    That nothing was found is remembered below `folder`, until a file's name, size or time changes.
    """
    looked_for = (repr(split.coding), limit(MOST_PIXELS), PIL.__version__)
    known = folder / f"{fingerprint([*split.images, *split.masks], *looked_for)}.masks" if folder else None
    return faults_unless_known_clean(known, lambda: _look(split))


def _look(split: MaskFiles) -> dict[Path, str]:
    with ThreadPoolExecutor() as pool:
        said = pool.map(lambda i: _fault(split, i), range(len(split)))
        return dict(fault for fault in said if fault)


def _fault(split: MaskFiles, index: int) -> tuple[Path, str] | None:
    path = split.images[index]
    try:
        with Image.open(plain_file(path)) as image:
            check_pixels(path, *image.size)
            size = ImageOps.exif_transpose(image).size if image.getexif().get(274, 1) > 4 else image.size
        if split.masks:
            path = split.masks[index]
            check_sizes(split.coding.read(path).shape, (size[1], size[0]), path, split.images[index])
    except UserError as error:
        return path, str(error).removeprefix(f"{path}: ")
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        return path, " ".join(str(error).split()) or type(error).__name__
    return None
