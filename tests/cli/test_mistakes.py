"""A user's mistake ends in a message of at most three lines that names value, place and remedy, and in exit code 2."""

import re
from pathlib import Path

import class_folders
import mistakes
import pytest
from box_folders import REFUSED
from mistakes import COMMAND_LINE, PAGE, RUNS, Mistake


@pytest.fixture(scope="module")
def documented() -> list[str]:
    return mistakes.rows(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("line", "fragments"), COMMAND_LINE, ids=[line for line, _ in COMMAND_LINE])
def test_options_that_cannot_be_are_refused_in_one_line(line, fragments, documented):
    said = mistakes.refused(line)
    assert "\n" not in said
    assert [f for f in fragments if f not in said] == [], said
    assert mistakes.unlisted(mistakes.row("", f"train {line}", said)) in documented, (
        "write docs/errors.md anew: make errors"
    )


@pytest.mark.parametrize("mistake", RUNS, ids=lambda m: f"{m.topic}: {m.what}")
def test_a_mistake_ends_in_at_most_three_lines_and_exit_code_2(mistake: Mistake, documented, tmp_path):
    mistake.files(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    command = mistake.start(tmp_path)
    assert command.wait() == 2, command.text
    assert "Traceback" not in command.text, command.text
    said = mistakes.said(command.text, tmp_path)
    assert said.startswith("error: ")
    assert len(said.splitlines()) <= 3
    assert [f for f in mistake.says if f not in said] == [], said
    row = mistakes.unlisted(mistakes.row(mistake.what + ":", mistake.command, said))
    assert row in documented, "write docs/errors.md anew: make errors"
    _assert_nothing_is_lost(tmp_path, before)
    _assert_the_log_has_the_traceback(command.text, tmp_path, before)


def _assert_nothing_is_lost(folder: Path, before: dict[Path, bytes]) -> None:
    """What was there is there, unchanged but for the log and the lock of a resumed run; what is new are logs."""
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and folder / "logs" not in p.parents}
    changed = {p for p in before.keys() | after.keys() if after.get(p) != before.get(p)}
    expected = {"run/run.log", "run/run.lock", "data/mnist/.download.lock"}  # the last: of a download that failed
    assert {p.relative_to(folder).as_posix() for p in changed} <= expected


def _assert_the_log_has_the_traceback(text: str, folder: Path, before: dict[Path, bytes]) -> None:
    """Where the command came so far that it has a log; one that the full disk cut short aside."""
    named = re.search(r"^Full traceback: (.*)$", text, re.MULTILINE)
    logs = [*(folder / "logs").rglob("run.log"), *folder.glob("run/run.log")]
    assert bool(named) == any(before.get(log) != log.read_bytes() for log in logs)
    if named and "File too large" not in text:
        assert "Traceback (most recent call last)" in Path(named[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_with_boxes_is_refused_as_the_page_says(name, documented, tmp_path):
    command, said = mistakes.refused_folder(name, tmp_path.resolve())
    row = mistakes.unlisted(mistakes.row(f"{name}:", command, said))
    assert row in documented, "write docs/errors.md anew: make errors"


@pytest.mark.parametrize("name", class_folders.REFUSED)
def test_a_folder_with_classes_is_refused_as_the_page_says(name, documented, tmp_path):
    command, said = mistakes.refused_class_folder(name, tmp_path.resolve())
    row = mistakes.unlisted(mistakes.row(f"{name}:", command, said))
    assert row in documented, "write docs/errors.md anew: make errors"


def test_the_page_has_no_other_mistakes(documented):
    folders = len(REFUSED) + len(class_folders.REFUSED)
    assert len(documented) == len(set(documented)) == len(COMMAND_LINE) + len(RUNS) + folders >= 40
