"""A translator learns the mean over all ids of a step, whoever has them, and a test measures what it translates."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import at_hand, data_of, in_turn, models_for
from markupsafe import escape
from one_step import reader_of_sets, train_and_restore
from resumable import SCHEDULES, KeepAll, continue_each, state, train
from torch.nn.functional import cross_entropy
from two_processes import one_and_two

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.callbacks.translation.translations import Translations
from lightloom.data.tokens import Words
from lightloom.data.translation.datamodule import TranslationDataModule
from lightloom.data.translation.pairs import SPECIALS
from lightloom.data.translation.phrasebook import Phrasebook
from lightloom.metrics.bleu import Bleu
from lightloom.modules.translator import BEGIN, END, Translator
from lightloom.networks.transformer.encoder_decoder import EncoderDecoder

DATA = data_of("translation")
SMALL = ["data.batch_size=2", "data.max_length=24", "model.network.dim=16"]
OWN = ["data.source=en", "data.target=de"]  # which a user's own files ask for
SGD = partial(torch.optim.SGD, lr=0.1)
SIZES = {"encoder_layers": 1, "decoder_layers": 1, "heads": 2, "dim": 16}


@pytest.fixture(scope="module")
def datasets():
    """Of each name its datamodule, read once."""
    return reader_of_sets("transformer", [*SMALL, *OWN])


@pytest.mark.parametrize(("model", "data"), in_turn(models_for("translation"), DATA, "phrasebook"))
def test_one_step_saved_and_reloaded_predicts_equally(model, data, datasets, tmp_path):
    _, module, again = train_and_restore(model, data, [*SMALL, *OWN], at_hand(datasets(data)), tmp_path)
    source, target = (torch.randint(2, 30, (2, 16)) for _ in range(2))
    with torch.inference_mode():
        assert torch.equal(module(source, target), again(source, target))


def phrases(**options: Any) -> TranslationDataModule:
    facts = {"name": "toy", "kind": "translation", "source": "en", "target": "de", "vocab_size": None}
    sizes = {"max_length": 24, "batch_size": 8, "eval_batch_size": 4}
    tokens = Words(lower=False, specials=SPECIALS)
    return TranslationDataModule(Phrasebook(26, 6, 6), tokens, **{**facts, **sizes, **options})  # type: ignore[arg-type]


def translator(vocabulary: int, schedule: Any = None, dropout: float = 0.0, **options: Any) -> Translator:
    torch.manual_seed(0)
    return Translator(EncoderDecoder(vocabulary, 24, **SIZES, dropout=dropout), SGD, schedule, **options)


def quiet(**options: Any) -> pl.Trainer:
    left_out = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    return pl.Trainer(accelerator="cpu", **left_out, **options)  # type: ignore[arg-type]


# --- training


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_step_is_that_of_the_mean_over_all_ids(parts, smoothing):
    """However unequally accumulated batches have them. Smoothed, it is eq. 7 of Szegedy et al. 2016."""
    data = phrases()
    data.setup()
    encoded, module = data.encoded_split("train"), translator(data.vocab_size, label_smoothing=smoothing)
    order = encoded.lengths.argsort()[:6]
    batches = [encoded[(chosen, chosen)] for chosen in (order.split([1, 2, 3]) if parts == 3 else [order])]
    before = [p.detach().clone() for p in module.parameters()]
    total, count = torch.zeros(()), 0
    for source, target, _ in batches:
        log_probs = module(source, target[:, :-1]).log_softmax(2)
        known = -log_probs.gather(2, target[:, 1:, None])[..., 0]
        losses = (1 - smoothing) * known - smoothing * log_probs.mean(2)
        total, count = total + losses[target[:, 1:] != 0].sum(), count + int((target[:, 1:] != 0).sum())
    gradients = torch.autograd.grad(total / count, list(module.parameters()))
    trainer = quiet(max_epochs=1, accumulate_grad_batches=parts)
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    assert trainer.global_step == 1
    for start, gradient, after in zip(before, gradients, module.parameters(), strict=True):
        torch.testing.assert_close(after.detach(), start - 0.1 * gradient, rtol=1e-4, atol=1e-6)


def test_a_copy_is_learnt_though_each_id_is_said_too_late():
    """The decoder is given the id before: without the text it could not know the next. Two seconds."""
    torch.manual_seed(0)
    module = Translator(EncoderDecoder(10, 8, **{**SIZES, "dim": 32}, dropout=0.0), SGD)
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    for _ in range(250):
        ids = torch.randint(4, 10, (32, 4))
        source = torch.cat([ids, torch.full((32, 1), END)], 1)
        target = torch.cat([torch.full((32, 1), BEGIN), source], 1)
        loss = cross_entropy(*module.predicted(source, target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.05
    found = module.eval().translate(source, beam_width=3)
    assert [one.ids for one in found] == [tuple(row) for row in source.tolist()]
    looks_at = module.alignment(source, target).argmax(2)[:, :4]  # that the end follows, the last id may say as well
    assert (looks_at == torch.arange(4)).float().mean() > 0.9


def run(
    folder: Path,
    resume: Path | None = None,
    keeper: type[RunCheckpoint] = RunCheckpoint,
    batches: Mapping[str, int] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Two epochs of some steps with dropout, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    data = phrases(**batches or {})
    module = translator(data.facts()["vocab_size"], SCHEDULES["cosine"], dropout=0.3)
    module.save_hyperparameters({"model": {}, "data": {}})
    keep = keeper(str(folder / "checkpoints"), "val/loss", "min", every_n_steps=1)
    return state(train(folder, module, data, keep, resume, **{"max_epochs": 2, **options}), folder, resume)


BY_TOKENS = {"batches": {"batch_size": 2, "batch_tokens": 100}, "accumulate_grad_batches": 2}


@pytest.mark.parametrize("options", [{}, BY_TOKENS], ids=["plain", "accumulated, by tokens"])
def test_resume_is_exact_with_dropout(tmp_path, options):
    full = run(tmp_path / "full", keeper=KeepAll, **options)
    assert continue_each(tmp_path, full, run=run, **options) >= 4


# --- translating


def test_it_translates_the_same_with_and_without_a_cache():
    """And a text alone as among others, longer ones too."""
    data = phrases()
    data.setup()
    module, split = translator(data.vocab_size).eval(), data.encoded_split("train")
    torch.nn.init.normal_(module.network.source.weight, std=0.5)  # no two ids are equally likely by chance
    source = split[(torch.arange(8), torch.arange(8))][0]
    for width in (1, 3):
        found, again = (module.translate(source, width, cached=cached) for cached in (True, False))
        assert [one.ids for one in found] == [one.ids for one in again]
        assert [one.score for one in found] == pytest.approx([one.score for one in again], abs=1e-4)
        alone = [module.translate(row[None, : int((row != 0).sum())], width)[0].ids for row in source]
        assert alone == [one.ids for one in found]
    assert all(min(one.ids) >= END for one in found)  # none that stands for nothing
    greedy, wide = (module.translate(source, width, length_penalty=0) for width in (1, 8))
    pairs = zip(greedy, wide, strict=True)
    assert sum(one.log_probability for one in wide) > sum(one.log_probability for one in greedy), [*pairs]


# --- tests


def test_a_test_measures_what_it_translates(tmp_path):
    """Not smoothed, over all ids and all texts together, whatever their batches."""
    data = phrases(eval_batch_size=4)
    data.facts()
    module = translator(data.vocab_size, beam_width=2)
    trainer = quiet(callbacks=[Translations(str(tmp_path), num_alignments=2)])
    (found,) = trainer.test(module, data, verbose=False)
    module.eval()
    split = data.encoded_split("test")
    source, target, texts = split[(torch.arange(6), torch.arange(6))]
    logits, ids = module.predicted(source, target)
    assert found["test/loss"] == pytest.approx(float(cross_entropy(logits, ids).detach()), rel=1e-5)
    assert found["test/perplexity"] == pytest.approx(float(cross_entropy(logits, ids).detach().exp()), rel=1e-5)
    assert found["test/acc"] == pytest.approx(float((logits.argmax(1) == ids).float().mean()))
    metric, translations = Bleu(), data.decoded([one.ids for one in module.translate(source)])
    metric.update(translations, [[text] for text in texts])
    for name, value in metric.compute().items():
        assert found[f"test/{name}"] == pytest.approx(float(value), abs=1e-4)
    assert set(found) == {name for name in module.logged if name.startswith("test/")}
    with (tmp_path / "translations.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["source"], row["translation"], row["reference"]) for row in rows] == [
        *zip(data.split("test").sources, translations, texts, strict=True)
    ]
    alignments = json.loads((tmp_path / "alignments.json").read_text())
    assert len(alignments) == 2
    for one in alignments:
        assert len(one["weights"]) == len(one["translation"])
        assert {len(row) for row in one["weights"]} == {len(one["source"])}
        assert all(abs(sum(row) - 1) < 1e-2 for row in one["weights"])
        assert one["source"][-1] == "</s>"


def test_validation_translates_where_it_is_asked_to():
    """Greedily, whatever the width of a test's beam; the loss is what it is without."""
    data = phrases()
    data.facts()
    with_bleu, without = translator(data.vocab_size, beam_width=3, val_bleu=True), translator(data.vocab_size)
    (found,), (plain,) = (quiet().validate(one, data, verbose=False) for one in (with_bleu, without))
    assert set(found) - set(plain) == {name for name in with_bleu.logged if name.startswith("val/")} - set(plain)
    assert {name: found[name] for name in plain} == plain
    source, _, texts = data.encoded_split("val")[(torch.arange(6), torch.arange(6))]
    metric = Bleu()
    translations = data.decoded([one.ids for one in with_bleu.eval().translate(source, beam_width=1)])
    metric.update(translations, [[text] for text in texts])
    assert found["val/bleu"] == pytest.approx(float(metric.compute()["bleu"]), abs=1e-4)


PHRASES = ("model=transformer", "data=phrasebook", "data.reader.train_size=40", "data.reader.val_size=7")
PHRASES += ("data.reader.test_size=9", "data.batch_size=2", "data.batch_tokens=100", "model.network.dim=16")
PHRASES += ("model.network.dropout=0.3", "model.network.encoder_layers=1", "model.network.decoder_layers=1")
PHRASES += ("trainer.max_epochs=2", "optimizer=sgd", "preflight=false", "model.val_bleu=true")


def test_two_processes_train_and_measure_what_one_does(tmp_path):
    """With batches by tokens. Three processes of some seconds."""
    one, two = one_and_two(tmp_path, *PHRASES)
    tables = [(folder / "translations.csv").read_text().splitlines() for folder in (one, two)]
    assert [row.rpartition(",")[0] for row in tables[0]] == [row.rpartition(",")[0] for row in tables[1]]
    page, (first, *_) = (one / "report.html").read_text(), json.loads((one / "alignments.json").read_text())
    assert '<h2 id="translations">' in page
    assert '<h2 id="alignments">' in page
    assert all(str(escape(part)) in page for part in first["source"])
