"""The process of one film: reads it, asks the front about each picture, draws and writes what it is told.

It is started with the number of an open socket. The model is in another process, so that a film takes little memory.
"""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections import deque
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lightloom.core import watchdog
from lightloom.core.cells import Writer, open_csv
from lightloom.core.errors import UserError
from lightloom.serve.drawing import head, painted, rows
from lightloom.tracking.film import FilmReader, FilmWriter

MOST_SIDE, MOST_SECONDS = 4096, 600.0  # pixels, and the length of a film
AHEAD = 16  # pictures that have been asked about and not answered: more than a film is steadied with
LOOKED_AT = 1600  # pixels of the long side that is sent and written


class TooLarge(UserError):
    """A film that is too long or too large."""


def main(handle: int) -> None:
    """Work on the film that the front names, and say how it ended: `end` with None, or with a code."""
    for number in watchdog.ENDING:  # the front ends this one
        signal.signal(number, signal.SIG_IGN)
    front = Connection(handle)
    source, folder = map(Path, front.recv())
    try:
        front.send(("end", _work(front, source, folder)))
    except TooLarge:
        front.send(("end", "too_long"))
    except UserError:
        front.send(("end", "no_film"))


def _work(front: Connection, source: Path, folder: Path) -> str | None:
    reader = FilmReader(source)
    if max(reader.size) > MOST_SIDE or (reader.length or 0) > MOST_SECONDS:
        raise TooLarge("it is too long or too large")
    front.send(("of", min(reader.count or 0, int(MOST_SECONDS * reader.rate))))
    waiting: deque[tuple[np.ndarray, float]] = deque()
    free, fault = threading.Semaphore(AHEAD), list[BaseException]()

    def read_ahead() -> None:
        """Send the film's frames to the front, at most AHEAD more than were written, and then that it was the last."""
        try:
            before = 0.0
            for frame in reader:
                if frame.seconds > MOST_SECONDS:
                    break
                free.acquire()
                pixels = _smaller(frame.image)
                waiting.append((pixels, frame.seconds))
                front.send(("picture", _bitmap(pixels), max(frame.seconds - before, 1e-3)))
                before = frame.seconds
        except (OSError, UserError) as error:
            fault.append(error)
        front.send(("last", None))

    asking = threading.Thread(target=read_ahead, daemon=True)
    asking.start()
    count = _write(front, reader, waiting, free, folder)
    if not count:
        raise UserError("no picture of it can be read")
    return "cut" if reader.fault or fault else None


def _write(
    front: Connection,
    reader: FilmReader,
    waiting: deque[tuple[np.ndarray, float]],
    free: threading.Semaphore,
    folder: Path,
) -> int:
    """film.mp4, film.csv and film.txt, of the answers as they come. Returns how many."""
    count = 0
    with (
        FilmWriter(folder / "film.mp4", reader.rate) as film,
        open_csv(folder / "film.csv", "w") as table,
        (folder / "film.txt").open("w", encoding="utf-8") as tracks,
    ):
        writer = Writer(table, False)
        while (answer := front.recv()) is not None:
            pixels, seconds = waiting.popleft()
            free.release()
            count += 1
            film.write(painted(pixels, answer), seconds)
            if count == 1:
                writer.write(["frame", "seconds", *head(answer)])
            writer.write(*([count, f"{seconds:.3f}", *row] for row in rows(answer)))
            tracks.writelines(f"{line}\n" for line in _mot(count, answer))
    return count


def _mot(number: int, answer: dict[str, Any]) -> list[str]:
    """Lines of the MOT challenge: frame, id, left, top, width, height, score."""
    lines = []
    for box in answer.get("boxes", ()):
        left, top, right, bottom = box["box"]
        place = ",".join(f"{value:.2f}" for value in (left, top, right - left, bottom - top))
        lines.append(f"{number},{box.get('id', -1)},{place},{box['score']:.4f},-1,-1,-1")
    return lines


def _smaller(pixels: np.ndarray) -> np.ndarray:
    if max(pixels.shape[:2]) <= LOOKED_AT:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((LOOKED_AT, LOOKED_AT), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _bitmap(pixels: np.ndarray) -> bytes:
    """A form of pictures that costs next to nothing to write and to read."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "BMP")
    return file.getvalue()


if __name__ == "__main__":
    main(int(sys.argv[1]))
