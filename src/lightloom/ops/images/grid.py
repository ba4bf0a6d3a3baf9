"""Arrange images on a page: grids, captions, PNG and GIF files.

A page is uint8 (C, H, W), grey (1 channel) or colour (3).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn.functional import pad

JPEG_QUALITY = 90
MARGIN, PAPER = 2, 255  # pixels around each image; white
FONT_SIZE = 11


def to_uint8(images: Tensor) -> Tensor:
    """Round floats in [0, 1], any shape (...), to 256 levels on the CPU; others are clipped, NaN becomes black."""
    images = images.detach().cpu()
    return images if images.dtype == torch.uint8 else images.float().nan_to_num(0).clamp(0, 1).mul(255).round().byte()


def visible(images: Tensor) -> Tensor:
    """Images (N, C, H, W), or (N, H, W), as grey or colour: of two channels the first, of many the first three."""
    images = images.unsqueeze(1) if images.ndim == 3 else images
    return images[:, :3] if images.shape[1] >= 3 else images[:, :1]


def grid(images: Tensor, columns: int) -> Tensor:
    """Arrange images (N, C, H, W), in [0, 1] or uint8, row by row with a thin margin; a page, uint8 (C, H, W)."""
    images = visible(to_uint8(images))
    count, channels, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    cells = torch.full((rows * columns, channels, height + MARGIN, width + MARGIN), PAPER, dtype=torch.uint8)
    cells[:count, :, MARGIN:, MARGIN:] = images
    page = cells.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    return pad(page, (0, MARGIN, 0, MARGIN), value=PAPER)


def of_one_size(images: Sequence[Tensor]) -> Tensor:
    """Images uint8 (C, H, W) of several sizes as (N, C, H, W), with paper at the right and below."""
    height, width = (max(image.shape[i] for image in images) for i in (1, 2))
    return torch.stack([pad(x, (0, width - x.shape[2], 0, height - x.shape[1]), value=PAPER) for x in images])


def tiles(page: Tensor, height: int, width: int) -> Tensor:
    """Cut a `grid` into its images, uint8 (N, C, height, width), blank cells of the last row included."""
    cells = page[:, :-MARGIN, :-MARGIN].unfold(1, height + MARGIN, height + MARGIN)
    cells = cells.unfold(2, width + MARGIN, width + MARGIN)[..., MARGIN:, MARGIN:]
    return cells.permute(1, 2, 0, 3, 4).flatten(0, 1)


def pairs(above: Tensor, below: Tensor, columns: int) -> Tensor:
    """Arrange two sets of images, (N, C, H, W) each, with each row of `below` under its row of `above`."""
    both = torch.stack([visible(to_uint8(above)), visible(to_uint8(below))])
    columns = min(columns, both.shape[1])
    both = pad(both, (0, 0, 0, 0, 0, 0, 0, -both.shape[1] % columns), value=PAPER)
    return grid(both.unflatten(1, (-1, columns)).transpose(0, 1).flatten(0, 2), columns)


def captioned(page: Tensor, top: Sequence[str] = (), left: Sequence[str] = ()) -> Tensor:
    """Write captions above the columns and before the rows of a grid. page: uint8 (C, H, W); returns a larger one."""
    font = ImageFont.load_default(FONT_SIZE)
    x = max((int(font.getlength(text)) + 3 * MARGIN for text in left), default=0)
    y = FONT_SIZE + 2 * MARGIN if top else 0
    drawn = to_pil(pad(page, (x, 0, y, 0), value=PAPER))
    draw = ImageDraw.Draw(drawn)
    ink = 0 if drawn.mode == "L" else (0, 0, 0)
    for i, text in enumerate(top):
        draw.text((x + page.shape[2] * (i + 0.5) / len(top), y / 2), text, ink, font, anchor="mm")
    for i, text in enumerate(left):
        draw.text((x - MARGIN, y + page.shape[1] * (i + 0.5) / len(left)), text, ink, font, anchor="rm")
    return from_pil(drawn)


# --- files


def to_pil(page: Tensor) -> Image.Image:
    """Convert uint8 (1, H, W) or (3, H, W) to PIL's grey or RGB image."""
    return Image.fromarray(
        page.permute(1, 2, 0).squeeze(2).numpy() if len(page) == 1 else page.permute(1, 2, 0).numpy()
    )


def from_pil(image: Image.Image) -> Tensor:
    """Convert PIL's grey or RGB image to uint8 (1, H, W) or (3, H, W)."""
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.view(image.height, image.width, -1).permute(2, 0, 1).contiguous()


def write_png(path: Path, page: Tensor, **facts: int) -> None:
    """Write a page, uint8 (C, H, W), atomically, with facts about it that `read_png` gives back."""
    info = PngInfo()
    for name, value in facts.items():
        info.add_text(name, str(value))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".saving-{path.name}")
    to_pil(page).save(temporary, format="png", pnginfo=info)
    temporary.replace(path)


def write_jpeg(path: Path, page: Tensor) -> None:
    """Write a page, uint8 (1, H, W) or (3, H, W), a fiftieth of the work that a PNG of a photograph is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    to_pil(page).save(path, quality=JPEG_QUALITY)


def as_jpeg(page: Tensor, quality: int) -> Tensor:
    """A page, uint8 (1, H, W) or (3, H, W), as it is after a JPEG of this quality."""
    file = io.BytesIO()
    to_pil(page).save(file, "JPEG", quality=quality)
    with Image.open(file) as again:
        return from_pil(again)


def read_png(path: Path) -> tuple[Tensor, dict[str, int]]:
    """Read a page, uint8 (C, H, W), and its facts, as `write_png` got them."""
    with Image.open(path) as image:
        facts = {str(name): int(value) for name, value in image.info.items() if str(value).isdecimal()}
        return from_pil(image), facts


def write_gif(path: Path, pages: Sequence[Tensor], seconds: float) -> None:
    """Write pages, uint8 (C, H, W) of one size, as a looping GIF of about `seconds`; the last page stays on."""
    first, *others = [to_pil(page) for page in pages]
    milliseconds = round(1000 * seconds / len(pages))
    durations = [milliseconds] * len(others) + [1500]
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0)


# --- paths between latents
