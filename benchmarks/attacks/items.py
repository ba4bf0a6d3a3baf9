"""One bad item among good ones, for whatever predict.py reads: the others' results are written all the same.

Each capability that takes `input=` is given good items, then the same beside a bad one. What is written of the good
ones must be there in both, and the bad one is predicted too, or named in the message and in unreadable.csv. A quote
that is not closed is no case: what follows it in a table belongs to it.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import random
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from attacks.annotations import LARGE, _sides, damaged, damaged_binary
from attacks.folders import SENTENCE, png
from attacks.targets import CHECKPOINTS, whole
from attacks.tasks import MODELS, command, content
from attacks.watch import Baits, Case

from lightloom.core import cells
from lightloom.core.errors import UserError
from lightloom.engine import evaluate
from lightloom.predict import choose
from lightloom.predict.contract import Request

QUICK = 0  # tests/predict/test_bad_items.py
GOOD = 3
NOT_TEXT = (b"\xff\xfe\x00", b"a\0b", b"\x80 film", b"", b"\n \n", b"a", "\ufeff".encode(), b"\xed\xa0\x80", b"\xc3")
LONG = "so it goes " * 500


# --- what is predicted


def picture(number: int, rng: random.Random | None) -> bytes:
    """A good one, or, with `rng`, one that is damaged, empty, of no sides, or of more pixels than may be read."""
    good = png(number, (16, 24))
    if rng is None:
        return good
    return rng.choice((damaged_binary(good, rng), b"", b"\0" * 64, _sides(good, *rng.choice(LARGE)), b"no picture"))


def text(number: int, rng: random.Random | None) -> bytes:
    """A good one, or, with `rng`, one in no encoding, without words, or with too few."""
    good = f"{SENTENCE[number]}, {SENTENCE[number - 1]}\n".encode()
    return good if rng is None else rng.choice((*NOT_TEXT, damaged(good, rng)))


def prompt(number: int, rng: random.Random | None) -> bytes:
    """A line that is a prompt, or one that is longer than what the model sees."""
    return SENTENCE[number].encode() if rng is None else rng.choice((LONG.encode(), b" ", b"\xff"))


def pair(number: int, rng: random.Random | None) -> bytes:
    """A line with two answers, or one that has not both, is no JSON, or is too long."""
    entry: dict[str, Any] = {"prompt": f"say {number}: ", "chosen": SENTENCE[number], "rejected": f"no {number}"}
    if rng is None:
        return json.dumps(entry).encode()
    key = rng.choice(list(entry))
    wrong = [{**entry, key: value} for value in (None, 3, "", LONG, [])] + [{key: "x"}, [], 3]
    return rng.choice([*(json.dumps(one).encode() for one in wrong), b"{", b"\xff", b'{"prompt": "x"', b"null"])


def row(number: int, rng: random.Random | None) -> bytes:
    """A text in a table, or a row of other cells."""
    if rng is None:
        return f'"{SENTENCE[number]}",{number}'.encode()
    return rng.choice((b"a", b"a,b,c", b",1", b"\xff,1", b"\0,1", b"," * 9))


def folder(ending: str) -> Callable[[Path, list[bytes]], Path]:
    """Items as files of a folder."""

    def write(root: Path, items: list[bytes]) -> Path:
        for i, item in enumerate(items):
            (root / f"{i}{ending}").write_bytes(item)
        return root

    return write


def file(name: str, head: bytes = b"") -> Callable[[Path, list[bytes]], Path]:
    """Items as lines of one file."""

    def write(root: Path, items: list[bytes]) -> Path:
        (root / name).write_bytes(head + b"".join(item + b"\n" for item in items))
        return root / name

    return write


Way = tuple[Callable[[int, Any], bytes], Callable[[Path, list[bytes]], Path], dict[str, Any]]
IMAGES: Way = (picture, folder(".png"), {})
TEXTS: Way = (text, folder(".txt"), {})
WAYS: dict[str, list[Way]] = {
    **{name: [IMAGES] for name in ("boxes", "classes", "masks", "reconstructions", "targets", "text_images")},
    "text": [TEXTS, (row, file("a.csv", b"text,n\n"), {}), (prompt, file("a.txt"), {})],
    "translation": [TEXTS, (prompt, file("a.txt"), {})],
    "language": [TEXTS, (prompt, file("a.txt"), {"scored_by": "length", "best_of": 2})],
    "rewards": [(pair, file("a.jsonl"), {})],
}


# --- by what


@cache
def models() -> dict[str, tuple[Any, Any, choose.Capability]]:
    """Capability that takes `input=` -> a model that it accepts, with what it was trained with."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a.ckpt")
        for make in (*(partial(whole, old) for old in CHECKPOINTS), *(partial(content, task) for task in MODELS)):
            torch.save(make(), path)
            trained, module = evaluate.restore(command("predict", path, path.parent))
            for one in choose.capabilities():
                takes = "input" in one.predictor.ways and one.predictor.accepts(module, Request({}, trained.data))
                if takes and one.name not in found:
                    found[one.name] = (trained, module.eval(), one, make())
    return found


def written(root: Path) -> set[tuple[str, ...]]:
    """The rows of all tables below a folder, and the images that other files name."""
    found: set[tuple[str, ...]] = set()
    for path in root.rglob("*.csv"):
        if path.name != "unreadable.csv":
            with cells.open_csv(path) as table:
                found |= {(path.name, *row) for row in cells.rows(table)}
    for path in root.rglob("*.json"):
        known = json.loads(path.read_text())
        found |= {(path.name, one["file_name"]) for one in known.get("images", [])}
    return found


def predict(name: str, where: Path, output: Path, **options: Any) -> str:
    """Nothing, or why it ended with exit code 2."""
    trained, module, one, kept = models()[name]
    output.mkdir()
    torch.save(kept, output / "a.ckpt")
    cfg = command("predict", output / "a.ckpt", output, input=str(where), num_tokens=4, **options)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            one.run(cfg, trained.copy(), module)
        except UserError as error:
            return str(error)
    return ""


def tried(name: str, way: Way, bad: bytes, place: int) -> str:
    """AssertionError where the good items' results are not what they are without the bad one."""
    make, write, options = way
    good = [make(i, None) for i in range(GOOD)]
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for which, items in {"alone": good, "beside": [*good[:place], bad, *good[place:]]}.items():
            root = Path(scratch, which, "in")
            root.mkdir(parents=True)
            where = write(root, items)
            if which == "alone" and where.is_dir():  # the same names in both
                for i in reversed(range(place, GOOD)):
                    path = next(root.glob(f"{i}.*"))
                    path.rename(path.with_stem(str(i + 1)))
            said = predict(name, where, root.parent / "out", **options)
            results.append((said, {tuple(c.replace(str(root), "") for c in row) for row in written(root.parent)}))
    (fault, alone), (told, beside) = results
    assert not fault, f"good items were refused: {fault}"
    rows = {without_place(row) for row in beside}
    lost = [row for row in alone if without_place(row) not in rows]
    assert not lost, f"{len(lost)} of {len(alone)} results are lost beside a bad item: {lost[:2]} ({told})"
    if told:
        raise UserError(told)
    return f"{len(beside) - len(alone)} more"


def without_place(row: tuple[str, ...]) -> tuple[str, ...]:
    """A row of a table without the number of its line, which a bad one before it shifts."""
    return tuple(cell.partition(":")[0] if cell.rpartition(":")[2].isdecimal() else cell for cell in row)


def items(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Each way of each capability in turn, with one bad item somewhere."""
    logging.getLogger("lightloom").setLevel(logging.ERROR)
    every = [(name, way) for name in models() for way in WAYS[name]]
    for i in range(count):
        (name, way), rng = every[i % len(every)], random.Random(chance.random())
        bad, place = way[0](0, rng), rng.randrange(GOOD + 1)
        yield Case(f"{name}: {bad[:40]!r} at {place}", partial(tried, name, way, bad, place))


KINDS = {"one bad item among good ones": items}
