"""Every option of Lightning's Trainer and every callback of it runs, or is refused in one line; the page says which."""

from __future__ import annotations

import inspect

import pytest
import pytorch_lightning as pl
from conftest import ROOT

from lightloom.callbacks.run.ema import WeightAverage
from lightloom.core.errors import UserError
from lightloom.engine.lightning_options import CALLBACKS, TRAINER, check_callbacks, check_options, page


def test_the_tables_have_all_of_this_version_and_no_other():
    assert set(TRAINER) == set(inspect.signature(pl.Trainer).parameters)
    assert set(CALLBACKS) == set(pl.callbacks.__all__)


def test_the_page_is_written_from_them():
    written = (ROOT / "docs" / "lightning-options.md").read_text(encoding="utf-8")
    assert written == page(), "write docs/lightning-options.md anew: make lightning-options"


@pytest.mark.parametrize("name", TRAINER)
def test_an_option_runs_or_is_refused_in_one_line(name):
    asked = {name: False if name == "enable_checkpointing" else 1}
    if not TRAINER[name].refused:
        return check_options(asked)
    with pytest.raises(UserError) as refused:
        check_options(asked)
    assert str(refused.value).startswith(f"trainer.{name}=")
    assert "\n" not in str(refused.value)
    check_options({name: None})


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_and_one_derived_from_it_run_or_are_refused_in_one_line(name):
    kind = getattr(pl.callbacks, name)
    for one in (kind, type("Theirs", (kind,), {"__module__": "theirs"})):
        made = {"mine": object.__new__(one)}
        if not CALLBACKS[name].refused:
            check_callbacks(made)
            continue
        with pytest.raises(UserError, match=rf"^callbacks\.mine: {name}: .*; .*\.$"):
            check_callbacks(made)


def test_what_derives_from_such_a_one_here_runs():
    check_callbacks({"ema": WeightAverage()})
