"""A reader of texts measures what it says, refuses what it cannot learn, and resumes as it was, in any processes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
import pytorch_lightning as pl
import torch
from conftest import models_for
from one_step import reader_of_sets, train_and_restore
from outcomes import results
from resumable import SCHEDULES, KeepAll, continue_each, state, train
from torch import nn

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.core.errors import UserError
from lightloom.data.text_images.augment import TextAugment
from lightloom.data.text_images.captchas import Captchas
from lightloom.data.text_images.datamodule import TextImageDataModule
from lightloom.engine import checkpoint
from lightloom.losses.text_recognition import CTC, PlaceCrossEntropy
from lightloom.metrics.text_recognition import ReadingErrors, matched
from lightloom.modules.text_reader import TextReader
from lightloom.networks.nin import NiN
from lightloom.networks.recognition.crnn import CRNN
from lightloom.networks.recognition.places import ColumnHeads, PlaceHeads

SIZES = ["data.reader.train_size=4", "data.reader.val_size=2", "data.reader.test_size=2", "data.batch_size=2"]
SMALL = [*SIZES, "data.max_length=4", "data.num_workers=0"]


@pytest.fixture(scope="module")
def captchas():
    """Their datamodule, read once."""
    return reader_of_sets("crnn", SMALL)("captchas")


@pytest.mark.parametrize("model", models_for("text_recognition"))
def test_one_step_saved_and_reloaded_reads_equally(model, captchas, tmp_path):
    _, module, again = train_and_restore(model, "captchas", SMALL, captchas, tmp_path)
    images = torch.rand(2, 1, 32, 112)
    with torch.inference_mode():
        assert torch.equal(module(images), again(images))
        assert module.read(images) == again.read(images)


# --- measures


class Told(nn.Module):
    """Reads what a picture's first column says: the code of each place, in rows."""

    def __init__(self, places: int, symbols: int) -> None:
        super().__init__()
        self.scale, self.places, self.symbols = nn.Parameter(torch.tensor(8.0)), places, symbols

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        codes = images[:, 0, : self.places, 0].round().long()
        return self.scale * nn.functional.one_hot(codes, self.symbols + 1)


def edits(a: list[int], b: list[int]) -> int:
    """Levenshtein's distance, by its recursion."""
    if not a or not b:
        return len(a) + len(b)
    return min(edits(a[1:], b) + 1, edits(a, b[1:]) + 1, edits(a[1:], b[1:]) + (a[0] != b[0]))


def test_figures_are_those_of_each_text_by_itself():
    """Three batches of several sizes; texts of 1 to 4 symbols of 3."""
    generator = torch.Generator().manual_seed(0)
    true = [torch.randint(1, 4, (n,), generator=generator).tolist() for n in (4, 3, 2, 1, 4, 3, 4)]
    read = [[*text[:-1], *[text[0]] * (i % 3)] for i, text in enumerate(true)]
    measure = ReadingErrors(4)
    for part in (slice(0, 3), slice(3, 4), slice(4, 7)):
        codes = torch.tensor([[*text, *[0] * (4 - len(text))] for text in true[part]])
        measure.update(read[part], codes)
    found = measure.compute()
    both = list(zip(read, true, strict=True))
    assert float(found["exact"]) == pytest.approx(sum(a == b for a, b in both) / len(both))
    assert float(found["cer"]) == pytest.approx(sum(edits(a, b) for a, b in both) / sum(map(len, true)))
    assert float(found["length"]) == pytest.approx(sum(len(a) != len(b) for a, b in both) / len(both))
    for place in range(4):
        reaching = [(a, b) for a, b in both if len(b) > place]
        right = sum(len(a) > place and a[place] == b[place] for a, b in reaching)
        assert float(found["places"][place]) == pytest.approx(right / len(reaching))


def test_symbols_are_compared_by_the_fewest_edits():
    """As many pairs differ as there are edits, and both texts are what is left without blanks."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        true, read = (
            torch.randint(1, 4, (n,), generator=generator).tolist()
            for n in torch.randint(6, (2,), generator=generator).tolist()
        )
        pairs = matched(true, read)
        assert sum(a != b for a, b in pairs) == edits(true, read)
        assert [a for a, _ in pairs if a] == true
        assert [b for _, b in pairs if b] == read


def test_a_test_logs_them_for_all_texts_together():
    module = TextReader(Told(3, 5), PlaceCrossEntropy(), torch.optim.SGD, 5, 3, 3, [0.0], [1.0]).eval()  # type: ignore[arg-type]
    true = torch.tensor([[1, 2, 3], [4, 5, 1], [2, 2, 2], [3, 1, 4], [5, 5, 5]])
    seen = true.clone()
    seen[0, 1], seen[3, 2] = 4, 1
    images = torch.zeros(5, 1, 3, 2)
    images[:, 0, :, 0] = seen.float()
    batches = [(images[:2], true[:2]), (images[2:], true[2:])]
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(accelerator="cpu", **quiet)  # type: ignore[arg-type]
    (found,) = trainer.test(module, torch.utils.data.DataLoader(batches, batch_size=None), verbose=False)
    wanted = {"exact": 3 / 5, "cer": 2 / 15, "length_error": 0, "place_1": 1, "place_2": 4 / 5, "place_3": 4 / 5}
    assert {name: found[f"test/{name}"] for name in wanted} == pytest.approx(wanted)
    sure = float(torch.tensor([8.0] + [0.0] * 4).softmax(0)[0]) ** 3  # the blank of places is never read
    assert found["test/calibration_error"] == pytest.approx(abs(sure - 3 / 5), abs=0.02)


def test_the_loss_is_of_each_symbol():
    module = TextReader(Told(3, 5), PlaceCrossEntropy(), torch.optim.SGD, 5, 3, 3, [0.0], [1.0])  # type: ignore[arg-type]
    logits, codes = torch.randn(2, 3, 6), torch.tensor([[1, 2, 3], [4, 4, 5]])
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), codes.flatten())
    torch.testing.assert_close(module._losses(logits, codes).mean(), expected)


# --- what cannot be learnt


def test_heads_refuse_texts_of_several_lengths():
    said = "data.min_length is 2 and data.max_length 4: a head for each place needs"
    with pytest.raises(UserError, match=said):
        TextReader(Told(4, 5), PlaceCrossEntropy(), torch.optim.SGD, 5, 2, 4, [0.0], [1.0])  # type: ignore[arg-type]


def test_a_place_reads_the_columns_that_it_looks_at():
    """Equal scores read the mean of all columns in each place; one high score reads its column."""
    network = PlaceHeads(NiN(1, 1, 32), 1, 5, 32, 64, length=3).eval()
    images = torch.rand(2, 1, 32, 64)
    columns = network.features(images).mean(2)
    nn.init.zeros_(network.scores.weight)
    torch.testing.assert_close(network(images), network.head(columns.mean(2))[:, None].expand(2, 3, 6))
    looks = torch.zeros(2, columns.shape[2], 3)
    looks[:, 1, 2] = 100.0
    network.scores = nn.Module()
    network.scores.forward = lambda _: looks
    torch.testing.assert_close(network(images)[:, 2], network.head(columns[:, :, 1]))


def test_a_network_without_maps_has_no_heads():
    with pytest.raises(UserError, match=r"Linear is no nn\.Sequential"):
        PlaceHeads(nn.Linear(2, 2), 1, 5, 32, 64, 4)


@pytest.mark.parametrize(("width", "columns"), [(20, 4), (24, 5)])
def test_a_text_that_needs_more_columns_is_refused_before_the_first_step(width, columns, tmp_path):
    """`aaa` needs five; by its name, in the words of the option."""
    data = datamodule(width=width, min_length=3, max_length=3, alphabet="ab")
    text, needed = data.most_columns()
    assert (text, needed) in [("aaa", 5), ("bbb", 5)]
    module = reader(data, width=width)
    assert module.network.columns == columns
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=1, limit_val_batches=0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    if columns < needed:
        with pytest.raises(UserError, match=rf"data\.width: the text '{text}' needs 5 columns .* makes 4"):
            trainer.fit(module, datamodule=data)
        assert trainer.global_step == 0
    else:
        trainer.fit(module, datamodule=data)
        assert trainer.global_step == 1


def test_ctc_reads_the_columns_of_any_network():
    network = ColumnHeads(NiN(1, 1, 32), 1, 5, 32, 64)
    logits = network(torch.rand(2, 1, 32, 64))
    assert logits.shape == (2, network.columns, 6)
    CTC()(logits, torch.tensor([[1, 1, 2], [3, 0, 0]])).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("auxiliary", [False, True])
def test_an_auxiliary_head_tells_convolutions_of_letters_where_the_lstms_pass_nothing_on(auxiliary):
    """Half its loss is added to what is trained; an evaluation has the logits alone."""
    network = CRNN(1, 5, 16, 48, channels=2, hidden=4, auxiliary=auxiliary)
    for weight in network.lstm.parameters():
        nn.init.zeros_(weight)
    module = TextReader(network, CTC(), torch.optim.SGD, 5, 3, 3, [0.5], [0.25])  # type: ignore[arg-type]
    images, codes = torch.rand(4, 1, 16, 48), torch.tensor([[1, 2, 3], [4, 5, 1], [2, 2, 1], [5, 4, 3]])
    total = module.training_step((images, codes), 0)
    heads = module(images) if auxiliary else (module(images),)
    losses = [module._losses(logits, codes).mean() for logits in heads]
    torch.testing.assert_close(total, losses[0] + 0.5 * sum(losses[1:]))
    total.backward()
    heard = [weight.grad.abs().max() > 0 for weight in network.features.parameters() if weight.ndim == 4]
    assert heard == [auxiliary] * 7
    assert module.eval()(images).shape == heads[0].shape


def test_gradients_are_clipped_where_the_trainer_has_no_limit_of_its_own():
    data = datamodule()
    for own, wanted in ((None, 5.0), (0.5, 0.5)):
        trainer = pl.Trainer(accelerator="cpu", gradient_clip_val=own, logger=False, enable_checkpointing=False)
        module = reader(data)
        trainer.strategy.connect(module)
        module._trainer = trainer
        module.setup("fit")
        assert trainer.gradient_clip_val == wanted


# --- exact continuation


def datamodule(width: int = 48, alphabet: str = "abc", num_workers: int = 0, **options: Any) -> TextImageDataModule:
    lengths = {"min_length": 1, "max_length": 3, **options}
    drawn = {"height": 16, "width": width, "train_size": 13, "val_size": 3, "test_size": 0}
    augment = TextAugment(rotate=5.0, scale=0.1, shift=1.0, shear=5.0, blur=0.5, jpeg=0.5)
    return TextImageDataModule(
        reader=Captchas(alphabet, **lengths, **drawn),
        **{"name": "drawn", "kind": "text_images", "alphabet": None, "num_symbols": None},
        **{"min_length": None, "max_length": None, "channels": 1, "height": 16, "width": width},
        **{"mean": [0.5], "std": [0.25], "batch_size": 4, "eval_batch_size": 2, "augment": augment},
        num_workers=num_workers,
    )


def reader(data: TextImageDataModule, width: int = 48, loss: nn.Module | None = None) -> TextReader:
    facts = data.facts()
    network = CRNN(1, facts["num_symbols"], 16, width, channels=2, hidden=4, dropout=0.3)
    adam, lengths = partial(torch.optim.AdamW, lr=1e-2), (facts["min_length"], facts["max_length"])
    options = {"scheduler": SCHEDULES["cosine"], "gradient_clip_val": 5.0}
    return TextReader(network, loss or CTC(), adam, facts["num_symbols"], *lengths, [0.5], [0.25], **options)


def run(
    folder: Path,
    resume: Path | None = None,
    keeper: type[RunCheckpoint] = RunCheckpoint,
    num_workers: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Two epochs of three steps with every augmentation there is, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    data = datamodule(num_workers=num_workers)
    module = reader(data)
    module.save_hyperparameters({"model": {}, "data": {}})
    keep = keeper(str(folder / "checkpoints"), "val/cer", "min", every_n_steps=1)
    return state(train(folder, module, data, keep, resume, **{"max_epochs": 2, **options}), folder, resume)


@pytest.mark.parametrize("options", [{}, {"precision": "bf16-mixed"}], ids=["float32", "bf16-mixed"])
def test_resume_is_exact_with_every_augmentation(tmp_path, options):
    full = run(tmp_path / "full", keeper=KeepAll, **options)
    assert full["steps"] == 6
    assert continue_each(tmp_path, full, run=run, **options) >= 2


def test_resume_is_exact_with_workers(tmp_path):
    """Workers start in seconds."""
    full = run(tmp_path / "full", keeper=KeepAll)
    assert continue_each(tmp_path, full, slice(1, 2), run=run, num_workers=2) == 1


# --- several processes

LITTLE = ("model=cnn_text", "data=captchas", "model.network.backbone.width=2", "model.network.backbone.norm=group")
LITTLE += ("data.height=16", "data.width=64", "data.alphabet=abc", "data.max_length=4", "run_name=one")
PICTURES = ("data.reader.train_size=16", "data.reader.val_size=5", "data.reader.test_size=7", "data.batch_size=8")
SGD = ("optimizer=sgd", "model.optimizer.lr=0.05", "trainer.max_epochs=2", "scheduler=constant", "preflight=false")


def test_two_processes_train_and_measure_what_one_does(tmp_path):
    """Parts are of unequal size, and some symbols are read rightly by chance. Three processes of some seconds."""
    options = (*LITTLE, *PICTURES, *SGD, "data.augment.rotate=5", "data.augment.blur=0.5", "data.eval_batch_size=2")
    commands.run(tmp_path / "a", *options, "trainer=cpu")
    commands.run_two(tmp_path / "b", *options)
    one, two = (tmp_path / name / "runs/one" for name in ("a", "b"))
    expected, found = (checkpoint.load(run / "checkpoints/last.ckpt")["state_dict"] for run in (one, two))
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
    measured = [results(run) for run in (one, two)]
    assert measured[1] == pytest.approx(measured[0], abs=1e-5)
    assert 0 < measured[0]["test/cer"] < 1
