"""Tables beside images: read as people write them, or refused with the row that is wrong."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.data.boxes.scenes import DigitScenes
from lightloom.data.targets.of_boxes import ObjectsAsTargets
from lightloom.data.targets.tables import TagTable, ValueTable, spread

READ = {  # table -> names, targets of the training images
    "one column, |": ("file,tags\na.png,sea|sky\nb.png,\nc.png,sky\n", ["sea", "sky"], [[1, 1], [0, 0], [0, 1]]),
    "one column, spaces": ("image,tags\na.png,x y\nb.png,y\nc.png,x\n", ["x", "y"], [[1, 1], [0, 1], [1, 0]]),
    "one column, commas": ('file,tags\na.png,"a b, c"\nb.png,c\nc.png,\n', ["a b", "c"], [[1, 1], [0, 1], [0, 0]]),
    "a column each": ("file,sea,sky\na.png,1,0\nb.png,0,0\nc.png,True,1.0\n", ["sea", "sky"], [[1, 0], [0, 0], [1, 1]]),
    "without suffixes": ("file,tags\na,x;y\nb,y\nc,\n", ["x", "y"], [[1, 1], [0, 1], [0, 0]]),
    "with a mark": ("\ufefffile,tags\na.png,x\nb.png,y\nc.png,y\n", ["x", "y"], [[1, 0], [0, 1], [0, 1]]),
}  # fmt: skip
REFUSED = {  # table -> what is said
    "an unknown file": ("file,tags\nz.png,x\n", r"labels\.csv, row 2: names 'z\.png', and there is no such image"),
    "twice": ("file,tags\na.png,x\na.png,y\n", r"row 3: a\.png has a row already \(row 2\)"),
    "neither 0 nor 1": ("file,x,y\na.png,1,2\n", r"row 2: y is '2'; expected 0 or 1"),
    "no row": ("file,tags\n", r"expected a first line with names \(file,labels\)"),
    "an unknown part": ("file,tags,split\na.png,x,tset\n", r"row 2: the part is 'tset'; expected train, val or test"),
    "nothing to learn": ("file,split\na.png,train\n", r"has no column but 'file'; add labels"),
}


@pytest.fixture
def images(tmp_path):
    for name in "abc":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize("case", READ)
def test_labels_are_read_as_people_write_them(case, images):
    text, names, targets = READ[case]
    (images / "labels.csv").write_text(text, encoding="utf-8")
    table = TagTable(images)
    split = table.read("train")
    assert split is not None
    assert (table.classes, split.labels.tolist()) == (names, targets)
    assert [path.name for path in split.paths] == ["a.png", "b.png", "c.png"]
    assert table.read("test") is None


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_row_is_named(case, images):
    text, said = REFUSED[case]
    (images / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        TagTable(images).read("train")


def test_values_are_numbers_of_the_columns_that_are_asked_for(images):
    (images / "ages.csv").write_text(
        "file,who,age,height,Split\na.png,x,3,1.5,train\nb.png,y,5,1.5,train\nc.png,z,9,2,test\n"
    )
    table = ValueTable(images, columns=["age", "height"])
    assert table.classes == ["age", "height"]
    assert table.read("train").labels.tolist() == [[3, 1.5], [5, 1.5]]
    assert table.read("test").labels.tolist() == [[9, 2]]
    assert spread(table.read("train").labels) == ([4, 1.5], [1, 1])
    for cell in ("", "tall", "nan", "inf"):
        (images / "ages.csv").write_text(f"file,age\na.png,{cell}\n")
        with pytest.raises(UserError, match=rf"row 2: age is '{cell}'; expected a number"):
            ValueTable(images).read("train")


def test_several_tables_are_one_to_choose(images):
    for name in ("one", "two"):
        (images / f"{name}.csv").write_text("file,tags\na.png,x\n")
    with pytest.raises(UserError, match=r"it has 2 \(one\.csv, two\.csv\); set data\.root, or data\.reader\.table"):
        TagTable(images).read("train")
    assert TagTable(images, table="two.csv").classes == ["x"]
    with pytest.raises(UserError, match=r"three\.csv: there is no such file"):
        TagTable(images, table="three.csv").read("train")


@pytest.mark.parametrize("counts", [False, True])
def test_objects_are_counted(counts):
    scenes = DigitScenes(64, 5, 1, 1, 3)
    split = ObjectsAsTargets(scenes, counts).read("train")
    for i in range(5):
        labels = scenes.read("train")[i][1]["labels"].tolist()
        expected = [labels.count(k) if counts else int(k in labels) for k in range(1, 11)]
        assert split.labels[i].tolist() == expected
    assert split.images.shape == (5, 3, 64, 64)
    assert split.images.dtype == torch.uint8
