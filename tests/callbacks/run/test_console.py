"""A bar in a terminal, plain lines elsewhere, nothing of the libraries."""

import io
import logging
import os
import pty
import re
import select
import subprocess
import sys
from types import SimpleNamespace

import commands
import pytest
from conftest import ROOT

from lightloom.callbacks.run.console import Console
from lightloom.core.run_dir import RUN_TIME

SMALL = ("model=mlp", "data=digits", "trainer.max_epochs=2", "trainer.limit_train_batches=8")
FIT = SimpleNamespace(fn="fit")
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NOISE = ("tip:", "deprecat", "warning", "litlogger", "rank_zero", "tpu", "weights_only")


def in_terminal(folder, *arguments: str) -> str:
    """What a terminal gets from train.py."""
    ours, theirs = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name != RUN_TIME}
    own = {"LIGHTLOOM_LOG_DIR": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200", "TERM": "xterm"}
    command = [sys.executable, str(ROOT / "src/train.py"), *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=inherited | own)
    os.close(theirs)
    shown = b""
    while process.poll() is None or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    return shown.decode()


def test_in_a_terminal_lines_and_bar_do_not_mix(tmp_path):
    shown = in_terminal(tmp_path, *SMALL, "trainer=cpu")
    pieces = [CODES.sub("", piece).rstrip() for piece in re.split(r"[\r\n]+", shown)]
    ended = [piece for piece in pieces if "train/loss" in piece]
    epochs = [re.match(r"epoch (\d)/2  train/acc ", piece) for piece in ended]  # from the first column on
    assert [found and found[1] for found in epochs] == ["1", "2"]
    assert any(re.match(r"epoch 1/2 ━+ 0/8 ", piece) for piece in pieces)
    assert any(piece.startswith("validation ━") for piece in pieces)
    assert any(piece.startswith("test ━") for piece in pieces)
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") > 0  # the cursor is seen again
    assert not [word for word in NOISE if word in shown.lower()]


def test_without_a_terminal_there_are_plain_lines(tmp_path):
    shown = commands.run(tmp_path, *SMALL, "trainer=cpu")
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert len(re.findall(r"^epoch \d/2  train/acc .* \(\d+\.\d batches/s\)$", shown, re.MULTILINE)) == 2
    assert shown.count("│ test/acc ") == 1
    assert not [word for word in NOISE if word in shown.lower()]
    (run,) = commands.runs(tmp_path)
    assert "pytorch_lightning" in (run / "run.log").read_text()  # where it is kept


def test_of_two_processes_one_speaks(tmp_path):
    ranks = commands.start_two(tmp_path, *SMALL, "trainer.limit_train_batches=4")
    assert [rank.wait() for rank in ranks] == [0, 0]
    first, second = (rank.text for rank in ranks)
    assert first.count("epoch 1/2 ") == 1
    assert second == ""


def test_in_a_notebook_a_trainer_of_ones_own_has_the_same_lines(monkeypatch, capsys):
    """There no run has set up the log, and nothing is a terminal."""
    monkeypatch.setattr("lightloom.callbacks.run.console.log", logging.Logger("quiet", logging.WARNING))
    console, of = Console(), trainer(callback_metrics={"val/acc": 0.5})
    for epoch in (0, 1):
        of.current_epoch = epoch
        console.on_train_epoch_start(of, None)
        console.on_validation_end(of, None)
        console.on_train_epoch_end(of, None)
    console.on_train_end(of, None)
    assert re.findall(r"^(epoch \d/4  val/acc 0.5  )\(", capsys.readouterr().out, re.MULTILINE) == [
        "epoch 1/4  val/acc 0.5  ",
        "epoch 2/4  val/acc 0.5  ",
    ]
    of.is_global_zero = False
    console.on_train_epoch_end(of, None)
    console.on_train_end(of, None)
    assert capsys.readouterr().out == ""


def test_an_epoch_without_validation_has_no_figures_of_an_earlier_one(caplog):
    caplog.set_level(logging.INFO, "lightloom")
    console, of = Console(), trainer(callback_metrics={"val/acc": 0.5, "train/loss": 0.25})
    for epoch in (0, 1):
        of.current_epoch = epoch
        console.on_train_epoch_start(of, None)
        if epoch == 0:
            console.on_validation_end(of, None)
        console.on_train_epoch_end(of, None)
    console.on_train_end(of, None)
    assert ["val/acc" in record.message for record in caplog.records] == [True, False]
    assert all("train/loss 0.25" in record.message for record in caplog.records)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def trainer(**options) -> SimpleNamespace:
    base = {"is_global_zero": True, "num_training_batches": 100, "max_epochs": 4, "max_steps": -1, "current_epoch": 1}
    return SimpleNamespace(**{**base, "callback_metrics": {}, "sanity_checking": False, "state": FIT, **options})


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("lightloom.callbacks.run.console.time.monotonic", lambda: now.seconds)
    return now


def test_the_time_left_of_a_continued_run_is_of_what_it_has_left(clock):
    """Epoch 2 of 4 begins; after 50 of its batches in 10 s, 250 are left: 50 s."""
    console, of = Console(), trainer()
    console.on_train_start(of, None)
    console.on_train_epoch_start(of, None)
    clock.seconds = 10.0
    for i in range(50):
        console.on_train_batch_end(of, None, None, None, i)
    assert console._left(of, 50) == "(run 0:00:50)"
    assert console._rate() == pytest.approx(5.0)
    assert console._left(trainer(max_epochs=-1), 50) == console._left(trainer(max_steps=7), 50) == ""
    console.on_train_end(of, None)


def test_the_bar_is_drawn_by_time_not_by_step(clock, monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    console, of = Console(), trainer()
    console.on_train_start(of, None)
    console.on_train_epoch_start(of, None)
    drawn = len(screen.getvalue())
    for i in range(99):
        clock.seconds += 0.002
        console.on_train_batch_end(of, None, None, None, i)
    assert len(screen.getvalue()) == drawn  # 0.2 s
    clock.seconds += 0.1
    console.on_train_batch_end(of, None, None, None, 99)
    assert "100/100" in CODES.sub("", screen.getvalue()[drawn:])
    console.on_exception(of, None, KeyboardInterrupt())
    assert console.bar is None


def test_without_a_bar_a_line_says_each_minute_how_far_it_is(clock, caplog):
    """An epoch of hours in a cluster's log."""
    caplog.set_level(logging.INFO, "lightloom")
    console, of = Console(), trainer(current_epoch=0, max_epochs=2)
    console.on_train_start(of, None)
    console.on_train_epoch_start(of, None)
    for batch in range(100):
        clock.seconds += 1.3
        console.on_train_batch_end(of, None, None, None, batch)
    assert [r.message for r in caplog.records] == [
        "epoch 1/2  batch 47/100  0.8 batches/s  (run 0:03:19)",
        "epoch 1/2  batch 94/100  0.8 batches/s  (run 0:02:18)",
    ]


def test_a_run_that_is_continued_inside_an_epoch_says_how_far_it_is(clock, caplog):
    """Which Lightning does not begin again; its rate is of what this process has done."""
    caplog.set_level(logging.INFO, "lightloom")
    console, of = Console(), trainer(current_epoch=0, max_epochs=2)
    console.on_train_start(of, None)
    for batch in range(40, 90):
        clock.seconds += 1.3
        console.on_train_batch_end(of, None, None, None, batch)
    assert [r.message for r in caplog.records] == ["epoch 1/2  batch 87/100  0.8 batches/s  (run 0:02:27)"]


def test_a_loader_without_an_end_has_no_time_left():
    trainer = SimpleNamespace(current_epoch=0, num_training_batches=float("inf"), max_epochs=2, max_steps=-1)
    console = Console()
    console._started, console._first = 0.0, 0
    assert console._left(trainer, 3) == ""
