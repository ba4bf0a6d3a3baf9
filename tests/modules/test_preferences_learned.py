"""SFT, a reward model and DPO: what is looked at, what is frozen, and that a run is the same however it is run."""

from __future__ import annotations

import copy
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
import pytorch_lightning as pl
import torch
from conftest import at_hand, models_for
from one_step import reader_of_sets, train_and_restore
from resumable import SCHEDULES, KeepAll, continue_each, state, train
from torch.nn.functional import cross_entropy, pad

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.data.preferences.answered import Pairs
from lightloom.data.preferences.datamodule import AnswersDataModule, PreferencesDataModule
from lightloom.data.preferences.deeds import Deeds
from lightloom.data.preferences.ending import EOS
from lightloom.data.tokens import Characters
from lightloom.engine import checkpoint
from lightloom.modules.dpo import DPO
from lightloom.modules.fine_tuning import FineTuning
from lightloom.modules.language_model import IGNORE
from lightloom.modules.preference_measures import in_true_order, is_right
from lightloom.modules.reward_model import RewardModel
from lightloom.networks.transformer.gpt import GPT
from lightloom.ops.answers import log_probabilities
from lightloom.ops.rewards import Share

ADAM = partial(torch.optim.AdamW, lr=1e-2)
SGD = partial(torch.optim.SGD, lr=0.1)
TASKS = ("supervised_fine_tuning", "reward_modelling", "preference_optimization")
KINDS = {"supervised_fine_tuning": "deeds", "reward_modelling": "deed_preferences"}
SMALL = ["data.batch_size=2", "model.network.dim=16", "model.network.layers=1"]


@pytest.mark.parametrize(("task", "model"), [(task, model) for task in TASKS for model in models_for(task)])
def test_one_step_saved_and_reloaded_predicts_equally(task, model, tmp_path):
    data = KINDS.get(task, "deed_preferences")
    datamodule = at_hand(reader_of_sets(model, [*SMALL, "data.reader.train_size=8"])(data))
    _, module, again = train_and_restore(model, data, SMALL, datamodule, tmp_path)
    ids = torch.randint(2, 30, (2, 16))
    with torch.inference_mode():
        assert torch.equal(module(ids), again(ids))


def network(dropout: float = 0.0, vocabulary: int = 39, **options: Any) -> GPT:
    torch.manual_seed(0)
    return GPT(vocabulary, 128, layers=1, heads=2, dim=16, dropout=dropout, **options)


def data(kind: type[AnswersDataModule] = PreferencesDataModule, size: int = 24, **options: Any) -> AnswersDataModule:
    facts = {"name": "deeds", "kind": "preferences", "vocab_size": None, "block_size": 128}
    sizes = {"batch_size": 8, "eval_batch_size": 5}
    return kind(Deeds(Share(), size, 7, 6), Characters(specials=[EOS]), **{**facts, **sizes, **options})


def batch_of(datamodule: AnswersDataModule) -> Any:
    datamodule.setup()
    return next(iter(datamodule.train_dataloader()))


def moved(module: torch.nn.Module) -> Any:
    """With weights that are not those of the start."""
    torch.manual_seed(1)
    for weight in module.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    return module


# --- the reward


def test_a_reward_is_read_at_the_last_real_id_whatever_the_padding():
    module = moved(RewardModel(network(), 16, ADAM)).eval()
    batch = batch_of(data())
    found = module.scores(batch.ids)
    torch.testing.assert_close(module.scores(pad(batch.ids, (0, 8))), found)
    alone = [module(ids[ids != 0][None])[0] for pair in batch.ids for ids in pair]
    torch.testing.assert_close(torch.stack(alone), found.flatten())
    changed = batch.ids.clone()
    changed[0, 0, int((changed[0, 0] != 0).sum()) - 2] = 5  # the last letter of an answer
    assert module.scores(changed)[0, 0] != found[0, 0]


def test_a_reward_begins_at_ln_2_and_asks_for_no_output_over_the_vocabulary():
    module = RewardModel(network(tied=False), 16, ADAM)
    loss = module.training_step(batch_of(data()), 0)
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-7)
    loss.backward()
    assert all(weight.grad is not None for weight in module.parameters())


def test_pairs_are_counted_as_right_half_or_wrong():
    scores = torch.tensor([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    assert is_right(scores).tolist() == [1, 0, 0.5, 1, 1]
    unknown = float("nan")
    worth = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [unknown, unknown]])
    assert in_true_order(scores, worth).tolist() == [0, 1, 0.5]


# --- DPO


def test_dpo_begins_at_ln_2_and_its_networks_have_no_dropout():
    module = DPO(network(dropout=0.5), ADAM).train()
    assert float(module.training_step(batch_of(data()), 0).detach()) == pytest.approx(math.log(2), abs=1e-6)


def test_the_reference_stays_bit_for_bit_what_training_began_with(tmp_path):
    """Though it was another when the module was made, as where weights of a checkpoint are taken."""
    module = DPO(network(), ADAM)
    moved(module.network)
    begun = copy.deepcopy(module.network.state_dict())
    fit(tmp_path, module, data(), max_epochs=1)
    for name, value in begun.items():
        assert torch.equal(module.reference.state_dict()[name], value)
        assert not torch.equal(module.network.state_dict()[name], value)


def test_dpo_makes_the_chosen_answer_likelier_beside_the_other():
    module, batch = DPO(network(), partial(torch.optim.SGD, lr=0.01)), batch_of(data(size=8))
    step = torch.optim.SGD(module.network.parameters(), lr=0.01)
    before = module._log_probabilities(batch)[0]
    module.training_step(batch, 0).backward()
    step.step()
    after = module._log_probabilities(batch)[0]
    apart = (after[:, 0] - after[:, 1]) - (before[:, 0] - before[:, 1])
    assert float(apart.mean()) > 0


# --- SFT


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_of_sft_is_that_of_the_mean_over_all_ids_of_answers(parts):
    """However unequally accumulated batches have them; nothing of a prompt counts."""
    datamodule = data(AnswersDataModule, size=16, batch_size=16 // parts)
    datamodule.setup()
    batches = list(datamodule.train_dataloader())
    module = FineTuning(network(), SGD)
    before, weights = [p.detach().clone() for p in module.parameters()], list(module.parameters())
    asked = sum(int((targets != IGNORE).sum()) for _, targets in batches)
    total = sum(cross_entropy(module(ids).flatten(0, 1), t.flatten(), reduction="sum") for ids, t in batches)
    gradients = torch.autograd.grad(total / asked, weights)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, accumulate_grad_batches=parts, limit_val_batches=0, **quiet)
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    assert trainer.global_step == 1
    for start, gradient, after in zip(before, gradients, weights, strict=True):
        torch.testing.assert_close(after.detach(), start - 0.1 * gradient, rtol=1e-4, atol=1e-6)


# --- runs


def fit(
    folder: Path,
    module: Any,
    datamodule: Any,
    resume: Path | None = None,
    keeper: type[RunCheckpoint] = RunCheckpoint,
    **options: Any,
) -> Any:
    pl.seed_everything(0, verbose=False)
    module.save_hyperparameters({"model": {}, "data": {}})
    keep = keeper(str(folder / "checkpoints"), "val/loss", "min", every_n_steps=1)
    return train(folder, module, datamodule, keep, resume, **options)


MADE: dict[str, Any] = {
    "sft": lambda: (FineTuning(network(0.3), ADAM, SCHEDULES["cosine"]), data(AnswersDataModule)),
    "reward": lambda: (RewardModel(network(0.3), 16, ADAM, SCHEDULES["cosine"]), data()),
    "dpo": lambda: (DPO(network(0.3), ADAM, scheduler=SCHEDULES["cosine"]), data()),
}


@pytest.mark.parametrize("name", MADE)
def test_resume_is_exact(tmp_path, name):
    def run(folder: Path, resume: Path | None = None, keeper: type[RunCheckpoint] = RunCheckpoint) -> dict[str, Any]:
        module, datamodule = MADE[name]()
        datamodule.facts()
        return state(fit(folder, module, datamodule, resume, keeper, max_epochs=2), folder, resume)

    full = run(tmp_path / "full", keeper=KeepAll)
    assert full["steps"] == 6
    assert continue_each(tmp_path, full, run=run) >= 4


RUN = ("data.reader.train_size=24", "data.reader.val_size=7", "data.reader.test_size=9", "data.batch_size=4")
RUN += ("model.network.dim=16", "model.network.layers=1", "trainer.max_epochs=1", "preflight=false")


@pytest.mark.parametrize(("model", "dataset"), [("sft", "deeds"), ("dpo", "deed_preferences")])
def test_two_processes_train_and_measure_what_one_does(model, dataset, tmp_path):  # three processes of some seconds
    options = (f"model={model}", f"data={dataset}", *RUN, "run_name=one", "optimizer=sgd")
    commands.run(tmp_path / "a", *options, "trainer=cpu")
    commands.run_two(tmp_path / "b", *options)
    one, two = (tmp_path / name / "runs/one" for name in ("a", "b"))
    expected, found = (checkpoint.load(folder / "checkpoints/last.ckpt")["state_dict"] for folder in (one, two))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)
    measured = [json.loads((folder / "results.json").read_text()) for folder in (one, two)]
    assert measured[1]["test/loss"] == pytest.approx(measured[0]["test/loss"], rel=1e-4)


def test_each_model_begins_with_the_one_before_it(tmp_path):
    """Its vocabulary too; and the reference of DPO is what SFT has learned."""
    runs, sizes = tmp_path / "runs", ("model.network.dim=16", "model.network.layers=1", "trainer=cpu")
    gpt = ("model=gpt", "data=tales", "data.reader.train_size=40", "data.reader.val_size=4", "data.reader.test_size=4")
    commands.run(tmp_path, *gpt, *sizes, "trainer.max_epochs=1", "preflight=false", "run_name=gpt", "data.batch_size=8")
    begun = {"sft": ("gpt", "deeds", "true"), "reward": ("sft", "deed_preferences", "network")}
    begun["dpo"] = ("sft", "deed_preferences", "network")
    for name, (before, dataset, parts) in begun.items():
        start = (f"ckpt_path={runs / before}", f"weights_only_init={parts}", f"run_name={name}")
        said = commands.run(tmp_path, f"model={name}", f"data={dataset}", *RUN, "trainer=cpu", *start)
        assert "takes over the vocabulary of" in said
    saved = {name: checkpoint.load(runs / name / "checkpoints/last.ckpt") for name in ("gpt", *begun)}
    assert {str(one["data_state"]) for one in saved.values()} == {str(saved["gpt"]["data_state"])}
    sft = checkpoint.load(runs / "sft/checkpoints/last.ckpt")["state_dict"]
    for name, value in sft.items():
        if name.startswith("network."):
            assert torch.equal(saved["dpo"]["state_dict"][name.replace("network.", "reference.", 1)], value)


def test_an_answer_is_as_likely_in_a_batch_as_alone():
    module, batch = network().eval(), batch_of(data())
    found = log_probabilities(module, batch.ids, batch.starts[:, None])
    for i in range(len(batch.ids)):
        ids = batch.ids[i, 0][batch.ids[i, 0] != 0]
        alone = log_probabilities(module, ids[None, None], batch.starts[i : i + 1, None])
        torch.testing.assert_close(alone[0, 0], found[i, 0], rtol=1e-5, atol=1e-4)
    assert isinstance(batch, Pairs)
