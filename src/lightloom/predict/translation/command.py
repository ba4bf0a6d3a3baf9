"""translations.csv, and translations.txt with a line for each of the texts."""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig

from lightloom.core import atomic_io
from lightloom.core.documents import check_line, read_text
from lightloom.core.errors import UserError
from lightloom.core.screen import say
from lightloom.core.text import line
from lightloom.predict.faults import Faults
from lightloom.predict.tables import Table
from lightloom.predict.translation.predictor import BATCH, Predictor

log = logging.getLogger("lightloom")
Named = list[tuple[str, str]]  # where a text was found, and the text
SHOWN = 12  # texts on the screen


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Translate `text=`, or each line of `input=`. See `lightloom.predict.contract`."""
    folder, found = Path(cfg.paths.output_dir), list[str]()
    faults, is_typed = Faults(folder), cfg.get("text") is not None
    texts = [("text", str(cfg.text))] if is_typed else lines(str(cfg.input), cfg.encoding, faults)
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
    faults.finish(len(found))


def lines(where: str, encoding: str, faults: Faults) -> Named:
    """Each line of a text file, or of the .txt files of a folder; UserError where there are none.

    What is no text in this encoding is noted: such a line has no words then, for it keeps its place.
    """
    path = Path(where).expanduser()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.txt") if p.is_file())
    found = Named()
    for file in files:
        with faults.noted(str(file)):
            text = read_text(file, encoding=encoding, escaped=True).removesuffix("\n")
            found += [(f"{file.name}:{number}", line) for number, line in enumerate(text.split("\n"), 1)]
    for i, (name, text) in enumerate(found):
        found[i] = (name, "")
        with faults.noted(name):
            found[i] = (name, " ".join(check_line(text, name, encoding).split()))
    if not any(text for _, text in found) and not faults.found:
        raise UserError(f"input={where}: there is no text; name a file of lines, or a folder of .txt files.")
    return found
