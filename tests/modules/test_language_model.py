"""A language model's figures are those of all ids of a text, and what it writes is a function of the seed."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import at_hand, data_of, in_turn, models_for
from one_step import reader_of_sets, train_and_restore
from resumable import SCHEDULES, KeepAll, continue_each, state, train
from torch.nn.functional import cross_entropy
from two_processes import one_and_two

from lightloom.callbacks.language.continuations import Continuations
from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.data.language.datamodule import LanguageDataModule
from lightloom.data.language.tales import Tales
from lightloom.data.tokens import Characters
from lightloom.modules.language_model import LanguageModel
from lightloom.modules.writing import TOGETHER, continuations, pieces, texts
from lightloom.networks.transformer.gpt import GPT
from lightloom.ops.drawing import drawn

DATA = data_of("language")
SMALL = ["data.batch_size=2", "data.block_size=16"]
ADAM = partial(torch.optim.AdamW, lr=1e-3)


@pytest.fixture(scope="module")
def datasets():
    """Of each name its datamodule, read once."""
    return reader_of_sets("gpt", SMALL)


@pytest.mark.parametrize(("model", "data"), in_turn(models_for("language_modelling"), DATA, "tales"))
def test_one_step_saved_and_reloaded_predicts_equally(model, data, datasets, tmp_path):
    _, module, again = train_and_restore(model, data, SMALL, at_hand(datasets(data)), tmp_path)
    ids = torch.randint(2, 30, (2, 16))
    with torch.inference_mode():
        assert torch.equal(module(ids), again(ids))


def tales(**options: Any) -> LanguageDataModule:
    facts = {"name": "tales", "kind": "language", "vocab_size": None, "block_size": 16}
    sizes = {"batch_size": 4, "eval_batch_size": 5, "val_fraction": 0.1}
    return LanguageDataModule(Tales(5, 4, 3), Characters(), **{**facts, **sizes, **options})  # type: ignore[arg-type]


def model(vocabulary: int = 38, dropout: float = 0.0, schedule: Any = None, **options: Any) -> LanguageModel:
    torch.manual_seed(0)
    sizes = {"block_size": 16, "layers": 2, "heads": 2, "dim": 16}
    return LanguageModel(GPT(vocabulary, **{**sizes, **options}, dropout=dropout), ADAM, schedule)


# --- figures


@pytest.mark.parametrize(("block_size", "eval_batch_size"), [(16, 5), (16, 64), (16, 1)])
def test_figures_are_of_all_ids_whatever_their_batches(block_size, eval_batch_size):
    """Each once, in a last window that is not full too: the same sum by hand."""
    data = tales(block_size=block_size, eval_batch_size=eval_batch_size)
    data.facts()
    module, ids = model(data.vocab_size), data.split("test").ids
    assert (len(ids) - 1) % block_size
    module.eval()
    total = torch.zeros(())
    for first in range(0, len(ids) - 1, block_size):
        seen, following = ids[first : first + block_size], ids[first + 1 : first + block_size + 1]
        with torch.no_grad():
            total += cross_entropy(module(seen[None, : len(following)])[0], following, reduction="sum")
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    (found,) = pl.Trainer(accelerator="cpu", **quiet).test(module, data, verbose=False)  # type: ignore[arg-type]
    loss = float(total) / (len(ids) - 1)
    assert found["test/loss"] == pytest.approx(loss, rel=1e-5)
    assert found["test/perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert found["test/bits_per_character"] == pytest.approx(loss / math.log(2), rel=1e-5)
    assert set(found) == {name for name in module.logged if name.startswith("test/")}


# --- writing


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("prompt", [3, 40])
def test_it_writes_the_same_with_and_without_a_cache(positions, prompt):
    """Beyond the window too, and after a prompt that is longer than one."""
    module = model(positions=positions).eval()
    prompts = torch.randint(2, 38, (3, prompt), generator=torch.Generator().manual_seed(0))
    draws = torch.rand(3, 50, generator=torch.Generator().manual_seed(1))
    for how in ({"temperature": 0.0}, {"temperature": 1.5}, {"temperature": 1.0, "top_k": 3}):
        written = [torch.stack([*module.write(prompts, draws, **how, cached=cached)]) for cached in (True, False)]
        assert torch.equal(*written)


def test_a_text_depends_on_the_seed_and_its_number_alone():
    module, tokens = model().eval(), Characters().learn(["abcdefghijklmnopqrstuvwxyz ABCDEFGHI"])
    several = texts(module, tokens, "ab", 3, TOGETHER, 30)
    assert len(set(several)) == TOGETHER
    assert texts(module, tokens, "ab", 3, 1, 30) == several[:1]
    chosen = continuations(module, tokens, "ab", 3, [5, 2], 30)
    assert [tokens.decode(ids) for ids in zip(*chosen, strict=True)] == [several[5], several[2]]
    assert texts(module, tokens, "ab", 4, 1, 30) != several[:1]


def test_reserved_ids_are_never_written():
    module = model()
    module.network.embedding.weight.data[0] = 9  # the likeliest by far, or the least likely
    module.network.embedding.weight.data[1] = -9
    written = torch.stack([*module.eval().write(torch.full((4, 3), 5), torch.rand(4, 40), reserved=2)])
    assert int(written.min()) >= 2


def test_ids_are_drawn_as_often_as_they_are_likely():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).expand(20_000, -1)
    draws = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    for temperature, top_k in ((1.0, None), (0.5, None), (1.0, 2)):
        expected = (logits[0] / temperature).softmax(0)
        if top_k:
            expected = torch.where(expected >= expected.topk(top_k).values[-1], expected, torch.zeros(()))
            expected /= expected.sum()
        found = drawn(logits, draws, temperature, top_k).bincount(minlength=4) / 20_000
        torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    assert drawn(logits, draws, 0).unique().tolist() == [2]
    assert drawn(logits[:2], torch.tensor([0.0, 1 - 2**-24])).tolist() == [0, 3]


def test_a_text_is_shown_by_whole_characters():
    pytest.importorskip("tokenizers")
    from lightloom.data.tokens import Bpe

    tokens, text = Bpe(size=256).learn(["x"]), "naïve 🐭 一"
    shown = [row[0] for row in pieces(tokens, ([i] for i in tokens.encode(text)), 1)]
    assert "".join(shown) == text
    assert all("\ufffd" not in piece for piece in shown)


# --- training


def run(
    folder: Path, resume: Path | None = None, keeper: type[RunCheckpoint] = RunCheckpoint, **options: Any
) -> dict[str, Any]:
    """Two epochs of a few steps with dropout, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    data = tales(batch_size=9)
    module = model(data.facts()["vocab_size"], dropout=0.3, schedule=SCHEDULES["cosine"])
    module.save_hyperparameters({"model": {}, "data": {}})
    keep = keeper(str(folder / "checkpoints"), "val/loss", "min", every_n_steps=1)
    told = Continuations(str(folder), 0, num_samples=1, num_tokens=5)
    trainer = train(folder, module, data, keep, resume, callbacks=[told], **{"max_epochs": 2, **options})
    return state(trainer, folder, resume)


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}], ids=["plain", "accumulated"])
def test_resume_is_exact_with_dropout(tmp_path, options):
    full = run(tmp_path / "full", keeper=KeepAll, **options)
    assert continue_each(tmp_path, full, run=run, **options) >= 4
    told = json.loads((tmp_path / "full/continuations.json").read_text())
    assert [one["epoch"] for one in told] == [1, 2]


def test_accumulated_parts_are_one_batch():
    """Windows have equally many ids, so the mean of means is that of all."""
    data = tales()
    data.setup()
    batches = list(data.train_dataloader())[:2]
    whole = tuple(torch.cat(part) for part in zip(*batches, strict=True))
    gradients = []
    for given in (batches, [whole]):
        module = model(data.vocab_size)
        for batch in given:
            (module.training_step(batch, 0) / len(given)).backward()
        gradients.append([p.grad for p in module.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


TALES = ("model=gpt", "data=tales", "data.reader.train_size=30", "data.reader.val_size=7", "data.reader.test_size=9")
TALES += ("data.block_size=16", "data.batch_size=8", "model.network.dim=16", "model.network.layers=2")
TALES += ("trainer.max_epochs=2", "trainer.limit_train_batches=10", "preflight=false", "optimizer=sgd")


def test_two_processes_train_and_measure_what_one_does(tmp_path):
    """Three processes of some seconds."""
    one, two = one_and_two(tmp_path, *TALES)
    told = [json.loads((folder / "continuations.json").read_text()) for folder in (one, two)]
    assert told[0] == told[1]
