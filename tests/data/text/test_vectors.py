"""Vectors of words from files: GloVe's and fastText's form, coverage, and what is wrong with others."""

from __future__ import annotations

from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from lightloom.core.errors import UserError
from lightloom.data.text.datamodule import TextDataModule
from lightloom.data.text.reviews_toy import ReviewsToy
from lightloom.data.text.vectors import read_vectors
from lightloom.data.tokens import Words
from lightloom.modules.classifier import Classifier
from lightloom.networks.bag import BagOfWords

IDS = {"film": 2, "dull": 3, ". . .": 4}


@pytest.mark.parametrize("first", ["", "4 3\n"])
def test_a_word_and_its_numbers_are_on_each_line(tmp_path, first):
    path = tmp_path / "glove.txt"
    path.write_text(first + "the 1 2 3\nfilm 0.5 -1 2e-1\nfilm 9 9 9\n. . . 1 0 0\nlast 0 0 0\n")
    ids, vectors = read_vectors(path, IDS)
    assert ids.tolist() == [2, 4]
    torch.testing.assert_close(vectors, torch.tensor([[0.5, -1.0, 0.2], [1.0, 0.0, 0.0]]))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("film 1 2\ndull 1\n", "line 2 has no word and 2 numbers"),
        ("film 1 x\n", "line 1 has what is no number"),
        ("film 1 nan\n", "line 1 has a number that is no part of a vector"),
        ("other 1 2\n", "has none of the 3 words"),
        ("", "has none of the 3 words"),
        ("film\n", "line 1 has no word and its numbers"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, content, said):
    path = tmp_path / "glove.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=said) as error:
        read_vectors(path, IDS)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UserError, match="there is no such file; name a text file of vectors"):
        read_vectors(tmp_path / "away.txt", IDS)


def trained(path, dim: int) -> tuple[Classifier, TextDataModule]:
    """After a step of no length."""
    facts = ("toy", "text", None, None, None, 32)
    data = TextDataModule(ReviewsToy(40, 8, 8), Words(), *facts, batch_size=8, eval_batch_size=8, vectors=str(path))
    torch.manual_seed(0)
    network = BagOfWords(data.facts()["vocab_size"], 2, dim)
    module = Classifier(network, partial(torch.optim.SGD, lr=0.0), 2)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    pl.Trainer(accelerator="cpu", max_steps=1, limit_val_batches=0, **quiet).fit(module, datamodule=data)
    return module, data


def test_training_begins_with_them(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("film 1 2 3\nplot 4 5 6\nzebra 7 8 9\n")
    module, data = trained(path, 3)
    weight = module.network.embedding.vectors.weight
    assert weight[data.tokens.ids["film"]].tolist() == [1, 2, 3]
    assert weight[data.tokens.ids["plot"]].tolist() == [4, 5, 6]
    assert weight.abs().max() == 6
    assert not weight[0].any()
    assert module.state_dict()["network.embedding.filled"]
    with pytest.raises(UserError, match=r"have 3 numbers, but model\.network\.dim is 4; set model\.network\.dim=3"):
        trained(path, 4)


def test_a_continued_run_keeps_its_own(tmp_path):
    """What is in a checkpoint is not filled again, so the file may be away."""
    path = tmp_path / "glove.txt"
    path.write_text("film 1 2 3\n")
    module, data = trained(path, 3)
    path.unlink()
    again = Classifier(BagOfWords(data.facts()["vocab_size"], 2, 3), partial(torch.optim.SGD, lr=0.0), 2)
    again.load_state_dict(module.state_dict())
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    pl.Trainer(accelerator="cpu", max_steps=1, limit_val_batches=0, **quiet).fit(again, datamodule=data)
    assert torch.equal(again.network.embedding.vectors.weight, module.network.embedding.vectors.weight)
