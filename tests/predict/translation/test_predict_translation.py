"""predict.py with a translator: a text, a file of lines; the page and the exported file know what the command does."""

from __future__ import annotations

import csv
import json

import commands
import pytest
from asking import loaded, said

from lightloom.core.errors import UserError
from lightloom.data.tokens import from_state
from lightloom.predict.faults import Faults
from lightloom.predict.loading import load
from lightloom.predict.translation.command import lines
from lightloom.predict.translation.predictor import Predictor

SMALL = ("model=transformer", "data=phrasebook", "data.reader.train_size=40", "data.reader.val_size=8")
SMALL += ("data.reader.test_size=8", "data.batch_size=8", "data.max_length=16", "model.network.dim=16")
SMALL += ("model.network.encoder_layers=1", "model.network.decoder_layers=1", "run_name=phrases", "trainer=cpu")
TEXTS = ["Today the old fox saw a lamp.", "", "The lazy goose hid an egg in the barn."]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps, for all below."""
    folder = tmp_path_factory.mktemp("translation")
    commands.run(folder, *SMALL, "trainer.max_epochs=1", "preflight=false")
    return folder, folder / "runs/phrases"


@pytest.fixture(scope="module")
def predictor(trained):
    loaded = load(trained[1])
    return Predictor(loaded.module, {**loaded.config.data, **loaded.state})


def newest(folder):
    return max((folder / "predict").iterdir())


def test_each_line_is_translated_as_the_text_alone(trained, predictor, tmp_path):
    folder, run = trained
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    how = ("beam_width=2", "length_penalty=0")
    commands.run(folder, f"ckpt_path={run}", f"input={tmp_path}/texts.txt", *how, script="predict")
    expected = predictor.predict(TEXTS, 2, 0.0)
    with (newest(folder) / "translations.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["translation"] for row in rows] == expected
    assert [row["source"] for row in rows] == [f"texts.txt:{number}" for number in (1, 2, 3)]
    assert (newest(folder) / "translations.txt").read_text().split("\n") == [*expected, ""]
    assert expected[1] == ""
    assert [predictor.predict([text], 2, 0.0)[0] for text in TEXTS] == expected


def test_a_text_is_translated_and_a_long_one_told(trained, predictor):
    folder, run = trained
    said = commands.run(folder, f"ckpt_path={run}", f"text={TEXTS[0] * 4}", script="predict")
    assert "1 translations" in said
    assert "1 texts are longer than 16 ids" in said


def test_a_page_translates_as_the_command_does(trained, predictor):
    found = said(loaded(trained[1]), "translation", TEXTS[0].encode(), beam="3")
    assert found == {"text": predictor.predict([TEXTS[0]], 3)[0]}


def test_an_exported_file_knows_its_vocabulary(trained, predictor):
    """export.py holds it against the module at several lengths."""
    onnx = pytest.importorskip("onnx")
    folder, run = trained
    commands.run(folder, f"ckpt_path={run}", script="export")
    (file,) = (run / "export").glob("*.onnx")
    facts = json.loads({p.key: p.value for p in onnx.load(file).metadata_props}["facts"])
    assert from_state(facts["vocabulary"]).encode(TEXTS[0]) == predictor.tokens.encode(TEXTS[0])
    assert (facts["source"], facts["target"]) == ("en", "de")


def test_what_is_no_text_is_told(tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    for where in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="there is no text"):
            lines(str(where), "utf-8", Faults(tmp_path))
