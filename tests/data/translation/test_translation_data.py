"""Pairs of texts: read line by line, divided, encoded and batched, each once; files that do not fit are told."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import real

from lightloom.core.errors import UserError
from lightloom.data.tokens import Words
from lightloom.data.translation.datamodule import TranslationDataModule, divided
from lightloom.data.translation.pairs import BEGIN, END, SPECIALS, Pairs
from lightloom.data.translation.phrasebook import Phrasebook, sentence
from lightloom.data.translation.readers import ParallelLines


def data(reader: Any = None, **options: Any) -> TranslationDataModule:
    facts = {"name": "given", "kind": "translation", "source": "en", "target": "de", "vocab_size": None}
    sizes = {"max_length": 24, "batch_size": 4, "eval_batch_size": 3}
    tokens = Words(lower=False, specials=SPECIALS)
    return TranslationDataModule(reader or Phrasebook(30, 7, 5), tokens, **{**facts, **sizes, **options})


def written(folder: Path, **files: str) -> ParallelLines:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return ParallelLines(folder, "en", "de")


# --- files


def test_line_i_of_one_file_is_the_translation_of_line_i_of_the_other(tmp_path):
    reader = written(tmp_path, train_en="a b\n\nc  d\u2028e\n", train_de="A B\nx\nC\n", val_en="v", val_de="V")
    found = reader.read("train")
    assert (found.sources, found.targets) == (["a b", "c d e"], ["A B", "C"])  # a line separator ends no line
    assert found.notes == ("left out: pairs with an empty text, 1",)
    assert reader.read("val").sources == ["v"]
    assert reader.read("test") is None


def test_packed_files_are_read_as_plain_ones(tmp_path):
    for language, text in (("en", "a\nb\n"), ("de", "ä\nß\n")):
        (tmp_path / f"mine.{language}.gz").write_bytes(gzip.compress(text.encode()))
    assert ParallelLines(tmp_path, "de", "en").read("train").sources == ["ä", "ß"]
    (tmp_path / "mine.en.gz").write_bytes(gzip.compress(b"a\nb\n" * 99)[:-9])
    with pytest.raises(UserError, match=r"mine.en.gz: not a whole gzip file .* Pack it again"):
        ParallelLines(tmp_path, "de", "en").read("train")


def test_files_that_do_not_fit_are_told(tmp_path):
    with pytest.raises(UserError, match=r"expected train.en and train.de, .*; it has no such pair"):
        written(tmp_path).read("train")
    with pytest.raises(UserError, match=r"train.en: has 2 lines, but train.de has 1; expected a translation"):
        written(tmp_path, train_en="a\nb", train_de="A").read("train")
    with pytest.raises(UserError, match="there is no such file, nor one packed"):
        ParallelLines(tmp_path, "en", "de", {"train": "other"}).read("train")
    with pytest.raises(UserError, match="there is no such folder"):
        ParallelLines(tmp_path / "none", "en", "de").read("train")
    two = written(tmp_path / ".", a_en="a", a_de="A", b_en="b", b_de="B")
    (tmp_path / "train.en").unlink()
    with pytest.raises(UserError, match="it has pairs called a, b"):
        two.read("train")


# --- parts


def test_equal_sources_are_in_one_part():
    pairs = Pairs([f"s{i % 40}" for i in range(100)], [f"t{i}" for i in range(100)])
    rest, part = divided(pairs, 0.2, 0)
    assert not {*rest.sources} & {*part.sources}
    assert len({*part.sources}) == 8
    assert sorted([*rest.targets, *part.targets]) == sorted(pairs.targets)
    assert part == divided(pairs, 0.2, 0)[1] != divided(pairs, 0.2, 1)[1]


def test_what_lacks_is_told():
    found = data(Phrasebook(3, 1, 1))
    with pytest.raises(UserError, match=r"data.batch_size is 4, but given has 3 training pairs"):
        found.setup("fit")
    with pytest.raises(UserError, match="expected"):
        TranslationDataModule(Phrasebook(3, 1, 1), Words(), "x", "translation", "en", "de", None, 8, 1, 1)
    with pytest.raises(UserError, match=r"data.vocab_size is 7"):
        data(vocab_size=7).facts()


def test_the_vocabulary_travels_and_is_taken_over():
    first, other = data(), data(Phrasebook(5, 2, 2, seed=9))
    known = first.facts()
    other.adopt(first.state())
    assert other.facts() == known
    assert other.state() == first.state()
    assert (first.tokens.names[BEGIN], first.tokens.names[END]) == SPECIALS


# --- batches


def test_a_batch_has_both_texts_with_their_ends_and_as_they_are_written():
    found = data()
    found.setup()
    for source, target, texts in found.val_dataloader():
        assert source.shape[1] % 8 == target.shape[1] % 8 == 0
        assert (target[:, 0] == BEGIN).all()
        assert found.decoded(target) == [found.tokens.decode(found.tokens.encode(text)) for text in texts]
        for row in source:
            read = row[row != 0]
            assert read.tolist().count(END) == 1
            assert read[-1] == END


def test_of_a_longer_text_no_end_is_learnt():
    found = data(max_length=5)
    found.setup()
    source, target, _ = found.encoded_split("train")[torch.arange(30), torch.arange(30)]
    assert not (source == END).any()  # each has more than five words
    assert not (target == END).any()
    assert (source != 0).sum(1).tolist() == [5] * 30
    assert (target != 0).sum(1).tolist() == [6] * 30
    assert "30 of train are cut to data.max_length=5" in str(found.summary())


def test_each_pair_is_seen_once_in_an_epoch_with_those_of_its_length():
    found = data(Phrasebook(40, 4, 4))
    found.setup()
    loader = found.train_dataloader()
    lengths = found.encoded_split("train").lengths
    orders = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        batches = [indices for indices, _ in loader.sampler]
        assert Counter(torch.cat(batches).tolist()) == Counter(range(40))
        assert max(int(lengths[b].max() - lengths[b].min()) for b in batches) <= 4 < lengths.max() - lengths.min()
        orders.append(torch.cat(batches))
    assert not torch.equal(*orders)


def test_a_batch_by_tokens_has_as_many_of_either_language_at_most():
    found = data(Phrasebook(40, 4, 4), batch_size=2, batch_tokens=96)
    found.setup()
    batches = [*found.train_dataloader()]
    assert len(batches) == found.num_train_batches < 20
    assert found.size_of_batches == "up to 96 tokens"
    assert max(ids.numel() for source, target, _ in batches for ids in (source, target)) <= 96
    assert sum(len(texts) for *_, texts in batches) == 40


def test_tokens_that_are_too_few_or_mixed_are_refused():
    with pytest.raises(UserError, match=r"is 31, but 4 pairs of up to 16 tokens, padding included, take 64; set .*=64"):
        data(batch_tokens=31).setup()
    with pytest.raises(UserError, match=r"batch_tokens=96 .* data.bucketed=false mixes them; leave one"):
        data(batch_tokens=96, bucketed=False).setup()


# --- the phrasebook


def test_a_sentence_is_a_function_of_its_key_and_its_english_has_one_german():
    pairs = [sentence(key) for key in range(3000)]
    assert pairs[:50] == [sentence(key) for key in range(50)]
    translations: dict[str, set[str]] = {}
    for english, german in pairs:
        translations.setdefault(english, set()).add(german)
    assert {len(several) for several in translations.values()} == {1}
    forms = Counter((german.split()[0] in NOMINATIVE, ", dass" in german) for _, german in pairs)
    assert all(900 < count < 1100 for count in forms.values())


NOMINATIVE = ("Der", "Die", "Das")


def test_verbs_are_where_german_has_them():
    for key in range(300):
        english, german = sentence(key)
        words = german.removesuffix(".").split()
        verbs = {"fand", "verlor", "malte", "sah", "versteckte"}
        place = next(i for i, word in enumerate(words) if word in verbs)
        if ", dass" in german:
            assert place == len(words) - 1
        elif english.startswith("The"):
            assert words[0] in NOMINATIVE
            assert place == 3
        else:
            assert place == (1 if words[0] in ("Heute", "Gestern") else 2)


def test_multi30k_is_read_whole():
    """29,000 + 1,014 + 1,000 lines, as its authors state."""
    reader = ParallelLines(
        real("text/multi30k"), "en", "de", {"train": "train", "val": "val", "test": "test_2016_flickr"}
    )
    assert [len(reader.read(name)) for name in ("train", "val", "test")] == [29_000, 1_014, 1_000]
    assert reader.read("test").sources[0].startswith("A man in an orange hat")
