"""translations.csv, and translations.txt with a line for each of the texts."""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig

from lightloom.core import atomic_io
from lightloom.core.documents import read_text
from lightloom.core.errors import UserError
from lightloom.core.screen import say
from lightloom.core.text import line
from lightloom.predict.tables import Table
from lightloom.predict.translation.predictor import BATCH, Predictor

log = logging.getLogger("lightloom")
Named = list[tuple[str, str]]  # where a text was found, and the text
SHOWN = 12  # texts on the screen


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Translate `text=`, or each line of `input=`. See `lightloom.predict.contract`."""
    texts = [("text", str(cfg.text))] if cfg.get("text") is not None else lines(str(cfg.input), cfg.encoding)
    folder, found = Path(cfg.paths.output_dir), []
    with Table(folder / "translations.csv", ("source", "text", "translation")) as table:
        for first in range(0, len(texts), 8 * BATCH):
            some = texts[first : first + 8 * BATCH]
            new = predictor.predict([text for _, text in some], cfg.beam_width, cfg.length_penalty)
            table.add([(*one, translation) for one, translation in zip(some, new, strict=True)])
            found += new
    for (_, text), translation in list(zip(texts, found, strict=True))[:SHOWN]:
        say(f"{line(text)}\n  {line(translation)}")
    atomic_io.write_text(folder / "translations.txt", "".join(f"{line(one)}\n" for one in found))
    log.info("%d translations: %s", len(found), table.path)
    if longer := predictor.longer([text for _, text in texts]):
        log.warning("%d texts are longer than %d ids; the rest is not seen.", longer, predictor.max_length)


def lines(where: str, encoding: str) -> Named:
    """Each line of a text file, or of the .txt files of a folder; UserError where there are none."""
    path = Path(where).expanduser()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.txt") if p.is_file())
    found = [
        (f"{file.name}:{number}", " ".join(text.split()))
        for file in files
        for number, text in enumerate(read_text(file, encoding=encoding).removesuffix("\n").split("\n"), 1)
    ]
    if not any(text for _, text in found):
        raise UserError(f"input={where}: there is no text; name a file of lines, or a folder of .txt files.")
    return found
