"""Texts after a prompt, on the console as they are written and in samples/; perplexity.csv of texts in files; answers
that are chosen, or beside those of another checkpoint, in answers.csv.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightloom.core import atomic_io
from lightloom.core.documents import read_text
from lightloom.core.errors import UserError
from lightloom.core.findings import Findings
from lightloom.core.screen import say, show_table
from lightloom.core.text import first_of
from lightloom.data.tokens import UNKNOWN
from lightloom.predict.faults import Faults
from lightloom.predict.language import answering
from lightloom.predict.language.predictor import Predictor
from lightloom.predict.tables import Table

log = logging.getLogger("lightloom")
BETWEEN = "-" * 20
HEADER = ("file", "ids", "unknown", "nats per id", "bits per character", "perplexity")


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> Findings | None:
    """Continue `prompt=`, or measure the texts of `input=`. See `lightloom.predict.contract`."""
    if any(cfg.get(option) is not None for option in ("against", "best_of", "scored_by")):
        return answering.run(cfg, trained, predictor)
    if cfg.get("prompt") is not None:
        write(cfg, str(cfg.prompt), predictor)
    elif cfg.num_samples is not None:
        raise UserError(f"num_samples={cfg.num_samples} is of texts after a prompt; say prompt=, or leave it out.")
    else:
        measure(cfg, predictor)
    return None


def write(cfg: DictConfig, prompt: str, predictor: Predictor) -> None:
    """`samples/00000.txt` and so on, each with the prompt; the first is shown as it grows."""
    warn(prompt, predictor)
    how: dict[str, Any] = {"temperature": cfg.temperature, "top_k": cfg.top_k}
    grown = predictor.streamed(prompt, cfg.seed, cfg.num_samples or 1, cfg.num_tokens, **how)
    found = shown(prompt, grown, cfg.num_samples or 1)
    folder = Path(cfg.paths.output_dir, "samples")
    for i, text in enumerate(found):
        atomic_io.write_text(folder / f"{i:05d}.txt", f"{text}\n")
    log.info("%d texts: %s", len(found), folder)


def shown(prompt: str, grown: Iterable[list[str]], number: int) -> list[str]:
    """All texts, whole: the first is printed as it grows, the others below it."""
    say(prompt, end="")
    found = [prompt] * number
    for new in grown:
        say(new[0], end="")
        found = [text + piece for text, piece in zip(found, new, strict=True)]
    say("")
    for text in found[1:]:
        say(f"{BETWEEN}\n{text}")
    return found


def warn(text: str, predictor: Predictor) -> None:
    """One line about parts of a prompt that the vocabulary has not."""
    tokens = predictor.tokens
    pairs = zip(tokens.split(text), tokens.encode(text), strict=True)
    if strange := list(dict.fromkeys(part for part, i in pairs if i == UNKNOWN)):
        log.warning("The prompt has what training texts had not: %s.", first_of([repr(one) for one in strange], 5))


def measure(cfg: DictConfig, predictor: Predictor) -> None:
    """perplexity.csv: a row for each file."""
    rows, faults = [], Faults(cfg.paths.output_dir)
    with Table(Path(cfg.paths.output_dir, "perplexity.csv"), HEADER) as table:
        for path in files(str(cfg.input)):
            with faults.noted(str(path)):
                row = row_of(path, predictor)
                table.add([row])
                rows.append([row[0], *(f"{v:.4f}" if isinstance(v, float) else f"{v:,}" for v in row[1:])])
    show_table(HEADER, rows)
    log.info("%d texts: %s", table.count, table.path)
    faults.finish(table.count)


def row_of(path: Path, predictor: Predictor) -> tuple[str, int, int, float, float, float]:
    """What HEADER says of a file; UserError where it has too little text."""
    text = read_text(path)
    count, nats, characters = predictor.measured(text)
    if count < 1:
        raise UserError(f"input={path}: has {count + 1} ids; expected two or more, a longer text.")
    unknown = predictor.tokens.encode(text).count(UNKNOWN)
    bits = nats * count / math.log(2) / characters if characters else math.nan
    return path.name, count, unknown, nats, bits, math.exp(min(nats, 700))


def files(where: str) -> list[Path]:
    """A file, or the .txt files of a folder; UserError where there are none."""
    path = Path(where).expanduser()
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*.txt") if p.is_file())
    if not found:
        raise UserError(f"input={where}: no text file there; name one, or a folder of .txt files.")
    return found
