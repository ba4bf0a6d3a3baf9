"""Prompts and answers in files of JSON lines, as Anthropic's hh-rlhf has them and as people write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lightloom.core import schema
from lightloom.core.documents import check_line, parse_json, read_text
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.data.images.layout import SplitName, part_named
from lightloom.data.preferences.answered import Answered, Part

Skip = Callable[[str, UserError], None]  # is told where what was left out stood, and why
TURN = "\n\nAssistant:"  # what an answer stands after in hh-rlhf
ENDINGS = (".jsonl", ".jsonl.gz")
TEXT = schema.either(schema.one_of(""), schema.text(1 << 20))
PAIR = schema.entries({"chosen": TEXT, "rejected": TEXT}, {"prompt": TEXT})
SINGLE = schema.entries({"prompt": TEXT, "answer": TEXT}, {})


@part
class AnswerFiles:
    """A file of JSON lines, or train.jsonl and, where they exist, val.jsonl and test.jsonl of a folder; .gz too.

    A line is {"prompt", "chosen", "rejected"}; or {"chosen", "rejected"}, whose common beginning, up to the last
    "\\n\\nAssistant:" in it, is the prompt (Bai et al. 2022, hh-rlhf); or {"prompt", "answer"}. Where one answer is
    asked for, that of a pair is the chosen one. Left out: empty answers, and pairs of equal ones.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def read(self, split: SplitName, answers: int, skip: Skip | None = None) -> Part | None:
        """The items of a split. Of a line that is none UserError, or it is told to `skip` and left out."""
        path = self._files().get(split)
        if path is None:
            return None
        every = list(_items(path, answers, skip))
        kept = [item for item in every if all(item.answers) and len({*item.answers}) == len(item.answers)]
        if not kept and skip is None:
            raise UserError(f"{path}: has no line with {'an answer' if answers == 1 else 'two different answers'}.")
        lost = len(every) - len(kept)
        return Part(kept, (f"left out of {split}: {lost:,} with an empty answer, or two equal ones",) if lost else ())

    def _files(self) -> dict[str, Path]:
        if self.root.is_file():
            return {"train": self.root}
        found = sorted(path for path in self.root.glob("*") if path.name.endswith(ENDINGS) and path.is_file())
        parts: dict[str, Path] = {
            name: path for path in reversed(found) if (name := part_named(path.name.partition(".")[0]))
        }
        if not self.root.exists() or not found:
            raise UserError(
                f"data.root={self.root}: no .jsonl file there; name one, or a folder with train.jsonl: a line for each "
                f'prompt, as {{"prompt": "...", "chosen": "...", "rejected": "..."}}.'
            )
        if "train" not in parts and len(found) > 1:
            raise UserError(f"{self.root}: has {len(found)} .jsonl files and none is train.jsonl; name one of them.")
        return parts if "train" in parts else {"train": found[0]}


def _items(path: Path, answers: int, skip: Skip | None) -> Iterator[Answered]:
    for number, text in enumerate(read_text(path, escaped=skip is not None).split("\n"), 1):
        where = f"{path.name}:{number}"
        try:
            if text.strip():
                yield answered(check_line(text, where), where, answers)
        except UserError as error:
            if skip is None:
                raise
            skip(where, error)


def answered(text: str, where: str, answers: int) -> Answered:
    """A line of a file; UserError where it is none. answers: how many are asked for, 1 or 2."""
    entry = parse_json(text, where)
    if answers == 1 and isinstance(entry, dict) and "answer" in entry:
        schema.check(entry, SINGLE, where)
        return _item(entry["prompt"], (entry["answer"],), where)
    prompt, chosen, rejected = pair(schema.check(entry, PAIR, where), where)
    return _item(prompt, (chosen, rejected)[:answers], where)


def pair(entry: dict[str, Any], where: str) -> tuple[str, str, str]:
    """Prompt, chosen and rejected answer of an entry that is as PAIR says."""
    if "prompt" in entry:
        return entry["prompt"], entry["chosen"], entry["rejected"]
    chosen, rejected = entry["chosen"], entry["rejected"]
    common = next((i for i, (one, other) in enumerate(zip(chosen, rejected, strict=False)) if one != other), None)
    length = chosen[: common or min(len(chosen), len(rejected))].rfind(TURN) + len(TURN)
    if length < len(TURN):
        raise UserError(
            f"{where}: chosen and rejected have no common beginning with {TURN.strip()!r} in it; give the prompt as "
            f'"prompt".'
        )
    return chosen[:length], chosen[length:], rejected[length:]


def _item(prompt: str, answers: tuple[str, ...], where: str) -> Answered:
    if not prompt:
        raise UserError(f"{where}: its prompt is empty; give it one, or leave the line out.")
    return Answered(prompt, answers, where=where)
