"""Texts as ids: by words, by characters or by pairs of bytes, with a vocabulary that is learned from training texts.

A vocabulary is one text, `to_state()`, which says of itself what it is; `from_state` needs nothing else. The first ids
are reserved: PAD, UNKNOWN, and those that `specials` names. No part of a text is encoded to one, but to UNKNOWN.
"""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from annotated_types import Ge

from lightloom.core import documents, schema
from lightloom.core.errors import UserError, check_installed
from lightloom.core.parts import part
from lightloom.core.ranges import Count

PAD, UNKNOWN = 0, 1
RESERVED = ("<pad>", "<unk>")
UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # Japanese and Chinese letters
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+(?:'[^\W{UNSPACED}]+)*|[^\w\s]")
BYTES = 256
NAMES = schema.items(schema.text(most=1 << 20))


@part
class Tokenizer(ABC):
    """What all have in common. specials: names of further reserved ids, from 2 on, such as `<eos>`."""

    name: ClassVar[str]
    unknown: ClassVar[str]  # as `decode` writes it
    kept: ClassVar[dict[str, schema.Rule]] = {}  # arguments of the constructor on which `encode` depends

    def __init__(self, specials: Sequence[str] = ()) -> None:
        self.specials = list(specials)
        self.know([])

    def know(self, learned: list[str]) -> None:
        """Take over what another has learned: its parts of texts, in the order of their ids."""
        self.learned = learned
        self.names = [*RESERVED, *self.specials, *self._parts()]
        self.ids = {name: place for place, name in enumerate(self._parts(), self.reserved)}

    def fault(self, learned: list[str]) -> str:
        """What is wrong with a vocabulary, in words; empty where nothing is."""
        return "" if len({*learned}) == len(learned) else "it has a part twice"

    @property
    def reserved(self) -> int:
        """How many ids stand for no part of a text: the first ones."""
        return len(RESERVED) + len(self.specials)

    def __len__(self) -> int:
        """The number of ids, reserved ones among them."""
        return len(self.names)

    def learn(self, texts: Iterable[str]) -> Self:
        """Take the vocabulary from these texts, the most frequent first, those of equal count by their letters."""
        self.know(self._learn(texts))
        return self

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """The parts of a text, in their order: what `encode` looks up."""

    def encode(self, text: str) -> list[int]:
        """The id of each part of a text, UNKNOWN for one that is not in the vocabulary."""
        return [self.ids.get(name, UNKNOWN) for name in self.split(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """A text that has these ids. Reserved ones are left out, but for a sign of what is unknown."""
        found = (self.unknown if i == UNKNOWN else self.names[i] for i in ids if i == UNKNOWN or i >= self.reserved)
        return self._join(found)

    def characters(self) -> list[int]:
        """How many characters of a text each id stands for; none of the reserved ones, but for one that is unknown."""
        return [int(i == UNKNOWN) for i in range(self.reserved)] + [self._characters(name) for name in self._parts()]

    def to_state(self) -> str:
        """All that `encode` and `decode` depend on, as JSON."""
        own = {"tokens": self.name, "specials": self.specials, **self._kept(), "vocabulary": self.learned}
        return json.dumps(own, ensure_ascii=False, separators=(",", ":"))

    @abstractmethod
    def _learn(self, texts: Iterable[str]) -> list[str]: ...

    @abstractmethod
    def _join(self, names: Iterable[str]) -> str: ...

    def _characters(self, name: str) -> int:
        return len(name)

    def _parts(self) -> list[str]:
        return self.learned

    def _kept(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.kept}


class Words(Tokenizer):
    """Words and single signs. lower: in small letters. min_count: how often training texts must have a word. most: of
    them, the most frequent.

    A word has letters, digits and apostrophes, straight or not; of scripts that are written without spaces each letter
    is one. Composed and decomposed letters are the same (Unicode's NFC).
    """

    name, unknown = "words", RESERVED[UNKNOWN]
    kept: ClassVar[dict[str, schema.Rule]] = {"lower": schema.one_of(True, False)}

    def __init__(
        self, lower: bool = True, min_count: Count = 1, most: Count | None = None, specials: Sequence[str] = ()
    ) -> None:
        self.lower, self.min_count, self.most = lower, min_count, most
        super().__init__(specials)

    def split(self, text: str) -> list[str]:
        text = unicodedata.normalize("NFC", text).replace("\u2019", "'")
        return WORD.findall(text.lower() if self.lower else text)

    def _characters(self, name: str) -> int:
        return len(name) + 1  # with what is between it and the next

    def _learn(self, texts: Iterable[str]) -> list[str]:
        return by_count((word for text in texts for word in self.split(text)), self.min_count)[: self.most]

    def _join(self, names: Iterable[str]) -> str:
        return " ".join(names)


class Characters(Tokenizer):
    """Unicode's characters as they stand: a text of known ones is decoded to itself."""

    name, unknown = "characters", "\ufffd"

    def split(self, text: str) -> list[str]:
        return list(text)

    def _learn(self, texts: Iterable[str]) -> list[str]:
        return by_count(c for text in texts for c in text if c != "\0")

    def _join(self, names: Iterable[str]) -> str:
        return "".join(names)


class Bpe(Tokenizer):
    """Bytes, and pairs of them merged, the most frequent first (Sennrich et al. 2016; of bytes, Radford et al. 2019):
    every text has ids, none of it is unknown, and is decoded to itself. size: of the vocabulary, with the 256 bytes.

    Needs the extra `text`.
    """

    name, unknown = "bpe", "\ufffd"

    def __init__(self, size: Annotated[int, Ge(BYTES)] = 4096, specials: Sequence[str] = ()) -> None:
        check_installed("data.tokens=bpe", "text", "tokenizers")
        self.size = size
        super().__init__(specials)

    def know(self, learned: list[str]) -> None:
        """As that of others; learned are merges here, of two pieces each."""
        super().know(learned)
        self._coder = _coder(self.names[self.reserved :], learned)

    def fault(self, learned: list[str]) -> str:
        """As that of others; a merge is of two pieces that are there before it."""
        known = {*_bytes()}
        for merge in learned:
            pair = merge.split(" ")
            if len(pair) != 2 or not known.issuperset(pair):
                return f"{merge[:40]!r} merges no two of the pieces before it"
            known.add("".join(pair))
        return super().fault(learned)

    def split(self, text: str) -> list[str]:
        return list(self._coder.encode(text).tokens)

    def _learn(self, texts: Iterable[str]) -> list[str]:
        from tokenizers import trainers

        coder = _coder([], [])
        coder.train_from_iterator(
            texts, trainers.BpeTrainer(vocab_size=self.size, initial_alphabet=_bytes(), show_progress=False)
        )
        return [" ".join(pair) for pair in documents.parse_json(coder.to_str(), self.name)["model"]["merges"]]

    def _characters(self, name: str) -> int:
        return sum(letter not in _later_bytes() for letter in name)

    def _parts(self) -> list[str]:
        return list(dict.fromkeys([*_bytes(), *(merge.replace(" ", "") for merge in self.learned)]))

    def _join(self, names: Iterable[str]) -> str:
        from tokenizers import decoders

        return str(decoders.ByteLevel().decode(list(names)))


def from_state(state: str, source: str = "the vocabulary") -> Tokenizer:
    """What `to_state` has written. source: where that stands, for the message of a UserError where it is damaged."""
    kinds: dict[str, type[Tokenizer]] = {kind.name: kind for kind in (Words, Characters, Bpe)}
    found = documents.parse_json(schema.check(state, schema.text(most=1 << 28), source), source)
    schema.check(found, schema.entries({"tokens": schema.one_of(*kinds)}, {}), source)
    kind = kinds[found["tokens"]]
    schema.check(found, schema.entries({**kind.kept, "specials": NAMES, "vocabulary": NAMES}, {}), source)
    tokenizer = kind(specials=found["specials"], **{name: found[name] for name in kind.kept})
    if fault := tokenizer.fault(found["vocabulary"]):
        raise UserError(f"{source}: {fault}; it is damaged, or not ours.")
    tokenizer.know(found["vocabulary"])
    return tokenizer


def by_count(names: Iterable[str], min_count: int = 1) -> list[str]:
    """Each name that occurs so often, the most frequent first, those of equal count by their letters."""
    counts = Counter(names)
    return sorted((name for name, count in counts.items() if count >= min_count), key=lambda n: (-counts[n], n))


def _bytes() -> list[str]:
    """A printable character for each byte, as byte-level encodings write it."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


@cache
def _later_bytes() -> frozenset[str]:
    """Of these characters those for bytes with which none of a text's begins (UTF-8: 0x80 to 0xBF)."""
    from tokenizers import pre_tokenizers

    coder = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return frozenset("".join(piece for piece, _ in coder.pre_tokenize_str(chr(0x80 + i)))[1] for i in range(0x40))


def _coder(pieces: Sequence[str], merges: Sequence[str]) -> Any:
    from tokenizers import Tokenizer as Coder
    from tokenizers import models, pre_tokenizers

    pairs = [(one, other) for one, other in (merge.split(" ") for merge in merges)]
    coder = Coder(models.BPE({piece: place for place, piece in enumerate(pieces)}, pairs))
    coder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return coder
