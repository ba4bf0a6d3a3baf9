"""Texts of pictures: a row for each, what cannot be read is named, and an ONNX file gives what the module gives."""

from __future__ import annotations

import csv
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
from asking import loaded, said
from page_data_text_images import fill
from PIL import Image

from lightloom.ops.ctc import best_paths


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps on pictures in folders; about 15 s, for all commands below."""
    folder = tmp_path_factory.mktemp("texts")
    fill(folder)
    own = (f"data.root={folder / 'data/captchas'}", "data.reader.separator=_", "data.batch_size=16")
    small = ("model.network.channels=4", "model.network.hidden=16", "data.height=16", "data.width=48")
    commands.run(
        folder, "model=crnn", "data=text_images", *own, *small, "trainer=cpu", "trainer.max_epochs=1", "run_name=own"
    )
    return folder, folder / "runs/own"


def newest(folder, script: str):
    return max((folder / script).iterdir())


def predicted(folder, *options: str) -> list[dict[str, str]]:
    commands.run(folder, f"ckpt_path={folder / 'runs/own'}", "trainer=cpu", *options, script="predict")
    with (newest(folder, "predict") / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_picture_has_a_text_with_the_confidence_of_each_symbol(trained):
    folder, _ = trained
    for options in ((), ("beam_width=4",), ("batch_size=5",)):
        rows = predicted(folder, f"input={folder / 'data/captchas/test'}", *options)
        assert len(rows) == 16
        for row in rows:
            assert set(row["text"]) <= set("0123456789")
            sure = list(map(float, row["of_each_symbol"].split()))
            assert len(sure) == len(row["text"])
            assert all(0 <= value <= 1 for value in [*sure, float(row["confidence"])])


def test_a_page_reads_as_the_command_does(trained):
    folder, run = trained
    (row, *_) = predicted(folder, f"input={folder / 'data/captchas/test'}")
    answer = said(loaded(run), "text_images", Path(folder, "data/captchas/test", row["file"]).read_bytes())
    assert answer["text"] == row["text"]
    assert "".join(bar["name"] for bar in answer["bars"]) == row["text"]


def test_pictures_that_cannot_be_read_are_named_and_the_others_written(trained):
    folder, run = trained
    photos = folder / "photos"
    photos.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (31, 97, 4), np.uint8)).save(photos / "colours.png")
    (photos / "broken.png").write_bytes(b"no picture")
    command = commands.start(folder, f"ckpt_path={run}", f"input={photos}", "trainer=cpu", script="predict")
    assert command.wait() == 2
    assert "broken.png" in command.text
    assert "colours.png" in (newest(folder, "predict") / "predictions.csv").read_text()


def test_the_report_shows_the_worst_readings(trained):
    _, run = trained
    page = (run / "report.html").read_text()
    assert "The worst readings" in page
    assert "0123456789" in page
    assert (run / "readings/epoch-0001.png").is_file()
    assert (run / "confusion_matrix.csv").read_text().startswith("true \\ predicted,background,0,1,2")


def test_an_exported_file_is_read_as_the_docs_say(trained):
    """export.py compares logits of 1, 2 and 3 pictures; its texts are those of predict.py."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    folder, run = trained
    commands.run(folder, f"ckpt_path={run}", "format=onnx", script="export")
    session = onnxruntime.InferenceSession(str(run / "export/own.onnx"))
    assert [one.name for one in session.get_outputs()] == ["logits"]
    image = np.random.default_rng(1).random((1, 1, 16, 48), np.float32)
    (logits,) = session.run(None, {"images": image})
    path = logits[0].argmax(1)
    codes = [int(code) for i, code in enumerate(path) if code and (i == 0 or code != path[i - 1])]
    assert tuple(codes) == best_paths(torch.from_numpy(logits))[0].codes
