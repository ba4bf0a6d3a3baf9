"""Texts as codes and back: the place of a symbol in the alphabet, counted from 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.schema import shown
from lightloom.ops.ctc import padded


def alphabet_of(texts: Iterable[str]) -> str:
    """The symbols that texts have, sorted."""
    return "".join(sorted(set().union(*texts)))


def encoded(texts: Sequence[str], alphabet: str) -> Tensor:
    """Codes int64 (N, L), zeros behind the shorter texts. Each symbol is in the alphabet."""
    places = {symbol: place for place, symbol in enumerate(alphabet, 1)}
    return padded([tuple(places[symbol] for symbol in text) for text in texts])


def decoded(codes: Iterable[int], alphabet: str) -> str:
    """The text of codes; zeros are left out."""
    return "".join(alphabet[code - 1] for code in codes if code)


def check_alphabet(alphabet: str) -> None:
    """Raise UserError where a stated alphabet is empty or has a symbol twice."""
    twice = sorted({symbol for symbol in alphabet if alphabet.count(symbol) > 1})
    if twice or not alphabet:
        said = f"has {shown(twice[0])} twice" if twice else "is empty"
        raise UserError(f"data.alphabet {said}; write each symbol once, or set data.alphabet=null to find them.")


def check_texts(texts: Sequence[str], names: Sequence[str], alphabet: str) -> None:
    """Raise UserError for the first text with a symbol that is not in the alphabet. names: of the pictures."""
    known = set(alphabet)
    for text, name in zip(texts, names, strict=True):
        if strange := next((symbol for symbol in text if symbol not in known), None):
            raise UserError(
                f"{name}: its text {shown(text)} has {shown(strange)}, which is not in data.alphabet ({alphabet}); "
                f"correct the text, or add the symbol to data.alphabet"
            )
