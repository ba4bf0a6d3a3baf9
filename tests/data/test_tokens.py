"""Texts as ids: what is learned, what comes back, and what a vocabulary from a stranger may say."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import pytest

from lightloom.core.errors import UserError
from lightloom.data.tokens import PAD, UNKNOWN, Bpe, Characters, Tokenizer, Words, from_state

TEXTS = ["The film isn't bad, it is good: the good film.", "Ein großer Film, ja! 这部电影", "aaaa aaa aa abc abc bc"]
MADE = {
    "words": lambda: Words(),
    "capitals": lambda: Words(lower=False, min_count=2, specials=["<eos>"]),
    "characters": lambda: Characters(["<bos>", "<eos>"]),
    "bpe": lambda: Bpe(size=290, specials=["<eos>"]),
}


@pytest.fixture(params=MADE)
def tokenizer(request) -> Tokenizer:
    return MADE[request.param]().learn(TEXTS)


def test_a_state_is_all_of_it(tokenizer):
    again = from_state(tokenizer.to_state())
    assert again.to_state() == tokenizer.to_state()
    assert again.names == tokenizer.names
    for text in [*TEXTS, "never seen: Ω\n\t\0", ""]:
        assert again.encode(text) == tokenizer.encode(text)
        assert again.decode(again.encode(text)) == tokenizer.decode(tokenizer.encode(text))


def test_what_is_encoded_is_no_reserved_id_but_unknown(tokenizer):
    """The names of reserved ids are text like any other."""
    found = {i for text in [*TEXTS, " ".join(tokenizer.names)] for i in tokenizer.encode(text)}
    assert PAD not in found
    assert not {i for i in found if i < tokenizer.reserved} - {UNKNOWN}
    assert max(found) < len(tokenizer)


def test_the_order_of_the_texts_is_nothing(tokenizer):
    before = tokenizer.to_state()
    assert tokenizer.learn(reversed(TEXTS)).to_state() == before


@pytest.mark.parametrize("made", ["characters", "bpe"])
def test_texts_come_back_as_they_were(made):
    tokenizer = MADE[made]().learn(TEXTS)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_word_that_is_rare_or_never_seen_is_unknown():
    tokenizer = Words(min_count=2).learn(["b b a a a c", "C"])
    assert tokenizer.names[tokenizer.reserved :] == ["a", "b", "c"]  # by count, then by letters
    assert tokenizer.encode("c zzz A") == [4, UNKNOWN, 2]
    assert Words(most=1).learn(["b b a"]).encode("a b") == [UNKNOWN, 2]
    assert tokenizer.decode([PAD, 4, UNKNOWN, PAD]) == "c <unk>"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Isn't it? isn\u2019t", ["isn't", "it", "?", "isn't"]),
        ("cafe\u0301 caf\u00e9", ["caf\u00e9", "caf\u00e9"]),
        ("'tis a 'quote' 3.5", ["'", "tis", "a", "'", "quote", "'", "3", ".", "5"]),
        ("well-made\tfilm", ["well", "-", "made", "film"]),
        ("\u597d\u7535\u5f71ok", ["\u597d", "\u7535", "\u5f71", "ok"]),
        (" \r\n\u00a0", []),
    ],
)
def test_what_a_word_is(text, words):
    assert Words().split(text) == words


def test_bytes_are_all_known():
    tokenizer = Bpe(size=256).learn([])
    assert len(tokenizer) == tokenizer.reserved + 256
    text = "".join(map(chr, range(0x250))) + "\U0001f600"
    ids = tokenizer.encode(text)
    assert UNKNOWN not in ids
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids) == text


def test_pairs_are_merged_as_the_paper_does_it():
    """Sennrich et al. 2016, algorithm 1, word by word; of equal counts the library's choice may be another."""
    words = Counter({"low": 5, "lower": 2, "newest": 6, "widest": 3})
    learned = Bpe(size=256 + 3).learn([word for word, count in words.items() for _ in range(count)]).learned
    spelled = {word: list(word) for word in words}
    for merge in learned:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in spelled.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        one, other = merge.split(" ")
        assert pairs[one, other] == max(pairs.values())
        for parts in spelled.values():
            for i in range(len(parts) - 2, -1, -1):
                if parts[i : i + 2] == [one, other]:
                    parts[i : i + 2] = [one + other]


DAMAGED = {
    "no JSON": "{",
    "no object": "[]",
    "nothing": "{}",
    "another": {"tokens": "letters"},
    "no list": {"vocabulary": "a b"},
    "no texts": {"vocabulary": ["a", 1]},
    "an empty part": {"vocabulary": ["a", ""]},
    "a part twice": {"vocabulary": ["a", "b", "a"]},
    "lower is no flag": {"lower": "yes"},
    "specials": {"specials": {}},
    "a merge of one": {"tokens": "bpe", "vocabulary": ["ab"]},
    "a merge of what is not there": {"tokens": "bpe", "vocabulary": ["ab c"]},
    "a merge twice": {"tokens": "bpe", "vocabulary": ["a b", "a b"]},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_vocabulary_is_one_sentence(damage):
    given = DAMAGED[damage]
    whole = {"tokens": "words", "lower": True, "specials": [], "vocabulary": []}
    state = given if isinstance(given, str) else json.dumps({**whole, **given})
    with pytest.raises(UserError, match=r"^from\.ckpt: ") as error:
        from_state(state, "from.ckpt")
    assert "\n" not in str(error.value)
