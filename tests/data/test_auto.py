"""`data=auto`: what a folder holds is recognised, said in one line, and read as the layout that it has."""

from __future__ import annotations

import pytest
from conftest import real
from PIL import Image

from lightloom.cli.launch import prepared
from lightloom.core.errors import UserError
from lightloom.data.auto import recognise
from lightloom.data.images.layout import part_named
from lightloom.data.listing import list_folder


@pytest.fixture
def pets(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "pets" / name / "0.png")
    return tmp_path / "pets"


def test_the_layout_takes_the_place_of_the_word_and_is_said(pets, capsys):
    given, _ = prepared(["data=auto", f"data.root={pets}", "data.image_size=8"], "inspect_data")
    assert "data=image_folder" in given
    assert f"data.root={pets}" in given
    assert capsys.readouterr().out == "data=auto: 2 images in folders of 2 classes: read as data=image_folder.\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["data=auto"], "say which: data.root=<folder>"),
        (["data=auto", "data.root=nowhere"], "data.root=nowhere: there is no such folder"),
        (["-m", "data=auto,digits", "data.root=."], "one folder is recognised at a time"),
        (["-m", "data=auto", "data.root=a,b"], "one folder is recognised at a time"),
    ],
)
def test_one_folder_is_named(line, said):
    with pytest.raises(UserError, match=said):
        prepared(line, "train")


def test_what_is_unknown_is_told_with_what_was_seen(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/x.doc", "a/y.doc", "z.md"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"nothing in .* \(it has the folder itself \(1 \.md\), a/ \(2 \.doc\)\)"):
        recognise(tmp_path)


def test_two_layouts_in_one_folder_are_both_named(tmp_path):
    for name in "ab":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "a.xml").write_text("<annotation></annotation>")
    with pytest.raises(UserError, match=r"\(data=voc\) and .* \(data=yolo\); choose one with data=<name>"):
        recognise(tmp_path)


@pytest.mark.parametrize(("name", "choice"), [("bccd", "voc"), ("cifar10_small", "image_folder")])
def test_real_folders_are_known(name, choice):
    assert recognise(real(name)).choice == choice


def test_a_link_is_followed_and_a_circle_is_seen(tmp_path):
    (tmp_path / "set/inner").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x.png").touch()
    (tmp_path / "set/inner/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/images").symlink_to(tmp_path / "other")
    (tmp_path / "set/.hidden").touch()
    assert list_folder(tmp_path / "set").files == (tmp_path / "set/images/x.png",)


@pytest.mark.parametrize(
    ("word", "part"),
    [("Training", "train"), ("train2017", "train"), ("VALID", "val"), ("validation", "val"), ("Testing", "test")],
)
def test_parts_as_people_call_them(word, part):
    assert part_named(word) == part
    assert part_named(f"un{word}") is None
