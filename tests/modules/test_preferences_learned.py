"""SFT, a reward model and DPO: what is looked at, what is frozen, and that a run is the same however it is run."""

from __future__ import annotations

import copy
import csv
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
from omegaconf import OmegaConf
from one_step import reader_of_sets, train_and_restore
from resumable import SCHEDULES, KeepAll, continue_each, state, train
from torch.nn.functional import cross_entropy, pad
from two_processes import one_and_two

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.config.compose import compose, without_hydra
from lightloom.core.errors import UserError
from lightloom.core.run_dir import find_checkpoint
from lightloom.data.preferences.answered import Pairs
from lightloom.data.preferences.datamodule import AnswersDataModule, PreferencesDataModule
from lightloom.data.preferences.deeds import Deeds
from lightloom.data.preferences.ending import EOS
from lightloom.data.tokens import Characters
from lightloom.engine import checkpoint, resume
from lightloom.modules.dpo import DPO
from lightloom.modules.fine_tuning import FineTuning
from lightloom.modules.language_model import IGNORE
from lightloom.modules.preference_learning import PairMeans, in_true_order, is_right
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


def test_what_nobody_knows_is_not_logged():
    class Module(dict):
        log = dict.__setitem__

    found, module = PairMeans(("loss", "true_acc")), Module()
    found.add(
        "val", loss=torch.tensor([1.0, 2.0]), true_acc=in_true_order(torch.ones(2, 2), torch.full((2, 2), math.nan))
    )
    found.log(module, "val")
    assert module == {"val/loss": 1.5}


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
    assert float(apart.detach().mean()) > 0


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


@pytest.mark.parametrize(
    ("model", "dataset"), [("sft", "deeds"), ("reward", "deed_preferences"), ("dpo", "deed_preferences")]
)
def test_two_processes_train_and_measure_what_one_does(model, dataset, tmp_path):  # three processes of some seconds
    one_and_two(tmp_path, f"model={model}", f"data={dataset}", *RUN, "optimizer=sgd", "weights_only_init=false")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A run of a few steps of each model, begun with the one before it; what each said, by its name."""
    folder, sizes = (
        tmp_path_factory.mktemp("pipeline"),
        ("model.network.dim=16", "model.network.layers=1", "trainer=cpu"),
    )
    gpt = ("model=gpt", "data=tales", "data.reader.train_size=40", "data.reader.val_size=4", "data.reader.test_size=4")
    commands.run(folder, *gpt, *sizes, "trainer.max_epochs=1", "preflight=false", "run_name=gpt", "data.batch_size=8")
    begun = {"sft": ("gpt", "deeds", "true"), "reward": ("sft", "deed_preferences", "network")}
    begun["dpo"] = ("sft", "deed_preferences", "network")
    said = {}
    for name, (before, dataset, parts) in begun.items():
        start = (f"ckpt_path={folder / 'runs' / before}", f"weights_only_init={parts}", f"run_name={name}")
        options = (*RUN, "trainer.max_epochs=2", "callbacks.answers.num_tokens=12") if name == "dpo" else RUN
        said[name] = commands.run(folder, f"model={name}", f"data={dataset}", *options, "trainer=cpu", *start)
    return folder, folder / "runs", said


def test_each_model_begins_with_the_one_before_it(pipeline):
    """Its vocabulary too; and the reference of DPO is what SFT has learned."""
    _, runs, said = pipeline
    assert all("takes over the vocabulary of" in one for one in said.values())
    saved = {name: checkpoint.load(runs / name / "checkpoints/last.ckpt") for name in ("gpt", *said)}
    assert {str(one["data_state"]) for one in saved.values()} == {str(saved["gpt"]["data_state"])}
    begun = checkpoint.load(find_checkpoint(str(runs / "sft"), runs, prefer="last"))["state_dict"]
    for name, value in begun.items():
        if name.startswith("network."):
            assert torch.equal(saved["dpo"]["state_dict"][name.replace("network.", "reference.", 1)], value)


def test_a_run_keeps_its_answers_and_how_far_they_are_from_the_reference(pipeline):
    _, runs, _ = pipeline
    kept = {name: json.loads((runs / name / "answers.json").read_text()) for name in ("sft", "dpo")}
    assert [one["epoch"] for one in kept["dpo"]] == [1, 2]
    assert all(len(one["answers"]) == 4 and len(one["answers"][0]["texts"]) == 2 for one in kept["dpo"])
    assert kept["sft"][0]["kl"] is None
    assert all(math.isfinite(one["kl"]) and 0 <= one["reward"] <= 10 for one in kept["dpo"])
    page = (runs / "dpo/report.html").read_text(encoding="utf-8")
    assert "reward against KL" in page
    assert kept["dpo"][0]["answers"][0]["prompt"] in page


def answered(pipeline: Any, *options: str) -> tuple[str, list[list[str]], Path]:
    """What predict.py says, the rows of answers.csv, and the folder."""
    folder, runs, _ = pipeline
    asked = ("prompt=The shy fox was called Ada.", "num_samples=2", "num_tokens=8", "trainer=cpu")
    said = commands.run(folder, *asked, *(option.format(runs=runs) for option in options), script="predict")
    where = max((folder / "predict").iterdir())
    with (where / "answers.csv").open(newline="", encoding="utf-8") as file:
        return said, list(csv.reader(file)), where


def test_answers_stand_beside_those_of_another_checkpoint(pipeline):
    said, rows, where = answered(pipeline, "ckpt_path={runs}/sft", "against={runs}/sft", "scored_by={runs}/reward")
    assert [row[1] for row in rows[1:]] == [row[2] for row in rows[1:]]  # of the same seeds
    assert [row[3] for row in rows[1:]] == [row[4] for row in rows[1:]]
    assert "0.00 nats an answer, over 2" in said
    assert "in 50.0%, ties half" in said
    assert "The shy fox was called Ada." in (where / "answers.html").read_text(encoding="utf-8")


def test_an_answer_is_no_longer_than_a_reward_model_sees(pipeline):
    said, rows, _ = answered(pipeline, "ckpt_path={runs}/dpo", "scored_by={runs}/reward", "num_tokens=400")
    assert len(rows) == 3
    assert "Mean reward" in said


def test_the_best_of_several_answers_is_one_of_them_with_the_highest_reward(pipeline):
    _, every, _ = answered(pipeline, "ckpt_path={runs}/dpo", "scored_by=vowels", "num_samples=8")
    _, best, _ = answered(pipeline, "ckpt_path={runs}/dpo", "scored_by=vowels", "best_of=4")
    rewards = [float(row[2]) for row in every[1:]]
    assert [float(row[2]) for row in best[1:]] == [max(rewards[:4]), max(rewards[4:])]
    assert {row[1] for row in best[1:]} <= {row[1] for row in every[1:]}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["scored_by=vowels", f"prompt={'x' * 127}"], "has 127 ids, which leaves no room for an answer"),
        (["best_of=4"], "best_of=4: say by which reward: scored_by="),
        (["scored_by={runs}/sft"], "scores no answers; name one of model=reward, or vowels, length"),
        (["against={runs}/reward"], "writes no text; name another checkpoint"),
    ],
)
def test_what_cannot_be_answered_is_told(pipeline, options, said):
    folder, runs, _ = pipeline
    options = options if any("prompt=" in option for option in options) else ["prompt=x", *options]
    asked = ("trainer=cpu", f"ckpt_path={runs}/dpo", *(option.format(runs=runs) for option in options))
    command = commands.start(folder, *asked, script="predict")
    assert command.wait() == 2
    assert said in command.text


def test_pairs_of_a_file_are_scored(pipeline, tmp_path):
    folder, runs, _ = pipeline
    pairs = [{"prompt": "The shy fox was called Ada.", "chosen": " She hid.", "rejected": " She lost a kite."}] * 2
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    asked = (f"ckpt_path={runs}/reward", f"input={tmp_path}/pairs.jsonl", "trainer=cpu")
    assert "of 2 pairs" in commands.run(folder, *asked, script="predict")
    with (max((folder / "predict").iterdir()) / "rewards.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[1] == rows[2]
    assert rows[1][3] != rows[1][4]


def test_an_answer_is_as_likely_in_a_batch_as_alone():
    module, batch = network().eval(), batch_of(data())
    found = log_probabilities(module, batch.ids, batch.starts[:, None])
    for i in range(len(batch.ids)):
        ids = batch.ids[i, 0][batch.ids[i, 0] != 0]
        alone = log_probabilities(module, ids[None, None], batch.starts[i : i + 1, None])
        torch.testing.assert_close(alone[0, 0], found[i, 0], rtol=1e-5, atol=1e-4)
    assert isinstance(batch, Pairs)


@pytest.mark.parametrize("model", ["dpo", "ppo_gpt"])
def test_random_weights_are_refused_unless_they_are_meant(model):
    """Those of a run that goes on are none: all the runs here do."""
    cfg = without_hydra(compose("train", [f"model={model}", "data=deed_prompts", "run_name=none"]))
    remedy = "ckpt_path=<run of model=sft> weights_only_init=network, or weights_only_init=false to mean them"
    with pytest.raises(UserError, match=rf"^(DPO|LanguagePPO) would begin with random weights; set {remedy}\.$"):
        resume.find(cfg)
    for meant in ({"weights_only_init": False}, {"trainer": {"fast_dev_run": True}}):
        assert resume.find(OmegaConf.merge(cfg, meant)).path is None
