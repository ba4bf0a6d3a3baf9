"""Prompts and answers: what is read of files, what is drawn, and where an answer begins and ends."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import torch

from lightloom.core.errors import UserError
from lightloom.data.preferences.answered import Answered, Part
from lightloom.data.preferences.datamodule import AnswersDataModule, PreferencesDataModule
from lightloom.data.preferences.deeds import Deeds, answers_to
from lightloom.data.preferences.ending import EOS, end_of, ended
from lightloom.data.preferences.files import AnswerFiles
from lightloom.data.tokens import Characters, Words
from lightloom.ops.answers import IGNORE
from lightloom.ops.rewards import Share

HUMAN, ASSISTANT = "\n\nHuman: ", "\n\nAssistant:"
FIRST = f"{HUMAN}Hi{ASSISTANT} Hello.{HUMAN}And tea?{ASSISTANT}"
LINES = [
    {"chosen": f"{FIRST} Yes, please.", "rejected": f"{FIRST} Yuck."},
    {"chosen": f"{HUMAN}Hi{ASSISTANT} A{ASSISTANT} B", "rejected": f"{HUMAN}Hi{ASSISTANT} C"},
    {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"},
    {"prompt": "same", "chosen": "a", "rejected": "a"},
    {"prompt": "nothing", "chosen": "a", "rejected": ""},
]


def written(path: Any, lines: list[Any] = LINES) -> Any:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def module(kind: type[AnswersDataModule], reader: Any, tokens: Any = None, **options: Any) -> AnswersDataModule:
    facts = {"name": "given", "kind": "preferences", "vocab_size": None, "block_size": 128, "val_fraction": 0.5}
    sizes = {"batch_size": 1, "eval_batch_size": 2}
    return kind(reader, tokens or Characters(specials=[EOS]), **{**facts, **sizes, **options})


def given(*items: Answered, parts: Any = ("train", "val")) -> Any:
    read = dict.fromkeys(parts, Part(items))
    return type("Given", (), {"read": staticmethod(lambda split, answers: read.get(split))})()


# --- files


def test_a_pair_of_hh_rlhf_begins_to_differ_after_the_last_turn_that_both_have(tmp_path):
    found = AnswerFiles(written(tmp_path / "pairs.jsonl")).read("train", 2)
    assert [(item.prompt, item.answers) for item in found.items] == [
        (FIRST, (" Yes, please.", " Yuck.")),
        (f"{HUMAN}Hi{ASSISTANT}", (f" A{ASSISTANT} B", " C")),
        ("2 + 2 =", (" 4", " 5")),
    ]
    assert found.notes == ("left out of train: 2 with an empty answer, or two equal ones",)
    assert AnswerFiles(tmp_path / "pairs.jsonl").read("val", 2) is None


def test_of_a_pair_the_chosen_answer_is_one_to_a_prompt(tmp_path):
    written(tmp_path / "train.jsonl", [*LINES[:1], {"prompt": "p", "answer": "a\u2028b"}])
    with gzip.open(tmp_path / "test.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"prompt": "q", "answer": "b"}))
    reader = AnswerFiles(tmp_path)
    assert [item.answers for item in reader.read("train", 1).items] == [(" Yes, please.",), ("a\u2028b",)]
    assert [item.answers for item in reader.read("test", 1).items] == [("b",)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"chosen": "a", "rejected": "b"}, "pairs.jsonl:1: .*no common beginning"),
        ({"chosen": f"x{ASSISTANT} a", "rejected": "y"}, "pairs.jsonl:1: .*no common beginning"),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, "its prompt is empty"),
        ({"prompt": "p", "chosen": 3, "rejected": "b"}, r"pairs.jsonl:1: chosen is 3; expected"),
        ({"prompt": "p", "answer": "b"}, "an object that has chosen, rejected too"),
        ([], "is a list of 0; expected"),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, "has no line with two different answers"),
    ],
)
def test_a_line_that_is_no_pair_is_told(tmp_path, line, said):
    with pytest.raises(UserError, match=said):
        AnswerFiles(written(tmp_path / "pairs.jsonl", [line])).read("train", 2)


def test_files_that_are_none_are_told(tmp_path):
    (tmp_path / "bad.jsonl.gz").write_bytes(b"no gz")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"x" * 5000)[:20])
    for name, said in (
        ("bad.jsonl.gz", "not a whole gzip"),
        ("cut.jsonl.gz", "not a whole gzip"),
        ("none", "no .jsonl file"),
    ):
        with pytest.raises(UserError, match=said):
            AnswerFiles(tmp_path / name).read("train", 2)
    with pytest.raises(UserError, match="none is train"):
        AnswerFiles(tmp_path).read("train", 2)


def test_no_more_is_unpacked_than_a_file_may_have(tmp_path, monkeypatch):
    (tmp_path / "large.jsonl.gz").write_bytes(gzip.compress(b" " * 100_000))
    monkeypatch.setenv("LIGHTLOOM_MAX_BYTES", "5000")
    with pytest.raises(UserError, match="holds more than"):
        AnswerFiles(tmp_path / "large.jsonl.gz").read("train", 2)


# --- as ids


def test_a_batch_has_prompt_answer_and_its_end():
    data = module(PreferencesDataModule, given(Answered("ab", ("cde", "f")), Answered("q", ("c", "d"), (2.0, 1.0))))
    data.setup()
    found = data.split("train")[torch.tensor([0, 1]), torch.zeros(2)]
    end, decode = data.split("train").end, data.tokens.decode
    assert [[decode(ids.tolist()) for ids in pair] for pair in found.ids] == [["abcde", "abf"], ["qc", "qd"]]
    lengths = (found.ids != 0).sum(2)
    assert lengths.tolist() == [[6, 4], [3, 3]]
    assert (found.ids.gather(2, lengths[..., None] - 1) == end).all()
    assert found.starts.tolist() == [2, 1]
    assert found.rewards[1].tolist() == [2, 1]
    assert found.rewards[0].isnan().all()


def test_a_single_answer_is_asked_for_from_its_first_id_to_its_end():
    data = module(AnswersDataModule, given(Answered("ab", ("cde",)), Answered("q", ("c",))))
    data.setup()
    ids, targets = data.split("train")[torch.tensor([0]), torch.zeros(1)]
    asked = targets[0] != IGNORE
    assert asked.tolist() == [False, True, True, True, True, *[False] * (len(asked) - 5)]
    assert targets[0][asked].tolist() == [*data.tokens.encode("cde"), data.split("train").end]
    assert torch.equal(ids[0, 1:][asked[:-1]], targets[0, :-1][asked[:-1]])


def test_what_does_not_fit_is_refused_or_left_out():
    items = [Answered("p" * n, ("a" * 20, "b"), where=f"pairs.jsonl:{n}") for n in (1, 12, 2)]
    said = r"2 of 3 pairs of train do not fit .*_size=22, the longest has 33 ids \(pairs.jsonl:12\); set a larger"
    with pytest.raises(UserError, match=said):
        module(PreferencesDataModule, given(*items), block_size=22).setup()
    kept = module(PreferencesDataModule, given(*items), block_size=22, longer="leave_out")
    kept.setup()
    assert len(kept.split("train")) == 1
    assert "left out of train: 2 longer than data.block_size=22" in kept.summary().notes
    with pytest.raises(UserError, match="3 of 3 pairs"):
        module(PreferencesDataModule, given(*items), block_size=9, longer="leave_out").setup()


def test_equal_prompts_stay_in_one_part():
    items = [Answered(f"p{i % 7}", (f"a{i}", "b")) for i in range(40)]
    data = module(PreferencesDataModule, given(*items, parts=["train"]), val_fraction=0.3, test_fraction=0.2)
    data.setup()
    parts = [{item.prompt for item in data.split(name).items} for name in ("train", "val", "test")]
    assert [len(part) for part in parts] == [4, 2, 1]
    assert sum(len(data.split(name)) for name in ("train", "val", "test")) == 40


def test_an_answer_ends_with_an_id_that_is_no_padding():
    assert end_of(Characters(specials=["<other>", EOS]), "\n") == 3
    assert end_of(Characters().learn(["a\n"]), "\n") > 1
    with pytest.raises(UserError, match=r"no single id of the vocabulary; .*specials=\[.<eos>.\]"):
        end_of(Words().learn(["a b"]), "\n")
    assert ended([5, 6, 2, 7], 2) == [5, 6]
    assert ended([5, 6], 2) == [5, 6]


def test_it_adopts_the_vocabulary_of_a_text_and_its_end():
    data = module(AnswersDataModule, given(Answered("ab", ("c",)), Answered("q", ("c",))))
    data.adopt({"vocabulary": Characters().learn(["abc\n"]).to_state()})
    data.setup()
    assert data.facts() == {"vocab_size": 6}
    split = data.split("train")
    assert split.end == data.tokens.encode("\n")[0]


# --- deeds


def test_deeds_are_functions_of_part_and_number_and_all_are_known():
    short, long = Deeds(Share(), 3, 2, 2, seed=1), Deeds(Share(), 9, 2, 2, seed=1)
    assert long.read("train", 2).items[:3] == short.read("train", 2).items
    for item in long.read("train", 2).items:
        every = answers_to(item.prompt)
        assert len({*every}) == 240
        assert {*item.answers} <= {*every}
        assert item.answers[0] != item.answers[1]
        assert list(item.rewards) == pytest.approx(Share()([""] * 2, item.answers).tolist())


def test_a_labeller_errs_as_often_as_bradley_and_terry_say():
    """Within three standard errors; with hardly any noise never."""
    every = Share()([""] * 240, answers_to("The shy fox was called Ada.")).double()
    apart = every[:, None] - every
    expected = float((apart.abs()[apart != 0] / 0.2).sigmoid().mean())
    items = Deeds(Share(), 3000, 1, 1).read("train", 2).items
    differ = [item.rewards[0] > item.rewards[1] for item in items if item.rewards[0] != item.rewards[1]]
    assert sum(differ) / len(differ) == pytest.approx(expected, abs=3 * 0.5 / len(differ) ** 0.5)
    sure = Deeds(Share(), 200, 1, 1, temperature=1e-6).read("train", 2).items
    assert all(item.rewards[0] >= item.rewards[1] for item in sure)
