"""Each folder of box_folders.py is recognised and read with exactly its boxes, classes and parts, or else refused."""

from __future__ import annotations

import logging
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


def test_there_are_enough_of_them_and_of_each_layout():
    assert len(READ) >= 50
    assert len(REFUSED) >= 30
    layouts = {m.CHOICE for m in discover("lightloom.data.boxes", "*.py") if hasattr(m, "CHOICE")} - {"instance_maps"}
    for table in (READ, REFUSED):
        assert {row.choice for row in table.values()} == layouts
