"""make upgrade: what is new in the template is merged into a project, and what the project has changed stays."""

import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from lightloom.core.errors import UserError

FIRST = {"a.txt": "one\ntwo\nthree\nfour\nfive\n", "b.txt": "kept\n", "old/c.txt": "moves\n" * 9}


@pytest.fixture
def tools(monkeypatch):
    """The modules `upgrade` and `origin` of tools/."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import origin
    import upgrade

    return upgrade, origin


def git(project: Path, *arguments: str) -> str:
    own = ["git", "-c", "user.name=me", "-c", "user.email=me@here", *arguments]
    return subprocess.run(own, cwd=project, capture_output=True, text=True, check=True).stdout


def writes(files):
    """As `new.make`: the template's files, whatever is asked for."""

    def make(plan, project: Path) -> None:
        for name, text in files.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text)

    return make


@pytest.fixture
def project(tmp_path, tools) -> Path:
    """A project as it was made, without the branch that later ones have, and a change of its own."""
    where = tmp_path / "finch"
    writes({**FIRST, "src/finch/__init__.py": ""})(None, where)
    git(tmp_path, "init", "-q", "-b", "main", str(where))
    commit(where, "Begin")
    (where / "a.txt").write_text("ONE\ntwo\nthree\nfour\nfive\n")
    (where / "mine.txt").write_text("mine\n")
    commit(where, "Mine")
    return where


def commit(where: Path, message: str) -> None:
    git(where, "add", "-A")
    git(where, "commit", "-qm", message)


def test_both_changes_are_there_and_a_moved_file_is_moved(project, tools, capfd):
    now = {"a.txt": "one\ntwo\nthree\nfour\nFIVE\n", "b.txt": "kept\n", "new/c.txt": FIRST["old/c.txt"]}
    now["src/finch/__init__.py"] = ""
    assert tools[0].upgrade(project, writes(now)) == 0
    assert (project / "a.txt").read_text() == "ONE\ntwo\nthree\nfour\nFIVE\n"
    assert (project / "mine.txt").read_text() == "mine\n"
    assert [(project / f"{folder}/c.txt").exists() for folder in ("old", "new")] == [False, True]
    assert git(project, "status", "--porcelain") == ""
    assert tools[0].upgrade(project, writes(now)) == 0  # again
    assert "Nothing is new" in capfd.readouterr().out


def test_the_next_upgrade_begins_where_the_last_one_ended(project, tools):
    for last in ("5", "6"):
        files = {**FIRST, "a.txt": f"one\ntwo\nthree\nfour\n{last}\n", "src/finch/__init__.py": ""}
        assert tools[0].upgrade(project, writes(files)) == 0
        assert (project / "a.txt").read_text() == f"ONE\ntwo\nthree\nfour\n{last}\n"


def test_a_conflict_is_shown_in_the_file(project, tools, capfd):
    files = {**FIRST, "a.txt": "1\ntwo\nthree\nfour\nfive\n", "src/finch/__init__.py": ""}
    assert tools[0].upgrade(project, writes(files)) == 1
    assert "Both have changed: a.txt." in capfd.readouterr().out
    assert "<<<<<<<" in (project / "a.txt").read_text()


def test_what_is_not_committed_is_not_merged_into(project, tools):
    (project / "a.txt").write_text("draft\n")
    with pytest.raises(UserError, match=r"changes that are not committed \(1 files\); commit them"):
        tools[0].upgrade(project, writes(FIRST))
    assert (project / "a.txt").read_text() == "draft\n"
