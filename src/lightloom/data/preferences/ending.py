"""Where an answer ends."""

from __future__ import annotations

from lightloom.core.errors import UserError
from lightloom.data.tokens import RESERVED, UNKNOWN, Tokenizer

EOS = "<eos>"


def end_of(tokens: Tokenizer, end: str) -> int:
    """The id after each answer: that of `<eos>` where the vocabulary has it, else of the text `end`.

    It is never padding: a model that learns to end must see where. Raises UserError where the text is not one known id.
    """
    if EOS in tokens.specials:
        return len(RESERVED) + tokens.specials.index(EOS)
    ids = tokens.encode(end)
    if len(ids) != 1 or ids[0] == UNKNOWN:
        raise UserError(
            f"An answer ends with data.end={end!r}, which is no single id of the vocabulary; set another text, or give "
            f"the vocabulary one of its own from the first run on: 'data.tokens.specials=[\"{EOS}\"]'."
        )
    return ids[0]


def ended(ids: list[int], end: int | None) -> list[int]:
    """An answer without its end and what was written after it; None for texts that have no end."""
    return ids[: ids.index(end)] if end in ids else ids
