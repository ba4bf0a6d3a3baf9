"""Parts are found where their files lie, and a broken one is one sentence."""

import sys

import pytest

from lightloom.core.discovery import discover
from lightloom.core.errors import UserError


@pytest.fixture
def package(tmp_path, monkeypatch) -> str:
    """A package with two parts, and a file that is none."""
    for name in ("found_parts/b/part.py", "found_parts/a/part.py", "found_parts/a/other.py", "found_parts/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("here = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "found_parts"
    for name in [name for name in sys.modules if name.startswith("found_parts")]:
        del sys.modules[name]


def test_files_that_match_are_imported_in_the_order_of_their_names(package):
    assert [module.__name__ for module in discover(package, "*/part.py")] == [
        "found_parts.a.part",
        "found_parts.b.part",
    ]
    assert discover(package, "*.py") == []


def test_a_part_that_cannot_be_imported_is_one_sentence(package, tmp_path):
    (tmp_path / "found_parts/c").mkdir()
    (tmp_path / "found_parts/c/part.py").write_text("import no_such_library\n")
    with pytest.raises(
        UserError, match=r"^found_parts\.c\.part cannot be imported \(No module named 'no_such_library'"
    ):
        discover(package, "*/part.py")
