"""What a user of lightning-hydra-template types is refused with what to write here; the page's table is the list."""

import re

import pytest
from conftest import ROOT

from lightloom.config import compose, habits
from lightloom.core.environment import read_dotenv
from lightloom.core.errors import UserError

PAGE = (ROOT / "docs/from-lightning-hydra-template.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("typed", "here"), ROWS, ids=[typed for typed, _ in ROWS])
def test_each_row_of_the_page_is_refused_with_its_hint(typed, here):
    with pytest.raises(UserError) as refused:
        compose.check("train", [typed, *(["logger=wandb"] if typed.startswith("logger.wandb") else [])])
    said = str(refused.value)
    assert " Here: " in said
    words = re.findall(r"`([^`<]+)", here)
    assert not words or any(word.split("=")[0].strip(".") in said for word in words)


def test_there_are_thirty_and_each_hint_is_on_the_page():
    assert len(ROWS) >= 30
    typed = {row.partition("=")[0] for row, _ in ROWS} | {row for row, _ in ROWS}
    lacking = [f"{group}={name}" for group, name in habits.CHOICES if f"{group}={name}" not in typed]
    assert lacking == []


@pytest.mark.parametrize("typed", ["tags=[a,b]", "logger=tensorboard", "callbacks=null", "test=false", "debug=fdr"])
def test_what_is_the_same_is_taken(typed):
    assert compose.check("train", [typed]) == [compose.expand_shorthand(typed)] or typed == "callbacks=null"


def test_a_tag_is_a_word():
    with pytest.raises(UserError, match="expected a list"):
        compose.check("train", ["tags=first"])


def test_dotenv_sets_what_is_not_set(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("LOOM_A=from file\nLOOM_B=from file\n# a word\n")
    monkeypatch.setenv("LOOM_A", "set before")
    monkeypatch.delenv("LOOM_B", raising=False)
    read_dotenv(tmp_path)
    import os

    assert (os.environ["LOOM_A"], os.environ.pop("LOOM_B")) == ("set before", "from file")
