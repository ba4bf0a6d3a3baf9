"""Classifiers of texts: exact continuation with buckets, several processes, options of the module, what is learned."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
import pytorch_lightning as pl
import torch
from conftest import models_for
from one_step import train_and_restore
from outcomes import results
from resumable import SCHEDULES, KeepAll, continue_each, state, train

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.core.errors import UserError
from lightloom.data.text.datamodule import TextDataModule
from lightloom.data.text.reviews_toy import ReviewsToy
from lightloom.data.tokens import Words
from lightloom.engine import checkpoint
from lightloom.modules.classifier import Classifier
from lightloom.networks.bag import BagOfWords
from lightloom.networks.recurrent import RecurrentClassifier

FACTS: dict[str, Any] = {"name": "toy", "kind": "text", "num_classes": None, "classes": None, "vocab_size": None}


def toy(**options: Any) -> TextDataModule:
    sizes = {"max_length": 32, "batch_size": 8, "eval_batch_size": 7}
    return TextDataModule(ReviewsToy(35, 20, 20), Words(), **{**FACTS, **sizes, **options})


def run(
    folder: Path,
    resume: Path | None = None,
    keeper: type[RunCheckpoint] = RunCheckpoint,
    optimizer: Any = partial(torch.optim.AdamW, lr=1e-2),  # noqa: B008
    batch_size: int = 8,
    bucketed: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Three epochs of four steps with dropout in three places, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    data = toy(batch_size=batch_size, bucketed=bucketed)
    network = RecurrentClassifier(data.facts()["vocab_size"], 2, 6, 5, "lstm", 2, True, "attention")
    module = Classifier(network, optimizer, 2, scheduler=SCHEDULES["cosine"])
    module.save_hyperparameters({"model": {}, "data": {}})
    keep = keeper(str(folder / "checkpoints"), "val/acc", "max", every_n_steps=1)
    return state(train(folder, module, data, keep, resume, **options), folder, resume)


def test_resume_is_exact_with_buckets(tmp_path):
    """From each of twelve steps; about 6 s."""
    full = run(tmp_path / "full", keeper=KeepAll)
    assert full["steps"] == 12
    assert continue_each(tmp_path, full, slice(None, None, 2), run=run) >= 5


@pytest.mark.parametrize("loop", ["lightning", "fast"])
def test_half_a_batch_accumulated_twice_is_the_batch(loop, tmp_path):
    """With dropout in three places; the halves are padded each to a length of its own."""
    optimizer = partial(torch.optim.SGD, lr=0.5)
    options = {"bucketed": False, "optimizer": optimizer, "loop": loop, "max_epochs": 2}
    whole = run(tmp_path / "whole", batch_size=8, **options)
    halves = run(tmp_path / "halves", batch_size=4, accumulate_grad_batches=2, **options)
    assert whole["steps"] == halves["steps"] == 8
    for name, value in whole["weights"].items():
        torch.testing.assert_close(halves["weights"][name], value, rtol=1e-5, atol=1e-6, msg=name)


MODELS = models_for("text_classification")


@pytest.mark.parametrize("model", MODELS)
def test_one_step_saved_and_reloaded_gives_equal_outputs(model, tmp_path):
    data = toy()
    small = ["data.batch_size=8", "data.max_length=32"]
    _, module, again = train_and_restore(model, "reviews_toy", small, data, tmp_path)
    ids = data.example(3, 0)
    with torch.inference_mode():
        assert torch.equal(module(ids), again(ids))


def test_one_class_is_refused_in_words_of_no_kind():
    with pytest.raises(UserError, match="what has no labels, or one class only, cannot be classified"):
        Classifier(BagOfWords(5, 1), partial(torch.optim.SGD, lr=0.1), 1)


# --- several processes

TOY = ("data=reviews_toy", "data.reader.train_size=35", "data.reader.val_size=7", "data.reader.test_size=9")
SMALL = ("model.network.dim=8", "run_name=one")
GRU = ("model=gru", "model.network.width=6")
NETWORKS = {
    "two recurrent layers": (*GRU, "model.network.layers=2", "model.network.bidirectional=true"),
    "attention": ("model=text_transformer", "model.network.heads=2"),
}
SGD = ("optimizer=sgd", "model.optimizer.lr=0.1", "trainer.max_epochs=2", "scheduler=constant", "preflight=false")


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_two_processes_with_dropout_train_and_measure_what_one_does(options, tmp_path):
    """Each pads its share of a batch to a length of its own. Three processes of some seconds."""
    loaded = (*TOY, *SMALL, *options, *SGD, "model.network.dropout=0.5", "data.batch_size=8", "data.eval_batch_size=2")
    commands.run(tmp_path / "a", *loaded, "trainer=cpu")
    commands.run_two(tmp_path / "b", *loaded)
    one, two = (tmp_path / name / "runs/one" for name in ("a", "b"))
    expected, found = (checkpoint.load(path / "checkpoints/last.ckpt")["state_dict"] for path in (one, two))
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
    measured = [results(path) for path in (one, two)]
    assert measured[1] == pytest.approx(measured[0], abs=1e-5)


def test_a_resumed_run_with_another_vocabulary_is_one_sentence(tmp_path):
    """Two commands."""
    first = (*TOY, *GRU, *SMALL, "data.batch_size=8", "trainer=cpu", "preflight=false")
    commands.run(tmp_path, *first, "trainer.max_epochs=1")
    again = commands.start(tmp_path, *first, "tokens=characters", "data.max_length=9", "trainer.max_epochs=2")
    assert again.wait() == 2, again.text
    (line,) = (line for line in again.text.splitlines() if line.startswith("error: "))
    assert "tokens" in line
    assert "max_length" in line
