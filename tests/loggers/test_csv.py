"""metrics.csv: rows are on disk when they are logged, and a resumed run writes on where its checkpoint was."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pytorch_lightning.loggers import CSVLogger

from lightloom.loggers.csv import ContinuedCSVLogger


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


def log(path: Path, steps: range, name: str = "loss") -> ContinuedCSVLogger:
    logger = ContinuedCSVLogger(str(path))
    for step in steps:
        logger.log_metrics({name: step / 10}, step)
    return logger


def test_a_row_is_on_disk_at_once(tmp_path):
    log(tmp_path, range(1))
    assert rows(tmp_path) == [{"loss": "0.0", "step": "0"}]


def test_table_is_lightnings(tmp_path):
    """Also with names that appear later."""
    loggers = log(tmp_path / "a", range(3)), CSVLogger(str(tmp_path / "b"), name="", version="")
    for step in range(3):
        loggers[1].log_metrics({"loss": step / 10}, step)
    for logger in loggers:
        logger.log_metrics({"acc": 1.0, "loss": 0.5}, 3)
        logger.save()
    assert (tmp_path / "a" / "metrics.csv").read_bytes() == (tmp_path / "b" / "metrics.csv").read_bytes()


@pytest.mark.parametrize("step", range(6))
def test_resumed_log_is_the_uninterrupted_one(tmp_path, step):
    log(tmp_path / "whole", range(8))
    log(tmp_path / "parts", range(6))
    ContinuedCSVLogger(str(tmp_path / "parts")).continue_from(step)
    log(tmp_path / "parts", range(step, 8))
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_a_test_comes_after_the_last_epoch_and_is_dropped(tmp_path):
    log(tmp_path, range(3)).log_metrics({"test/acc": 0.9}, 2)
    ContinuedCSVLogger(str(tmp_path)).continue_from(3)
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1", "2"]


@pytest.mark.parametrize("cut", [1, 2, 5, 8])
def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path, cut):
    log(tmp_path, range(4), "a long name")
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-cut])
    ContinuedCSVLogger(str(tmp_path)).continue_from(3)
    log(tmp_path, range(3, 4), "a long name")
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1", "2", "3"]


def test_nothing_to_continue(tmp_path):
    ContinuedCSVLogger(str(tmp_path)).continue_from(3)
    (tmp_path / "metrics.csv").write_text("")
    ContinuedCSVLogger(str(tmp_path)).continue_from(3)
    assert rows(tmp_path) == []
