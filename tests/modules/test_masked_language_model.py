"""Hidden words: how many, which, and what for; the same in any batch; the gradient of all words of a step."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
import pytorch_lightning as pl
import torch
from resumable import SCHEDULES, KeepAll, continue_each, state, train
from torch import nn
from torch.nn.functional import cross_entropy, pad

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.core.errors import UserError
from lightloom.data.text.datamodule import TextDataModule
from lightloom.data.text.reviews_toy import ReviewsToy
from lightloom.data.tokens import Words
from lightloom.engine import checkpoint
from lightloom.engine.partial_init import load_parts
from lightloom.modules.classifier import Classifier
from lightloom.modules.masked_language_model import IGNORE, MaskedLanguageModel, masked
from lightloom.networks.transformer.bert import Bert, BertClassifier, Encoder
from lightloom.predict.masked_words.predictor import Predictor

VOCABULARY = 50
SGD = partial(torch.optim.SGD, lr=0.1)


def ids_of(count: int, length: int, seed: int = 0) -> torch.Tensor:
    """Texts of unequal length, with padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, VOCABULARY, (count, length), generator=generator)
    ends = torch.randint(2, length + 1, (count, 1), generator=generator)
    return ids * (torch.arange(length) < ends)


def encoder(**options: object) -> Encoder:
    torch.manual_seed(0)
    return Encoder(VOCABULARY, 24, **{"dim": 16, "heads": 2, "dropout": 0.0, **options})  # type: ignore[arg-type]


def model(share: float = 0.15) -> MaskedLanguageModel:
    return MaskedLanguageModel(Bert(encoder()), VOCABULARY, SGD, share=share)


# --- what is hidden


def test_of_a_million_words_as_many_are_hidden_as_the_paper_says():
    ids = ids_of(20_000, 100)
    seen, targets = masked(ids, VOCABULARY, 3)
    words, asked = ids >= 2, targets != IGNORE
    count = int(words.sum())
    assert count > 900_000
    assert float(asked.sum() / count) == pytest.approx(0.15, abs=0.001)
    assert not asked[~words].any()  # neither padding nor what is unknown
    assert torch.equal(seen[~asked], ids[~asked])
    assert torch.equal(targets[asked], ids[asked])
    became, was = seen[asked], ids[asked]
    hidden = became == VOCABULARY
    assert float(hidden.float().mean()) == pytest.approx(0.8, abs=0.003)
    same = 0.1 + 0.1 / (VOCABULARY - 2)  # a word that is drawn may be the same
    assert float((became == was).float().mean()) == pytest.approx(same, abs=0.003)
    drawn = became[~hidden & (became != was)].bincount(minlength=VOCABULARY)
    assert drawn[:2].tolist() == [0, 0]
    assert float(drawn[2:].min() / drawn[2:].max()) > 0.7


def test_what_is_hidden_is_a_function_of_text_and_key():
    ids = ids_of(8, 16)
    seen, targets = masked(ids, VOCABULARY, 3)
    longer = masked(pad(ids, (0, 8)), VOCABULARY, 3)
    assert torch.equal(longer[0][:, :16], seen)
    assert torch.equal(longer[1][:, :16], targets)
    for i in range(8):
        assert torch.equal(masked(ids[i : i + 1], VOCABULARY, 3)[0], seen[i : i + 1])
    assert not torch.equal(masked(ids, VOCABULARY, 4)[0], seen)


# --- the network


def test_the_vector_of_a_text_sees_all_of_it_and_no_padding():
    network, ids = encoder().eval(), ids_of(6, 16)
    found = network(ids)[:, 0]
    torch.testing.assert_close(network(pad(ids, (0, 8)))[:, 0], found)
    for place in range(16):
        changed = ids.clone()
        changed[:, place] = torch.where(ids[:, place] > 0, ids[:, place] % (VOCABULARY - 1) + 1, 0)
        is_word = changed[:, place] != ids[:, place]
        differs = (network(changed)[:, 0] - found).abs().amax(1) > 0
        assert torch.equal(differs, is_word)


def test_what_stands_at_a_place_is_seen_from_both_sides():
    network, ids = Bert(encoder()).eval(), torch.full((1, 9), 7)
    ids[0, 4] = VOCABULARY
    found = network(ids)[0, 4]
    for place in (3, 5):
        changed = ids.clone()
        changed[0, place] = 8
        assert not torch.equal(network(changed)[0, 4], found)
    assert found.shape == (VOCABULARY,)


# --- training


@pytest.mark.parametrize("parts", [1, 3])
def test_a_step_is_that_of_the_mean_over_all_hidden_words(parts):
    """However unequally accumulated batches have them."""
    batches = [(ids_of(2, length, seed=length), torch.zeros(2)) for length in (4, 9, 23)]
    if parts == 1:
        longest = max(ids.shape[1] for ids, _ in batches)
        batches = [(torch.cat([pad(ids, (0, longest - ids.shape[1])) for ids, _ in batches]), torch.zeros(6))]
    module = model(share=0.5)
    before = [p.detach().clone() for p in module.parameters()]
    total, count = torch.zeros(()), 0
    for ids, _ in batches:
        logits, words = module.predicted(ids, 0)
        total, count = total + cross_entropy(logits, words, reduction="sum"), count + len(words)
    gradients = torch.autograd.grad(total / count, list(module.parameters()), allow_unused=True)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, accumulate_grad_batches=parts, **quiet)  # type: ignore[arg-type]
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    assert trainer.global_step == 1
    for start, gradient, after in zip(before, gradients, module.parameters(), strict=True):
        expected = start if gradient is None else start - 0.1 * gradient
        torch.testing.assert_close(after.detach(), expected, rtol=1e-4, atol=1e-6)


def run(
    folder: Path, resume: Path | None = None, keeper: type[RunCheckpoint] = RunCheckpoint, **options: Any
) -> dict[str, Any]:
    """Two epochs of three steps with dropout, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    facts = {"name": "toy", "kind": "text", "num_classes": None, "classes": None, "vocab_size": None, "max_length": 24}
    data = TextDataModule(ReviewsToy(26, 6, 6), Words(), **facts, batch_size=8, eval_batch_size=4)  # type: ignore[arg-type]
    size = data.facts()["vocab_size"]
    network = Bert(Encoder(size, 24, dim=16, heads=2, layers=1, dropout=0.3))
    module = MaskedLanguageModel(network, size, SGD, SCHEDULES["cosine"], share=0.4)
    module.save_hyperparameters({"model": {}, "data": {}})
    keep = keeper(str(folder / "checkpoints"), "val/loss", "min", every_n_steps=1)
    return state(train(folder, module, data, keep, resume, **{"max_epochs": 2, **options}), folder, resume)


@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": 0.1}], ids=["plain", "clipped"])
def test_resume_is_exact_with_what_is_hidden_in_each_epoch(tmp_path, options):
    full = run(tmp_path / "full", keeper=KeepAll, **options)
    assert full["steps"] == 6
    assert continue_each(tmp_path, full, run=run, **options) >= 4


SMALL = ("model=bert", "data=reviews_toy", "data.reader.train_size=64", "data.reader.val_size=20")
SMALL += ("data.reader.test_size=20", "data.batch_size=8", "model.network.backbone.dim=16", "optimizer=sgd")
SMALL += ("model.network.backbone.dropout=0.3", "trainer.max_epochs=2", "preflight=false", "run_name=bert")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("bert")
    commands.run(folder, *SMALL, "trainer=cpu")
    return folder, folder / "runs/bert"


def test_two_processes_train_and_measure_what_one_does(trained, tmp_path):
    """Two processes of some seconds."""
    commands.run_two(tmp_path, *SMALL)
    one, two = trained[1], tmp_path / "runs/bert"
    expected, found = (checkpoint.load(run / "checkpoints/last.ckpt")["state_dict"] for run in (one, two))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)
    results = [json.loads((run / "results.json").read_text()) for run in (one, two)]
    assert results[1]["test/loss"] == pytest.approx(results[0]["test/loss"], rel=1e-4)


# --- what is learned is used


def test_a_classifier_begins_with_the_backbone(tmp_path):
    pretrained = model()
    nn.init.ones_(pretrained.network.backbone.whole)
    classifier = Classifier(BertClassifier(encoder(layers=2), 3), SGD, 3)
    head = classifier.network.head.weight.clone()
    load_parts(classifier, {"state_dict": pretrained.state_dict()}, "backbone", tmp_path / "bert.ckpt")
    for name, value in pretrained.network.backbone.state_dict().items():
        assert torch.equal(classifier.network.backbone.state_dict()[name], value)
    assert torch.equal(classifier.network.head.weight, head)


def test_a_classifier_on_other_texts_takes_over_the_vocabulary(trained, tmp_path):
    """And the same command, repeated, finds its run."""
    other = ("model=bert_classifier", "data=reviews_toy", "data.reader.train_size=16", "data.reader.seed=5")
    other += ("data.reader.val_size=8", "data.reader.test_size=8", "data.batch_size=8", "trainer.max_epochs=1")
    other += ("model.network.backbone.dim=16", "preflight=false", "run_name=tuned", "trainer=cpu", "scheduler=constant")
    begun = (f"ckpt_path={trained[1]}", "weights_only_init=backbone")
    said = commands.run(tmp_path, *other, *begun)
    assert "takes over the vocabulary of" in said
    assert "network.head.weight, network.head.bias" in said.partition("new: ")[2]
    runs = (trained[1] / "checkpoints/last.ckpt", tmp_path / "runs/tuned/checkpoints/last.ckpt")
    known, found = (checkpoint.load(path)["data_state"] for path in runs)
    assert found == known
    assert "This run is finished" in commands.run(tmp_path, *other, *begun)


def test_each_mask_gets_words(trained):
    folder, run = trained
    said = commands.run(folder, f"ckpt_path={run}", "text=a <mask> film , <mask> .", script="predict")
    assert "2 masks" in said
    tokens = Words().learn(["a dull film of no wit"])
    module = MaskedLanguageModel(Bert(Encoder(len(tokens), 24, dim=16, heads=2)), len(tokens), SGD).eval()
    predictor = Predictor(module, {"vocabulary": tokens.to_state(), "max_length": 24})
    first, second = predictor.predict(["a <mask> of <mask> wit", "<mask>"])
    assert (len(first), len(second)) == (2, 1)
    assert all(word in tokens.learned for words in first for word, _ in words)
    assert sum(value for _, value in second[0]) < 1
    with pytest.raises(UserError, match="has no <mask>"):
        predictor.predict(["a dull film"])
