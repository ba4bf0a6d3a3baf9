"""Prompts that a policy answers: their ids, where answers begin, and the keys by which these are drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lightloom.core.errors import UserError
from lightloom.data.language.tales import Tales
from lightloom.data.preferences.deeds import Deeds
from lightloom.data.preferences.passages import Passages
from lightloom.data.preferences.prompts import NO_END, PromptsDataModule
from lightloom.data.tokens import PAD, RESERVED, Characters
from lightloom.ops.rewards import Share


def prompts(reader: Any = None, specials: Any = ("<eos>",), **options: Any) -> PromptsDataModule:
    facts = {"name": "deed_prompts", "kind": "prompts", "vocab_size": None, "block_size": 128}
    sizes = {"batch_size": 4, "eval_batch_size": 3}
    reader = reader or Deeds(Share(), 8, 7, 5)
    return PromptsDataModule(reader, Characters(specials), **{**facts, **sizes, **options})


def test_a_batch_is_prompts_and_where_they_end():
    data = prompts()
    data.setup()
    for ids, starts, keys in data.train_dataloader():
        assert len(ids) == len(starts) == len(keys) == 4
        assert ids.shape[1] == starts.max()
        for row, start in zip(ids, starts.tolist(), strict=True):
            assert data.tokens.decode(row[:start].tolist()) in {item.prompt for item in data.part("train")}
            assert not (row[:start] == PAD).any()
            assert (row[start:] == PAD).all()


def test_keys_of_training_are_new_in_each_epoch_and_those_of_an_evaluation_are_not():
    data, other = prompts(), prompts(eval_batch_size=7)
    data.setup()
    other.setup()
    loader, epochs = data.train_dataloader(), []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        epochs.append(torch.cat([keys for *_, keys in loader]))
    assert len({*torch.cat(epochs).tolist()}) == 16
    own = [torch.cat([keys for *_, keys in one.eval_loader("val")]) for one in (data, other)]
    assert torch.equal(*own)


@pytest.mark.parametrize(("specials", "end", "reserved"), [(("<eos>",), "\n", 2), ((), "\n", 2), (("<a>",), "", 3)])
def test_an_answer_may_be_ended_but_by_no_other_reserved_id(specials, end, reserved):
    data = prompts(specials=specials, end=end)
    data.setup()
    assert data.reserved == reserved
    assert data.end_id == (NO_END if not end else len(RESERVED) if specials else data.tokens.encode("\n")[0])


def test_passages_are_of_the_part_that_they_are_for():
    tales = Tales(30, 4, 3)
    found = Passages(tales, 6, 4, 50, 20, 20)
    for split in ("train", "val", "test"):
        items, text = found.read(split, 1).items, tales.read(split)
        assert len(items) == (50 if split == "train" else 20)
        assert all(len(item.prompt) == 6 and item.prompt + item.answers[0] in text for item in items)
    assert Passages(tales, 6, 4, 9, 2, 2).read("train", 1).items == found.read("train", 1).items[:9]

    class Whole:
        def read(self, split: str) -> str | None:
            return "0123456789" * 9 + "abcdefghij" if split == "train" else None

    assert all(item.prompt[0].isdigit() for item in Passages(Whole(), 2, 2, 40, 40, 40).read("train", 1).items)
    assert all(item.prompt.isalpha() for item in Passages(Whole(), 2, 2, 40, 40, 40).read("val", 1).items)


@pytest.mark.parametrize(("lengths", "answers", "said"), [((999, 999), 1, "set shorter ones"), ((2, 2), 2, "no pairs")])
def test_what_a_text_cannot_give_is_refused(lengths, answers, said):
    with pytest.raises(UserError, match=said):
        Passages(Tales(3, 2, 2), *lengths, 4, 4, 4).read("val", answers)
