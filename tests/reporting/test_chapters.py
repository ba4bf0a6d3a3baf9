"""A run of any kind of data has a report and a card; what a kind shows is a file of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import commands
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import lightloom.reporting.chapters
from lightloom.reporting import card, contract, facts, page

CHAPTER = """
from lightloom.reporting.contract import Chapter, Section


class Letters(Chapter):
    tasks = ("writing",)
    pipeline = "text-generation"
    example = "prompt=once"
    hyperparameters = ("data.vocabulary",)

    def facts(self, run):
        return [("vocabulary", run.data["vocabulary"])]

    def inputs(self, run):
        return "Tokens are int64 (B, T)."

    def sections(self, run, album):
        text = (run.folder / "written.txt").read_text()
        return [Section("written", "Written", f"<h2 id=written>Written</h2><pre>{text}</pre>")]
"""
CONFIG = """
run_name: mine
seed: 3
task: writing
model: {_target_: my.LSTM, hidden: 16, optimizer: {_target_: torch.optim.Adam, _partial_: true, lr: 0.01}}
data: {_target_: my.Poems, kind: letters, vocabulary: 65, batch_size: 4}
monitor: {metric: val/loss, mode: min}
"""


def picture(path: Path, **text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    for name, value in text.items():
        info.add_text(name, value)
    Image.new("L", (4, 4)).save(path, pnginfo=info)


@pytest.fixture
def run(tmp_path) -> Path:
    """A finished run of a kind of data that the product does not have, without run.json."""
    where = tmp_path / "mine"
    (where / "checkpoints").mkdir(parents=True)
    (where / "checkpoints/best.ckpt").touch()
    (where / "config.yaml").write_text(CONFIG)
    (where / "overrides.txt").write_text("")
    (where / "results.json").write_text(json.dumps({"test/perplexity": 7.25, "epochs": 2, "steps": 20}))
    (where / "metrics.csv").write_text("epoch,step,val/loss\n0,9,2.0\n1,19,1.5\n")
    (where / "written.txt").write_text("once upon")
    return where


@pytest.fixture
def letters(tmp_path, monkeypatch) -> None:
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters/letters.py").write_text(CHAPTER)
    home = lightloom.reporting.chapters
    monkeypatch.setattr(home, "__path__", [*home.__path__, str(tmp_path / "chapters")])
    contract.chapters.cache_clear()
    yield
    contract.chapters.cache_clear()
    del sys.modules["lightloom.reporting.chapters.letters"]


def test_a_kind_that_nobody_knows_has_a_report_and_a_card(run):
    page.write_run(run)
    report, about = (run / page.REPORT).read_text(encoding="utf-8"), (run / card.CARD).read_text(encoding="utf-8")
    assert "test/perplexity" in report
    assert "LSTM on Poems" in report
    assert f"python src/eval.py ckpt_path={run}" in report
    for expected in ("- Poems\n", "| test/perplexity | 7.2500 |", "| `model.hidden` | 16 |", "Adam(lr=0.01)"):
        assert expected in about
    assert "predict.py" not in about
    assert "pipeline_tag" not in about


def test_a_file_is_enough_to_show_a_new_kind(run, letters):
    read = facts.read(run)
    report, about = page.html(read), card.text(read)
    for expected in ('<a href="#written">Written</a>', "<pre>once upon</pre>", "<th>vocabulary</th><td>65</td>"):
        assert expected in report
    for expected in ("pipeline_tag: text-generation", "Tokens are int64 (B, T).", "| `data.vocabulary` | 65 |"):
        assert expected in about
    assert "predict.py ckpt_path=<this folder> prompt=once" in about


def test_any_picture_in_the_folder_is_shown_with_its_own_caption(run):
    picture(run / "attention.png", Description="Who looks at whom, <layer 1>")
    picture(run / "loss_surface.png")
    picture(run / "confusion_matrix.png")  # which is shown as a table
    for epoch in (1, 2):
        picture(run / f"heads/epoch-{epoch:04d}.png")
    text = page.html(facts.read(run))
    for caption in ("Who looks at whom, &lt;layer 1&gt;", "loss surface", "heads, epoch 1", "heads, epoch 2"):
        assert f"<figcaption>{caption}</figcaption>" in text
    assert "confusion matrix" not in text


def test_signals_have_a_card_and_no_warning(tmp_path):
    small = ("data.train_size=64", "data.val_size=16", "data.test_size=16", "data.batch_size=16", "preflight=false")
    options = ("model=signal_ae", "data=signals", "run_name=mine", "trainer=cpu", "trainer.max_epochs=1")
    said = commands.run(tmp_path, *options, *small)
    where = tmp_path / "runs/mine"
    about = (where / card.CARD).read_text(encoding="utf-8")
    assert "Signals are float in [0, 1], (B, 2, 88)." in about
    assert (where / page.REPORT).is_file()
    assert "could not be written" not in said
    warned = [line for line in (where / "run.log").read_text(encoding="utf-8").splitlines() if " WARNING " in line]
    assert [line for line in warned if "py.warnings" not in line] == []  # those are Lightning's own
