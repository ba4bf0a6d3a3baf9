"""Test texts that were taken for another class: which are kept, and how they are shown."""

from __future__ import annotations

import csv
from functools import partial
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lightloom.callbacks.text.wrong_texts import WrongTexts, wrong
from lightloom.data.text.datamodule import TextDataModule
from lightloom.data.text.reviews_toy import ReviewsToy
from lightloom.data.tokens import Words
from lightloom.modules.classifier import Classifier
from lightloom.reporting.chapters.text import Texts


class LastWord(nn.Module):
    """Logits (B, 2): the more certain of the first class, the later its last word stands in the vocabulary."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        certain = ids.amax(1).double()
        return torch.stack([certain, torch.zeros_like(certain)], 1) + self.training


@pytest.mark.parametrize("most", [200, 5])
def test_the_most_certain_mistakes_come_first_with_their_own_text(tmp_path, most):
    data = TextDataModule(
        ReviewsToy(50, 20, 40), Words(), "toy", "text", None, None, None, 32, batch_size=8, eval_batch_size=7
    )
    module = Classifier(LastWord(), partial(torch.optim.SGD, lr=0.1), 2)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(accelerator="cpu", callbacks=[WrongTexts(str(tmp_path), most)], **quiet)
    trainer.test(module, datamodule=data, verbose=False)
    with (tmp_path / "wrong_texts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    split = data.split("test")
    mistaken = {text: label for text, label in zip(split.texts, split.labels.tolist(), strict=True) if label == 1}
    assert len(rows) == min(most, sum(split.labels.tolist()))
    assert {row["text"] for row in rows} <= mistaken.keys()
    assert {(row["label"], row["predicted"]) for row in rows} == {("positive", "negative")}
    for row in rows:
        assert split.texts[list(split.names).index(row["source"])] == row["text"]
    assert [float(row["probability"]) for row in rows] == sorted((float(r["probability"]) for r in rows), reverse=True)

    (section,) = Texts().sections(SimpleNamespace(folder=tmp_path), None)
    assert rows[0]["text"] in section.html


def test_a_mistake_is_a_prediction_that_is_not_the_label():
    logits = torch.tensor([[2.0, 0.0], [0.0, 3.0], [0.0, 0.1]])
    ((probability, *rest),) = wrong(logits, torch.tensor([0, 0, 1]))
    assert rest == [1, 0, 1]
    assert probability == pytest.approx(float(torch.tensor(3.0).sigmoid()))


def test_a_run_without_the_file_has_no_section(tmp_path):
    assert Texts().sections(SimpleNamespace(folder=tmp_path), None) == []
    (tmp_path / "wrong_texts.csv").write_text("other,columns\n1,2\n")
    assert Texts().sections(SimpleNamespace(folder=tmp_path), None) == []
