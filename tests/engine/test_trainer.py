"""trainer.loop: which loop a run has, under a version of Lightning that is known and under one that is not."""

from __future__ import annotations

import importlib.util
import logging
import sys
from types import ModuleType
from typing import Any

import pytest
import pytorch_lightning as pl
from conftest import compose
from omegaconf import OmegaConf

from lightloom.core.errors import UserError
from lightloom.engine import lightning_internals as internals
from lightloom.engine import trainer as trainers
from lightloom.engine.fast_loop import FastEpochLoop
from lightloom.engine.null_profiler import NullProfiler

LIGHTNINGS_LOOP = FastEpochLoop.__mro__[2]


def prepared(loop: str) -> pl.Trainer:
    options = OmegaConf.create({"_target_": "pytorch_lightning.Trainer", "accelerator": "cpu", "loop": loop})
    return trainers.prepare(trainers.make(options, logger=False, enable_checkpointing=False), loop)


@pytest.mark.parametrize(("loop", "expected"), [("fast", FastEpochLoop), ("lightning", LIGHTNINGS_LOOP)])
def test_the_option_names_the_loop(loop: str, expected: type) -> None:
    assert type(prepared(loop).fit_loop.epoch_loop) is expected


def test_under_an_unknown_version_the_loop_is_lightnings_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(internals, "KNOWN", ("2.6.0",))
    monkeypatch.setattr(internals.is_known, "__defaults__", ("2.7.0",))
    monkeypatch.setattr(internals, "VERSION", "2.7.0")
    with caplog.at_level(logging.INFO, "lightloom"):
        assert type(prepared("fast").fit_loop.epoch_loop) is LIGHTNINGS_LOOP
    expected = "trainer.loop=fast is for pytorch-lightning 2.6.0; with 2.7.0 this run uses Lightning's own loop."
    assert [r.getMessage() for r in caplog.records if r.name == "lightloom"] == [expected]


def test_the_installed_version_is_known() -> None:
    """Else every run here would take Lightning's loop."""
    assert internals.is_known()


def test_only_its_own_loop_gets_lightnings_profiler() -> None:
    options = OmegaConf.create({"profiler": None, "loop": "fast"})
    assert type(trainers.profiler(options)["profiler"]) is NullProfiler
    assert not trainers.profiler(OmegaConf.merge(options, {"loop": "lightning"}))
    assert not trainers.profiler(OmegaConf.merge(options, {"profiler": "simple"}))


def loaded_without(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> ModuleType:
    """A second lightning_internals, of a Lightning that lacks a name."""
    monkeypatch.delattr(sys.modules[module], name)
    spec = importlib.util.spec_from_file_location("another_lightning_internals", str(internals.__file__))
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("pytorch_lightning.loops.training_epoch_loop", "_TrainingEpochLoop"),
        ("pytorch_lightning.strategies.launchers", "_SubprocessScriptLauncher"),
        ("pytorch_lightning.loops.fetchers", "_PrefetchDataFetcher"),
    ],
)
def test_without_a_class_the_rest_still_loads(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    found = loaded_without(monkeypatch, module, name)
    launcher = object()
    trainer: Any = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy._launcher = launcher
    found.replace_launcher(trainer, lambda old: pytest.fail("replaced"))
    found.replace_signal_handlers(trainer)
    found.count_epochs_by_data(trainer)
    assert trainer.strategy._launcher is launcher


def test_what_is_not_found_is_left_alone_and_told(caplog: pytest.LogCaptureFixture) -> None:
    class Logger:
        """TensorBoardLogger of another version."""

    with caplog.at_level(logging.WARNING, "lightloom"):
        internals.set_purge_step(Logger(), 3)  # type: ignore[arg-type]
    (record,) = caplog.records
    assert "has no _kwargs, so TensorBoard shows the repeated steps of a resumed run twice" in record.getMessage()


def test_the_environment_sets_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTLOOM_LOOP", raising=False)
    assert compose().trainer.loop == "fast"
    monkeypatch.setenv("LIGHTLOOM_LOOP", "lightning")
    assert compose().trainer.loop == "lightning"
    assert compose("trainer.loop=fast").trainer.loop == "fast"


def test_a_loop_that_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match=r"trainer\.loop=slow"):
        compose("trainer.loop=slow")
