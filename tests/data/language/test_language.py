"""Windows of a text: each id once an epoch, at another phase in each; parts, vocabulary, and tales of known entropy."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from conftest import ROOT

from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.data.language import tales
from lightloom.data.language.datamodule import LanguageDataModule
from lightloom.data.language.files import TextFiles
from lightloom.data.language.tales import Tales
from lightloom.data.language.windows import IGNORE, Shifted, Stream
from lightloom.data.tokens import Bpe, Characters, Words


def module(text: str | dict[str, str], tokens: object = None, **options: object) -> LanguageDataModule:
    parts = {"train": text} if isinstance(text, str) else text
    reader = type("Given", (), {"read": staticmethod(parts.get)})()
    facts = {"name": "given", "kind": "language", "vocab_size": None, "block_size": 8}
    return LanguageDataModule(
        reader, tokens or Characters(), **{**facts, "batch_size": 2, "eval_batch_size": 3, **options}
    )


@pytest.mark.parametrize("count", [2, 8, 9, 10, 100])
def test_an_evaluation_has_each_id_but_the_first_as_a_target_once(count):
    stream = Stream.of(torch.arange(1, count + 1), 8)
    ids, targets = stream[torch.arange(len(stream)), torch.zeros(0)]
    asked = targets != IGNORE
    assert targets[asked].tolist() == list(range(2, count + 1))
    assert torch.equal(ids[asked] + 1, targets[asked])
    assert (ids[~asked][1:] == 0).all()


@pytest.mark.parametrize("length", [100, 101, 107])
def test_an_epoch_has_each_id_once_at_most_and_all_but_two_windows_of_them(length):
    stream = Stream.of(torch.arange(length), 8)
    windows = Shifted(stream, 3)
    phases = set()
    for epoch in range(40):
        order = Order(epoch, len(windows))
        targets = torch.cat([targets for _, targets in windows.all_of(order)]).flatten().tolist()
        assert max(Counter(targets).values()) == 1
        assert IGNORE not in targets
        assert len(targets) > length - 2 * 8
        phases.add(min(targets) - 1)
    assert phases == set(range(8))


class Order(list):
    def __init__(self, epoch: int, size: int) -> None:
        super().__init__((part, part) for part in torch.arange(size).split(3))
        self.epoch = epoch


def test_the_order_of_a_run_is_a_function_of_seed_and_epoch():
    data = module("abcdefghij" * 30, shuffle=True)
    data.setup()

    def epoch(number: int, start: int = 0) -> list[list[list[int]]]:
        data.resume_at(number, start)
        return [ids.tolist() for ids, _ in data.train_dataloader()]

    assert epoch(3) == epoch(3)
    assert epoch(3) != epoch(4)
    assert epoch(3, 2) == epoch(3)[2:]
    assert len(epoch(0)) == data.num_train_batches


def test_parts_are_cut_from_the_end_and_the_vocabulary_is_of_training_alone():
    data = module("a" * 70 + "b" * 10 + "c" * 20, val_fraction=0.1, test_fraction=0.2, block_size=4)
    data.setup()
    assert [data.text(name) for name in contract.SPLITS] == ["a" * 70, "b" * 10, "c" * 20]
    assert data.facts() == {"vocab_size": 3}
    assert "100.00% of val is unknown" in data.summary().notes
    own = module({"train": "ab" * 50, "val": "ba" * 9}, test_fraction=0.1)
    own.setup()
    assert (len(own.text("train")), len(own.text("val")), len(own.text("test"))) == (90, 18, 10)
    assert not module("ab" * 50).can_be_tested()


def test_it_adopts_a_vocabulary():
    data, other = module("abc" * 40), module("cdbe" * 40)
    data.facts()
    other.adopt(data.state())
    assert other.facts() == data.facts()
    known = "".join(letter if letter in "abc" else other.tokens.unknown for letter in other.text("val"))
    assert other.tokens.decode(other.split("val").ids.tolist()) == known


@pytest.mark.parametrize("tokens", [Characters(), Words(), Bpe(size=300)], ids=["characters", "words", "bpe"])
def test_ids_have_the_characters_of_their_text(tokens):
    text = "Fünf kühne Mäuse (🐭) aßen Käse, 一只猫 sah zu. " * 3
    data = module(text, tokens)
    data.facts()
    found = int(data.characters_of_ids()[torch.tensor(tokens.encode(text))].sum())
    if isinstance(tokens, Words):
        assert found == sum(len(part) + 1 for part in tokens.split(text))
    else:
        assert found == len(text)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("ab" * 50, {"vocab_size": 9}, "data.vocab_size is 9, but given has 4"),
        ("ab" * 50, {"batch_size": 99}, "data.batch_size is 99, but given has 10 windows of data.block_size=8"),
        ("ab" * 50, {"val_fraction": 0.0}, "no val text; .*set data.val_fraction=0.1"),
        ({"train": "ab" * 50, "val": "a"}, {}, "its val text has 1 ids"),
        ("ab" * 5, {"val_fraction": 0.5, "test_fraction": 0.5}, "leave less than a tenth"),
    ],
)
def test_a_text_that_will_not_do_is_told(text, options, said):
    with pytest.raises(UserError, match=said):
        module(text, **options).setup()


# --- files


def test_a_file_a_folder_and_its_parts(tmp_path):
    (tmp_path / "b.txt").write_text("two")
    (tmp_path / "a.txt").write_text("one")
    assert TextFiles(tmp_path / "b.txt").read("train") == "two"
    assert TextFiles(tmp_path).read("train") == "one\ntwo"
    assert TextFiles(tmp_path).read("val") is None
    for name in ("train", "valid"):
        (tmp_path / f"{name}.txt").write_text(name)
    assert [TextFiles(tmp_path).read(part) for part in contract.SPLITS] == ["train", "valid", None]
    (tmp_path / "empty").mkdir()
    for name, said in (
        ("empty", r"no \.txt files; put a text there"),
        ("nowhere", "no such file or folder; name a text"),
    ):
        with pytest.raises(UserError, match=said):
            TextFiles(tmp_path / name).read("train")


# --- tales


def test_the_manual_says_what_no_model_can_do_better_than():
    page = (ROOT / "docs/train-a-small-gpt.md").read_text(encoding="utf-8")
    assert f"{tales.entropy() / tales.mean_length():.4f} nats per character" in page


def test_tales_are_as_long_and_as_surprising_as_it_is_said():
    found = [tales.tale(key) for key in range(4000)]
    assert sum(map(len, found)) / 4000 == pytest.approx(tales.mean_length(), rel=0.01)
    shares = [count / 4000 for count in Counter(tale.split()[1:3][0] for tale in found).values()]
    assert -sum(p * math.log(p) for p in shares) == pytest.approx(math.log(len(tales.TEMPERS)), rel=0.01)
    deeds = Counter(sum(tale.count(f" {deed} ") for deed in tales.DEEDS) for tale in found)
    assert set(deeds) == {1, 2, 3}
    assert min(deeds.values()) > 4000 / 3 * 0.9


def test_a_name_and_its_pronouns_agree():
    for key in range(300):
        told = tales.tale(key)
        name = told.split(".")[0].split()[-1]
        assert told.count(name) == 2
        assert f". Then {name} " in told
        assert f". {tales.NAMES[name]} " in told
        assert not any(f". {other} " in told for other in {"She", "He"} - {tales.NAMES[name]})


def test_a_tale_is_a_function_of_its_part_and_number():
    short, long = Tales(3, 2, 2, seed=1), Tales(5, 2, 2, seed=1)
    assert long.read("train").startswith(short.read("train"))
    assert short.read("train") != short.read("val")
    assert short.read("val") != Tales(3, 2, 2, seed=2).read("val")


def test_a_part_of_a_stream_is_told_from_it():
    stream = Stream.of(torch.arange(40), 8)
    assert stream.pick(torch.arange(5)).identity().sha256() == stream.identity().sha256()
    assert stream.pick(torch.arange(4)).identity().sha256() != stream.identity().sha256()
    assert replace(stream, ids=stream.ids + 1).identity().sha256() != stream.identity().sha256()
