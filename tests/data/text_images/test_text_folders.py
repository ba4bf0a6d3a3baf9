"""Texts from names of files and from tables; what is wrong is said with its file in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.data.text_images.augment import TextAugment
from lightloom.data.text_images.datamodule import TextImageDataModule
from lightloom.data.text_images.folders import TextImageFolder, rows


def pictures(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("L", (50, 20), 255).save(folder / name)
    return folder


def datamodule(root: Path, alphabet: str | None = None, lengths=(None, None), **options) -> TextImageDataModule:
    reader = TextImageFolder(root, **options)
    return TextImageDataModule(
        **{"reader": reader, "name": "own", "kind": "text_images", "alphabet": alphabet, "num_symbols": None},
        **{"min_length": lengths[0], "max_length": lengths[1], "channels": 1, "height": 32, "width": 112},
        **{"mean": [0.5], "std": [0.25], "batch_size": 2, "eval_batch_size": 2, "augment": TextAugment()},
    )


def test_the_text_is_the_files_name(tmp_path):
    pictures(tmp_path, "ab1.png", "b2.png")
    split = TextImageFolder(tmp_path).read("train")
    assert split.texts == ["ab1", "b2"]
    assert split[0].shape == (1, 20, 50)
    assert TextImageFolder(tmp_path).read("test") is None


def test_up_to_a_separator_and_in_one_case(tmp_path):
    pictures(tmp_path, "Ab1_0.png", "Ab1_1.png")
    assert TextImageFolder(tmp_path, separator="_", case="upper").read("train").texts == ["AB1", "AB1"]
    pictures(tmp_path, "_2.png")
    with pytest.raises(UserError, match=r"_2\.png: its name has no text before '_'"):
        TextImageFolder(tmp_path, separator="_").read("train")


@pytest.mark.parametrize("head", ["", "file,text\n", "filename,label\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_table_beside_the_pictures(tmp_path, head, mark):
    """With a row of names or without, and with the mark that some editors put in front of UTF-8."""
    pictures(tmp_path / "val", "1.png")
    pictures(tmp_path / "train", "1.png", "2.png")
    (tmp_path / "train/labels.csv").write_text(f'{mark}{head}2.png,"x,y"\n1.png, 007 \n\n', encoding="utf-8")
    reader = TextImageFolder(tmp_path)
    assert reader.read("train").texts == ["007", "x,y"]
    assert reader.read("val").texts == ["1"]


def test_a_table_that_is_named_is_of_all_parts(tmp_path):
    pictures(tmp_path / "train", "1.png")
    pictures(tmp_path / "test", "2.png")
    (tmp_path / "all.tsv").write_text("train/1.png\ta b\ntest/2.png\tc\n")
    reader = TextImageFolder(tmp_path, labels="all.tsv")
    assert [reader.read(part).texts for part in ("train", "test")] == [["a b"], ["c"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1.png\n", "line 1: expected a file and its text"),
        (b"1.png,a,b\n", "line 1: expected a file and its text"),
        (b"1.png,\n", "line 1: expected a file and its text"),
        (b"1.png,a\n1.png,b\n", "line 2: '1.png' had the text 'a' before"),
        (b"1.png,caf\xe9\n", "is no text in UTF-8"),
        (b"1.png,a\x00\n", "which is not in data.alphabet|is no CSV"),
        (b"2.png,a\n", r"1 of 1 pictures have no row, as 1\.png"),
        (b"", r"1 of 1 pictures have no row, as 1\.png"),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_one_line(tmp_path, content, said):
    pictures(tmp_path, "1.png")
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        datamodule(tmp_path, alphabet="abc").facts()
    assert "labels.csv" in str(caught.value) or "1.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_survive_a_spreadsheets_apostrophe(tmp_path):
    (tmp_path / "t.csv").write_text("a.png,'=1+2\n")
    assert rows(tmp_path / "t.csv") == [("a.png", "=1+2")]


def test_facts_are_found_in_all_parts(tmp_path):
    pictures(tmp_path / "train", "ab.png", "ba.png", "aab.png")
    pictures(tmp_path / "test", "cbab.png")
    data = datamodule(tmp_path)
    assert data.facts() == {"alphabet": "abc", "num_symbols": 3, "min_length": 2, "max_length": 4}
    data.val_fraction = 0.34
    data.setup("fit")
    assert "no training text has c" in str(data.summary())
    assert data.most_columns() in [("aab", 4), ("cbab", 4)]


def test_an_illegal_symbol_is_named_with_its_file(tmp_path):
    pictures(tmp_path, "ab.png", "aé.png")
    with pytest.raises(UserError, match=r"aé\.png: its text 'aé' has 'é', which is not in data\.alphabet \(ab\)"):
        datamodule(tmp_path, alphabet="ab").facts()
    with pytest.raises(UserError, match=r"data\.alphabet has 'a' twice"):
        datamodule(tmp_path, alphabet="aba").facts()
    with pytest.raises(UserError, match=r"its text 'ab' has 2 symbols, but data\.min_length is 3"):
        datamodule(tmp_path, lengths=(3, 4)).facts()


def test_a_set_before_a_model_takes_its_alphabet(tmp_path):
    """Codes are those of the model; a text that it cannot write is refused."""
    pictures(tmp_path, "ba.png", "ab.png")
    data = datamodule(tmp_path)
    data.match({"alphabet": "xab"}, labelled=True)
    assert data.facts()["alphabet"] == "xab"
    images, codes = next(iter(data.eval_loader("all")))
    assert images.shape == (2, 1, 32, 112)
    assert codes.tolist() == [[2, 3], [3, 2]]


def test_places_that_hold_nothing_are_said(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        TextImageFolder(tmp_path / "no").read("train")
    with pytest.raises(UserError, match="no pictures there"):
        TextImageFolder(tmp_path).read("train")
    (pictures(tmp_path, "a.png") / "b.png").write_bytes(b"no picture")
    data = datamodule(tmp_path, lengths=(1, 1))
    data.val_fraction = 0.5
    data.setup("validate")
    (wrong,) = [path.name for files in data.unreadable().values() for path in files]
    assert wrong == "b.png"
