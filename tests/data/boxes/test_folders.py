"""Each folder of box_folders.py is recognised and read with exactly its boxes, classes and parts, or else refused."""

from __future__ import annotations

import contextlib
import logging
import random
import re
from pathlib import Path

import pytest
import torch
from box_folders import IMAGES, READ, REFUSED, datamodule

from lightloom.core.discovery import discover
from lightloom.core.errors import UserError
from lightloom.data.auto import recognise


@pytest.mark.parametrize("name", READ)
def test_a_folder_is_read_as_it_is(name, tmp_path, caplog):
    row, root = READ[name], tmp_path / "set"
    root.mkdir()
    row.build(root)
    assert recognise(root).choice == row.choice
    data = datamodule(root, row.choice, row.options)
    with caplog.at_level(logging.INFO, "lightloom"):
        classes = list(row.classes)
        assert data.facts() == {"num_classes": len(classes), "classes": classes, "has_masks": row.has_masks}
        found = {part: split for part in ("train", "val", "test") if (split := data.reader.read(part))}
        if len(found["train"]) > 1 or "val" in found:
            data.setup("fit")
        else:
            data._checked(found["train"], "train")
    assert {part: [Path(n.replace("\\", "/")).stem for n in split.names] for part, split in found.items()} == {
        part: list(names) for part, names in row.parts.items()
    }
    for split in found.values():
        checked = data._checked(split, "looked at")
        for known in checked.annotations:
            stem = Path(known.name.replace("\\", "/")).stem
            truth = row.boxes.get(stem, IMAGES[stem])
            assert [row.classes[label - 1] for label in known.labels.tolist()] == [label for label, _ in truth]
            expected = torch.tensor([box for _, box in truth], dtype=torch.float32).reshape(-1, 4)
            assert torch.allclose(known.boxes, expected, atol=1e-4)
            assert known.path.is_file()
            if row.has_masks:
                masks = known.masks.read((48, 64))
                assert masks.flatten(1).sum(1).tolist() == ((expected[:, 2:] - expected[:, :2]).prod(1)).tolist()
    for words in row.told:
        assert words in caplog.text
    assert row.told or not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_is_refused_in_one_line(name, tmp_path, caplog):
    row, root = REFUSED[name], tmp_path / "set"
    root.mkdir()
    row.build(root)
    with caplog.at_level(logging.INFO, "lightloom"), pytest.raises(UserError) as caught:
        datamodule(root, row.choice, row.options).setup("fit")
    for words in row.says:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "clipped" not in caplog.text


def built(tmp_path: Path, name: str = "voc: Roboflow, train valid test", **more: object):
    """The datamodule of one of the folders."""
    row = READ[name]
    row.build(tmp_path / "set")
    data = datamodule(tmp_path / "set", row.choice, row.options)
    for option, value in more.items():
        setattr(data, option, value)
    return data


def test_one_line_says_what_was_found_and_mended(tmp_path):
    data = built(tmp_path, "voc: an image and an XML file alone")
    data.setup("fit")
    assert str(data.summary()) == (
        "2 images of 2 classes (train 1, val 1); 2 boxes; 1 XML files without an image are left out; "
        "1 images without an XML file are left out"
    )
    turned = built(tmp_path / "again", "voc: corners in reverse order")
    turned.setup("fit")
    assert turned.summary().notes == ("6 boxes", "boxes whose corners were in reverse order, turned round: 1")


@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_a_test_part_is_set_aside_by_the_seed(tmp_path, fraction):
    name = "voc: kangaroo, images and annots"
    drawn = []
    for i in range(2):
        data = built(tmp_path / str(i), name, test_fraction=fraction)
        data.setup("fit")
        assert data.can_be_tested()
        drawn.append({part: data.split(part).names for part in ("train", "val", "test")})
        assert sorted(n for names in drawn[-1].values() for n in names) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
        assert len(drawn[-1]["test"]) == 4 * fraction
    assert drawn[0] == drawn[1]
    evaluated = built(tmp_path / "eval", name, test_fraction=fraction)
    evaluated.setup("test")
    assert evaluated.split("test").names == drawn[0]["test"]
    whole = built(tmp_path / "own", test_fraction=fraction)  # its own test part stays
    whole.setup("test")
    assert whole.split("test").names == ["d.jpg"]


def test_a_whole_folder_is_measured_and_its_classes_are_those_of_the_model(tmp_path):
    data = built(tmp_path)
    data.match({"classes": ["ape", "cat", "cow", "dog"]}, labelled=True)
    assert data.facts()["classes"] == ["ape", "cat", "cow", "dog"]
    whole = data.split("all")
    assert whole.names == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert [known.labels.tolist() for known in whole.annotations] == [[2, 4], [4], [2], [4, 2]]
    assert data.summary().parts == {"all": 4}
    with pytest.raises(UserError, match="classes that the model does not know: dog; it knows cat"):
        built(tmp_path / "again").match({"classes": ["cat"]}, labelled=True)


def test_there_are_enough_of_them_and_of_each_layout():
    assert len(READ) >= 50
    assert len(REFUSED) >= 30
    found = (m.CHOICE for m in discover("lightloom.data.boxes", "*.py") if hasattr(m, "annotation_files"))
    layouts = {*found} - {"instance_maps"}
    for table in (READ, REFUSED):
        assert {row.choice for row in table.values()} == layouts


WORDS = ("", "null", "-1", "1e999", "[]", "{}", "true", '"x"', "9" * 20, "../../x", '"\\ud800"', "1.5", "<a/>", "\0")
PIECES = re.compile(r"-?\d+(\.\d+)?|\"[^\"]*\"|\[[^\[\]]*\]|\{[^{}]*\}|<[^<>]*>")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_is_read_or_refused_in_words(name, seed, tmp_path):
    """A piece of one of its files is something else, or the file ends early: never a fault of the program."""
    row, root, rng = READ[name], tmp_path / "set", random.Random(f"{name} {seed}")
    row.build(root)
    path = rng.choice(sorted(p for p in root.rglob("*") if p.suffix in (".xml", ".json", ".txt", ".yaml")))
    text = path.read_text(encoding="utf-8", errors="replace")
    piece = rng.choice([*PIECES.finditer(text)] or [re.search("$", text)])
    end = piece.end() if rng.random() < 0.8 else len(text)
    path.write_text(text[: piece.start()] + rng.choice(WORDS) + text[end:], encoding="utf-8")
    with contextlib.suppress(UserError):
        recognise(root)
    with contextlib.suppress(UserError):
        data = datamodule(root, row.choice, row.options)
        data.setup("fit")
        for known in data.split("train").annotations:
            assert ((known.boxes >= 0) & (known.boxes <= torch.tensor([64, 48, 64, 48]))).all()
            assert (known.boxes[:, 2:] > known.boxes[:, :2]).all()
