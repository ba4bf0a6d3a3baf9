"""predictions.csv with each text's class, its probability and the words that decided."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from lightloom.config.foreign import plain
from lightloom.core.documents import check_line, read_text
from lightloom.core.errors import UserError
from lightloom.core.screen import show_table
from lightloom.core.text import line
from lightloom.data.text.readers import ENDINGS, Table, read
from lightloom.engine.evaluate import swapped_data
from lightloom.predict.faults import Faults
from lightloom.predict.tables import predictions
from lightloom.predict.text.predictor import BATCH, Predictor

log = logging.getLogger("lightloom")
WORDS, SHOWN = 3, 12  # of a text in the table, and of a single text
Named = list[tuple[str, str]]  # where a text was found, and the text


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Classify `text=`, or the texts of `input=` or `data=`. See `lightloom.predict.contract`."""
    known = plain(trained.data.get("classes"))
    faults = Faults(cfg.paths.output_dir)
    texts = texts_of(cfg, trained, faults)
    with predictions(cfg.paths.output_dir, ("source", "text", "words", "label", "probability")) as table:
        for begin in range(0, len(texts), BATCH):
            batch = texts[begin : begin + BATCH]
            only = [text for _, text in batch]
            probabilities, words = predictor.predict(only), predictor.words(only)
            best, labels = probabilities.max(1)
            called = [known[i] if known else str(i) for i in labels.tolist()]
            said = [" ".join(word for word, _ in row) for row in map(_few, words)]
            table.add([(*one, *rest) for one, *rest in zip(batch, said, called, best.tolist(), strict=True)])
        if len(texts) == 1:
            show_one(known or list(map(str, range(probabilities.shape[1]))), probabilities[0].tolist(), words[0])
            log.info("1 prediction: %s", table.path)
        elif texts:
            table.show()
    warn(predictor, [text for _, text in texts])
    faults.finish(table.count)


def _few(words: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    return [pair for pair in words if pair[1] > 0][:WORDS]


def show_one(classes: Sequence[str], probabilities: Sequence[float], words: Sequence[tuple[str, float]]) -> None:
    """Print the probability of each class, and what each word did."""
    ranked = sorted(zip(classes, probabilities, strict=True), key=lambda pair: -pair[1])
    show_table(("class", "probability"), [(line(name), f"{value:.4f}") for name, value in ranked])
    if words:
        said = [(line(word), f"{weight:+.3f}") for word, weight in words[:SHOWN]]
        show_table(("word", f"for {line(ranked[0][0])}"), said)


def warn(predictor: Predictor, texts: Sequence[str]) -> None:
    """One line each for texts of which the model knows nothing, and for those that it sees the beginning of."""
    found = [predictor.tokens.encode(text) for text in texts]
    strange = sum(not any(i >= predictor.tokens.reserved for i in ids) for ids in found)
    if strange:
        log.warning(
            "%d of %d texts have no word that training texts had; their classes say nothing.", strange, len(texts)
        )
    longer = sum(len(ids) > predictor.max_length for ids in found)
    if longer:
        log.warning(
            "%d of %d texts are longer than %d ids; the rest is not seen.", longer, len(texts), predictor.max_length
        )


def texts_of(cfg: DictConfig, trained: DictConfig, faults: Faults) -> Named:
    """What `text=`, `input=` or `data=` names; UserError where there is nothing. Inputs that are no text are noted."""
    if cfg.get("text") is not None:
        return [("text", str(cfg.text))]
    if cfg.input is None:
        split = swapped_data(cfg, trained).split("test")
        return list(zip(split.names, split.texts, strict=True))
    found = [(name, text) for name, text in _read(Path(str(cfg.input)), cfg, faults) if text]
    if not found and not faults.found:
        raise UserError(
            f"input={cfg.input}: there are no texts in it; name a file of lines, a table, or a folder of .txt."
        )
    return found


def _read(path: Path, cfg: DictConfig, faults: Faults) -> Named:
    if path.is_dir():
        return list(_of_files(path, cfg, faults))
    if not path.is_file():
        raise UserError(f'input={path}: there is no such file; to classify a text itself, say text="...".')
    if path.suffix.lower() not in ENDINGS:
        return list(_of_lines(path, cfg, faults))
    quoted = ENDINGS[path.suffix.lower()] == ","
    table = Table.read(path, cfg.encoding, quoted, [cfg.text_column], escaped=True)
    rows = table.texts([cfg.text_column], None, skip=faults.add)
    return [(name, " ".join(text.split())) for text, _, name in rows]


def _of_files(folder: Path, cfg: DictConfig, faults: Faults) -> Iterator[tuple[str, str]]:
    for file in sorted(file for file in folder.rglob("*.txt") if file.is_file()):
        with faults.noted(str(file)):
            if not (text := " ".join(read(file, cfg.encoding).split())):
                raise UserError(f"{file}: is empty")
            yield str(file), text


def _of_lines(path: Path, cfg: DictConfig, faults: Faults) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(read_text(path, encoding=cfg.encoding, escaped=True).split("\n"), 1):
        with faults.noted(name := f"{path.name}:{number}"):
            yield name, " ".join(check_line(text, name, cfg.encoding).split())
