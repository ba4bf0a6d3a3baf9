"""Texts on disk as people have them: encodings, marks, quotes, empty lines; each mistake is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import real
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.data.auto import recognise
from lightloom.data.text.readers import TextFolder, TextLines, TextTable


def files(root: Path, **content: str | bytes) -> Path:
    """`a__b_txt="..."` is root/a/b.txt."""
    for name, text in content.items():
        stem, _, ending = name.replace("__", "/").rpartition("_")
        path = root / f"{stem}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def pairs(reader, split: str = "train") -> list[tuple[str, str]]:
    found = reader.read(split)
    return list(zip(found.texts, [reader.classes[i] for i in found.labels.tolist()], strict=True))


def test_a_file_of_lines_for_each_class(tmp_path):
    reader = TextLines(files(tmp_path, good_txt="fine\n\n  so  good \r\n", bad_txt="dull", readme_txt="by nobody"))
    assert reader.classes == ["bad", "good"]
    assert pairs(reader) == [("dull", "bad"), ("fine", "good"), ("so good", "good")]
    found = reader.read("train")
    assert found.names == ["bad.txt:1", "good.txt:1", "good.txt:3"]
    assert found.notes == ("left out: empty texts, 1",)
    assert reader.read("test") is None


def test_files_of_one_name_have_their_class_at_the_end(tmp_path):
    assert TextLines(files(tmp_path, reviews_pos="a", reviews_neg="b")).classes == ["neg", "pos"]


def test_files_may_be_named(tmp_path):
    reader = TextLines(files(tmp_path, one_dat="a\nb", two_dat="c"), {"x": "two.dat", "y": "one.dat"})
    assert pairs(reader) == [("c", "x"), ("a", "y"), ("b", "y")]


def test_parts_are_folders(tmp_path):
    files(tmp_path, train__a_txt="1", train__b_txt="2", Test__a_txt="3", Test__b_txt="4\n5", dev__a_txt="6")
    (tmp_path / "dev/b.txt").write_text("7")
    reader = TextLines(tmp_path)
    assert [len(reader.read(part)) for part in ("train", "val", "test")] == [2, 2, 3]


def test_a_folder_of_files_for_each_class(tmp_path):
    files(tmp_path, train__pos__0_txt="so\ngood", train__neg__0_txt="dull", train__neg__1_txt="", test__pos__9_txt="x")
    reader = TextFolder(tmp_path)
    assert pairs(reader) == [("dull", "neg"), ("so good", "pos")]
    assert reader.read("train").notes == ("left out: empty texts, 1",)
    assert pairs(reader, "test") == [("x", "pos")]


def test_a_test_folder_without_classes_has_no_labels(tmp_path):
    found = TextFolder(files(tmp_path, train__a__0_txt="1", train__b__0_txt="2", test__7_txt="3")).read("test")
    assert (found.texts, found.labels, found.names) == (["3"], None, ["7.txt"])


TABLES = {
    "quotes, commas and breaks in cells": ("t.csv", {}, 'text,label\n"a, ""b""\nc",1\nd,0\n'),
    "columns by number": ("t.csv", {"text": 1, "label": 0}, '1,"a, ""b""\nc"\n0,d\n'),
    "several columns of text": ("t.csv", {"text": ["x", "y"], "label": "z"}, 'x,z,y\n"a,",1,"""b"" c"\nd,0,\n'),
    "quotes of a tsv are letters": ("t.tsv", {}, 'text\tlabel\na, "b" c\t1\nd\t0\n'),
    "a quoted tsv": ("t.tsv", {"quoted": True}, 'text\tlabel\n"a, ""b""\tc"\t1\nd\t0\n'),
    "a mark in front and returns": ("t.csv", {}, '\ufefftext,label\r\n"a, ""b"" c",1\r\n\r\nd,0\r\n'),
}


@pytest.mark.parametrize("quirk", TABLES)
def test_a_table_is_read_with_its_quirks(tmp_path, quirk):
    name, options, content = TABLES[quirk]
    (tmp_path / name).write_bytes(content.encode())
    for root in (tmp_path, tmp_path / name):
        reader = TextTable(root, **options)
        assert reader.classes == ["0", "1"]
        assert pairs(reader) == [('a, "b" c', "1"), ("d", "0")]


def test_labels_of_numbers_are_in_their_order(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"t{n},{n}\n" for n in (10, 9, -1, 100)))
    assert TextTable(tmp_path).classes == ["-1", "9", "10", "100"]


def test_a_test_table_may_lack_labels(tmp_path):
    files(tmp_path, train_csv="text,label\na,x\nb,y\n", test_csv="id,text\n1,c\n")
    found = TextTable(tmp_path).read("test")
    assert (found.texts, found.labels) == (["c"], None)


def test_a_line_of_another_encoding_may_hold_any_of_its_letters(tmp_path):
    """In Latin-1, \\x85 ends no line."""
    files(tmp_path, a_txt="caf\u00e9 one\x85two\n".encode("latin-1"), b_txt="x")
    assert TextLines(tmp_path, encoding="latin-1").read("train").texts == ["caf\u00e9 one two", "x"]


WRONG = {
    "latin-1": (TextLines, {"a_txt": "caf\u00e9".encode("latin-1"), "b_txt": "x"}, r"UTF-8 .* byte 3\); save it"),
    "utf-16": (TextLines, {"a_txt": "film".encode("utf-16"), "b_txt": "x"}, "set data.encoding, such as"),
    "a NUL byte": (TextFolder, {"a__0_txt": "x\ny\0z", "b__0_txt": "x"}, r"0\.txt: has a NUL byte in line 2"),
    "no folder": (lambda root: TextLines(root / "away"), {"a_txt": "x"}, "there is no such folder; set data.root"),
    "no files": (TextLines, {"a_dat": "x", "b_dat": "y"}, r"expected .*/<class>\.txt for each class"),
    "no class folders": (TextFolder, {"a_txt": "x"}, r"expected .*/<class>/\*\.txt"),
    "a file that is not there": (lambda root: TextLines(root, {"a": "b.txt"}), {"a_txt": "x"}, "there is no such file"),
    "a class of the test alone": (
        TextFolder,
        {"train__a__0_txt": "x", "train__b__0_txt": "x", "test__c__0_txt": "x"},
        "has c, which is no class of the training texts",
    ),
    "a part twice": (TextLines, {"train__a_txt": "x", "training__a_txt": "x"}, "train and training are both train"),
    "no table": (TextTable, {"a_txt": "x"}, r"expected train\.csv"),
    "no such column": (TextTable, {"train_csv": "words,label\na,1\n"}, "has no column 'text'; it has words, label"),
    "a row too short": (TextTable, {"train_csv": "text,label\na,1\nb\n"}, "row 3 has 1 cells, the first one 2"),
    "a comma without quotes": (TextTable, {"train_csv": "text,label\na, b,1\n"}, "row 2 has 3 cells, the first one 2"),
    "an open quote": (TextTable, {"train_csv": 'text,label\n"a,1\n' + "b,0\n" * 9}, r"data\.reader\.quoted=false"),
    "no label": (TextTable, {"train_csv": "text,label\na,\n"}, "row 2 has no label"),
    "empty": (TextTable, {"train_csv": ""}, "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_one_sentence(tmp_path, mistake):
    reader, content, said = WRONG[mistake]
    files(tmp_path, **content)
    with pytest.raises(UserError, match=said) as error:
        _ = [reader(tmp_path).classes, *map(reader(tmp_path).read, ("train", "test"))]
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path)) or "data.root=" in str(error.value)


def test_an_encoding_that_nobody_knows_is_said(tmp_path):
    files(tmp_path, a_txt="x", b_txt="y")
    with pytest.raises(UserError, match="utf-99"):
        TextLines(tmp_path, encoding="utf-99").read("train")


def test_sentences_of_reviews():
    reader = TextLines(real("text/rt-polarity"))
    assert reader.classes == ["neg", "pos"]
    found = reader.read("train")
    assert found.labels.bincount().tolist() == [5331, 5331]
    assert len({*found.texts}) == 10662


def test_texts_are_recognised(tmp_path):
    files(tmp_path, folders__train__pos__0_txt="x", folders__train__neg__0_txt="y", folders__test__pos__0_txt="z")
    files(tmp_path, table__train_csv='\ufeffid,"text",label\n1,a,b\n', other__train_csv="id,words,label\n1,a,b\n")
    found = recognise(tmp_path / "folders")
    assert (found.choice, found.seen) == ("text_folder", "3 .txt files in folders of 2 classes, in parts test, train")
    assert recognise(tmp_path / "table").choice == "text_table"
    with pytest.raises(UserError, match=r"nothing in .* is known"):
        recognise(tmp_path / "other")
    Image.new("RGB", (8, 8)).save(tmp_path / "folders/train/pos/0.png")  # texts beside images are no texts
    with pytest.raises(UserError, match=r"nothing in .* is known"):
        recognise(tmp_path / "folders")
