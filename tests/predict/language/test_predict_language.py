"""predict.py with a language model: texts that grow on the console, and perplexity as training measures it."""

from __future__ import annotations

import copy
import csv
import json
import math

import commands
import pytest
from asking import loaded, said
from markupsafe import escape

from lightloom.core.errors import UserError
from lightloom.data.tokens import from_state
from lightloom.predict.language.command import files, row_of, shown
from lightloom.predict.language.predictor import Predictor
from lightloom.predict.loading import load, load_run
from lightloom.reporting.chapters.language import few

SMALL = ("model=gpt", "data=tales", "data.reader.train_size=60", "data.reader.val_size=8", "data.reader.test_size=8")
SMALL += ("data.block_size=24", "model.network.dim=16", "model.network.layers=1", "run_name=tales", "trainer=cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps, for all below."""
    folder = tmp_path_factory.mktemp("language")
    commands.run(folder, *SMALL, "trainer.max_epochs=1", "trainer.limit_train_batches=5", "preflight=false")
    return folder, folder / "runs/tales"


@pytest.fixture(scope="module")
def predictor(trained):
    loaded = load(trained[1])
    return Predictor(loaded.module, {**loaded.config.data, **loaded.state})


def test_a_page_writes_as_the_command_does(trained, predictor):
    prompt = "the fox"
    found = predictor.predict([prompt], 3)[0]
    assert said(loaded(trained[1]), "language", prompt.encode(), seed="3") == {"text": prompt + found}


def newest(folder):
    return max((folder / "predict").iterdir())


def test_texts_continue_a_prompt_on_the_console_and_in_files(trained):
    folder, run = trained
    how = ("prompt=The bear", "num_samples=3", "tokens=30", "temperature=0.8", "top_k=10", "seed=4")
    said = commands.run(folder, f"ckpt_path={run}", *how, script="predict")
    written = [path.read_text() for path in sorted(newest(folder).glob("samples/*.txt"))]
    assert len({*written}) == 3
    assert all(text.startswith("The bear") and len(text) == len("The bear") + 30 + 1 for text in written)
    assert all(text.strip() in said for text in written)


def test_a_notebook_gets_what_the_command_writes(trained, predictor):
    loaded = load(trained[1])
    (found,) = loaded.predict(["The bear"])
    grown = predictor.streamed("The bear", 0, 1, len(found))
    assert "".join(piece for (piece,) in grown) == found


def test_perplexity_of_a_file_is_what_training_measured(trained, predictor, tmp_path):
    folder, run = trained
    text = load_run(run).datamodule.text("test")  # type: ignore[attr-defined]
    (tmp_path / "test.txt").write_text(text)
    commands.run(folder, f"ckpt_path={run}", f"input={tmp_path}", script="predict")
    with (newest(folder) / "perplexity.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    expected = json.loads((run / "results.json").read_text())
    assert int(row["ids"]) == len(text) - 1
    assert float(row["nats per id"]) == pytest.approx(expected["test/loss"], rel=1e-5)
    assert float(row["bits per character"]) == pytest.approx(expected["test/bits_per_character"], rel=1e-5)
    assert float(row["perplexity"]) == pytest.approx(math.exp(expected["test/loss"]), rel=1e-5)


def test_perplexity_asks_of_a_model_its_logits_alone(predictor):
    """So that of one taught by preferences or by rewards can be measured too, which has no loss in nats of its own."""

    class Writer:
        device = predictor.module.device

        def __call__(self, ids):
            return predictor.module(ids)

    other = copy.copy(predictor)
    other.module = Writer()
    text = "the fox and the bear went on, and on"
    assert other.measured(text) == predictor.measured(text)


def test_the_first_text_is_shown_as_it_grows(capsys):
    seen = []

    def grown():
        for new in (["b", "x"], ["", "y"], ["c\n", "z"]):
            yield new
            seen.append(capsys.readouterr().out)

    assert shown("a", grown(), 2) == ["abc\n", "axyz"]
    assert seen == ["ab", "", "c\n"]
    assert capsys.readouterr().out.endswith("axyz\n")


def test_an_exported_file_knows_its_vocabulary(trained, predictor):
    """export.py holds it against the module at several lengths."""
    onnx = pytest.importorskip("onnx")
    folder, run = trained
    commands.run(folder, f"ckpt_path={run}", script="export")
    (file,) = (run / "export").glob("*.onnx")
    facts = json.loads({p.key: p.value for p in onnx.load(file).metadata_props}["facts"])
    assert from_state(facts["vocabulary"]).encode("The bear") == predictor.tokens.encode("The bear")
    assert facts["block_size"] == 24


def test_the_report_has_what_was_written(trained):
    page = (trained[1] / "report.html").read_text()
    (told,) = json.loads((trained[1] / "continuations.json").read_text())
    assert '<h2 id="continuations">' in page
    assert all(escape(text) in page for text in told["texts"])


def test_of_many_epochs_the_first_and_the_last_are_shown():
    for count in (1, 2, 5, 40):
        shown_epochs = [one["epoch"] for one in few([{"epoch": i + 1} for i in range(count)])]
        assert shown_epochs == sorted({*shown_epochs})
        assert {1, count} <= {*shown_epochs}
        assert len(shown_epochs) <= 6


def test_what_is_no_text_is_told(predictor, tmp_path):
    with pytest.raises(UserError, match="no text file there"):
        files(str(tmp_path))
    (tmp_path / "short.txt").write_text("a")
    with pytest.raises(UserError, match="has 1 ids; expected two or more"):
        row_of(tmp_path / "short.txt", predictor)
