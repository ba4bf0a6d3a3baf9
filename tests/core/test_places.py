"""A project on the installed package is found from any folder in it, by its pyproject.toml."""

import pytest

from lightloom.core import places

THIN = '[tool.lightloom]\nkind = "thin"\npackages = ["mine"]\n'


@pytest.mark.parametrize("below", [".", "src", "src/mine/deep"])
def test_it_is_found_from_below(tmp_path, below):
    (tmp_path / "pyproject.toml").write_text(THIN)
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    assert places.find_project(tmp_path / below) == tmp_path


@pytest.mark.parametrize(
    "text", ["", "[tool.lightloom]\n", "kind = 'thin'\n", "[tool\n", "tool = 3\n", "[tool]\nlightloom = 1\n"]
)
def test_another_folder_is_none(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    assert places.find_project(tmp_path) is None


def test_in_a_clone_everything_is_the_clone():
    assert places.ROOT == places.CLONE
    assert places.CONFIG_FOLDERS == (places.CLONE / "configs",)
    assert places.spoken("train") == "python src/train.py"
    assert places.as_spoken("say python src/<command>.py --help") == "say python src/<command>.py --help"
