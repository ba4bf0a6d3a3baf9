"""One bad line, row or file among good ones: it is named, and the others are read. All models: benchmarks/attacks."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from lightloom.core.errors import UserError
from lightloom.predict.faults import Faults
from lightloom.predict.language import answering
from lightloom.predict.masks import command as masks
from lightloom.predict.rewards.command import pairs_of
from lightloom.predict.text.command import texts_of
from lightloom.predict.translation.command import lines

GOOD = ["a good film", "so it goes", "the end"]


@pytest.fixture
def faults(tmp_path):
    return Faults(tmp_path / "out")


def beside(bad: bytes) -> bytes:
    return b"\n".join([GOOD[0].encode(), bad, *(text.encode() for text in GOOD[1:])]) + b"\n"


@pytest.mark.parametrize("bad", [b"\xff", b"caf\xe9", b"a\0b", b"\xed\xa0\x80"])
def test_a_line_or_row_that_is_no_text_is_left_out(tmp_path, faults, bad):
    asked = OmegaConf.create({"text_column": "text", "encoding": "utf-8"})
    for name, head in (("a.txt", b""), ("a.csv", b"text\n"), ("a.tsv", b"text\n")):
        (tmp_path / name).write_bytes(head + beside(bad))
        found = texts_of(OmegaConf.merge(asked, {"input": str(tmp_path / name)}), OmegaConf.create({}), faults)
        assert [text for _, text in found] == GOOD
    (tmp_path / "folder").mkdir()
    for i, text in enumerate((beside(b"x"), bad, b" \n", GOOD[1].encode())):
        (tmp_path / f"folder/{i}.txt").write_bytes(text)
    found = texts_of(OmegaConf.merge(asked, {"input": str(tmp_path / "folder")}), OmegaConf.create({}), faults)
    assert [text for _, text in found] == [" ".join([GOOD[0], "x", *GOOD[1:]]), GOOD[1]]
    assert [name.rpartition("/")[2] for name, _ in faults.found] == ["a.txt:2", "a.csv:3", "a.tsv:3", "1.txt", "2.txt"]


def test_a_row_with_other_cells_is_left_out(tmp_path, faults):
    (tmp_path / "a.csv").write_text("text,n\na good film,1\nso it goes\nthe end,3\n")
    asked = OmegaConf.create({"text_column": "text", "encoding": "utf-8", "input": str(tmp_path / "a.csv")})
    assert [text for _, text in texts_of(asked, OmegaConf.create({}), faults)] == [GOOD[0], GOOD[2]]
    with pytest.raises(UserError, match=r"1 of 3 inputs were left out.*\n.*row 3 has 1 cells"):
        faults.finish(2)


def test_a_line_that_is_not_translated_keeps_its_place(tmp_path, faults):
    (tmp_path / "a.txt").write_bytes(beside(b"\xff"))
    assert [text for _, text in lines(str(tmp_path / "a.txt"), "utf-8", faults)] == [GOOD[0], "", *GOOD[1:]]
    (tmp_path / "b.txt").write_bytes("\n".join(GOOD).encode("utf-16")[:-1])  # of which nothing can be said by lines
    assert len(lines(str(tmp_path), "utf-16", faults)) == 0
    assert [name.rpartition("/")[2] for name, _ in faults.found] == ["a.txt:2", "a.txt", "b.txt"]


def test_a_pair_that_is_none_or_too_long_is_left_out(tmp_path, faults):
    def ids(prompt: str, answer: str) -> None:
        if len(answer) > 20:
            raise UserError("too long")

    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    wrong = [{}, [], {**pair, "chosen": None}, {**pair, "rejected": "x" * 30}, {**pair, "prompt": ""}]
    rows = [json.dumps(one).encode() for one in (pair, *wrong, pair)] + [b"{", b'{"prompt": "\xff"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows))
    found = list(pairs_of(str(tmp_path / "a.jsonl"), SimpleNamespace(ids=ids), faults))
    assert found == [("a", "b", "c")] * 2
    assert {name for name, _ in faults.found} == {f"a.jsonl:{number}" for number in (2, 3, 4, 5, 6, 8, 9)}


def test_a_prompt_that_leaves_no_room_is_left_out(tmp_path, faults):
    def answers(prompt: str, *args: object, **options: object) -> list[tuple[str, list[int]]]:
        if len(prompt) > 20:
            raise UserError("no room")
        return [("yes", [1])]

    (tmp_path / "a.txt").write_bytes(beside(b"x" * 30) + b"\xff\n")
    cfg = OmegaConf.create({"input": str(tmp_path / "a.txt"), "seed": 0, "num_samples": 1})
    cfg.update({"num_tokens": 3, "temperature": 1.0, "top_k": None})
    author = answering.Author("one", SimpleNamespace(answers=answers))
    found = list(answering.answered(cfg, [author], None, faults))
    assert [prompt for prompt, _ in found] == GOOD
    assert [name for name, _ in faults.found] == ["a.txt:2", "a.txt:5"]


def test_two_pictures_of_one_stem_have_a_mask_each(tmp_path):
    from PIL import Image

    for name, size in (("a.png", (8, 6)), ("a.bmp", (4, 10))):
        Image.new("RGB", size).save(tmp_path / name)
    options = {"input": str(tmp_path), "watch": False, "idle": None, "format": None, "batch_size": None}
    options |= {"num_workers": 0, "tile": None, "tile_overlap": 0.25, "min_area": 0, "roi": None}
    cfg = OmegaConf.create({**options, "paths": {"output_dir": str(tmp_path / "out")}})
    trained = OmegaConf.create({"data": {"channels": 3, "classes": ["sky", "river"]}})
    same = SimpleNamespace(predict=lambda images, *_: [torch.zeros(x.shape[1:], dtype=torch.uint8) for x in images])
    masks.run(cfg, trained, same)
    assert sorted(Image.open(path).size for path in (tmp_path / "out/masks").iterdir()) == [(4, 10), (8, 6)]
    with (tmp_path / "out/areas.csv").open() as file:
        assert {row["file"] for row in csv.DictReader(file)} == {"a.png", "a.bmp"}
