"""PPO of answers: how they are drawn and judged, what the first step is, what stays still, and exact continuation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import at_hand, data_of, in_turn, models_for
from one_step import reader_of_sets, train_and_restore
from resumable import KeepAll, continue_each, state, train
from torch import Tensor, nn
from two_processes import one_and_two

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.callbacks.run.rng import KeyedRandomness
from lightloom.core.errors import UserError
from lightloom.data.preferences.deeds import Deeds
from lightloom.data.preferences.prompts import PromptsDataModule
from lightloom.data.tokens import Characters
from lightloom.modules.language_model import written
from lightloom.modules.language_ppo import LanguagePPO, answers_after, distinct
from lightloom.networks.transformer.gpt import GPT
from lightloom.ops.drawing import drawn
from lightloom.ops.policy import log_likelihoods
from lightloom.ops.rewards import Share
from lightloom.ops.rng import uniforms
from lightloom.optim import schedules

DATA = data_of("prompts")
SMALL = ["data.batch_size=4", "data.eval_batch_size=4", "model.network.dim=16", "model.network.layers=1"]
SMALL += ["data.reader.train_size=8", "data.reader.val_size=4", "data.reader.test_size=4"]
QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
ADAM = partial(torch.optim.Adam, lr=1e-3)


@pytest.fixture(scope="module")
def datasets():
    """Of each name its datamodule, read once."""
    return reader_of_sets("ppo_gpt", SMALL)


@pytest.mark.parametrize(
    ("model", "data"), in_turn(models_for("reward_maximization"), [n for n in DATA if n != "prompts"], "deed_prompts")
)
def test_one_step_saved_and_reloaded_answers_equally(model, data, datasets, tmp_path):
    _, module, again = train_and_restore(model, data, SMALL, at_hand(datasets(data)), tmp_path)
    prompts, draws = torch.randint(2, 30, (2, 5)), torch.rand(2, 9)
    assert torch.equal(*(torch.stack(list(one.write(prompts, draws))) for one in (module, again)))


def prompts(**options: Any) -> PromptsDataModule:
    facts = {"name": "deed_prompts", "kind": "prompts", "vocab_size": None, "block_size": 64}
    sizes = {"batch_size": 8, "eval_batch_size": 8, "longer": "leave_out"}
    data = PromptsDataModule(Deeds(Share(), 96, 24, 8), Characters(("<eos>",)), **{**facts, **sizes, **options})
    data.setup()
    return data


def gpt(vocabulary: int = 39, layers: int = 2, **options: Any) -> GPT:
    torch.manual_seed(0)
    network = GPT(vocabulary, 64, layers, 2, 16, **options)
    network.embedding.weight.data.mul_(9)  # a distribution that is far from even
    return network


def policy(data: PromptsDataModule, reward: Any = None, **options: Any) -> LanguagePPO:
    more = {"optimizer": ADAM, "kl_weight": 0.1, "epochs": 2, "minibatches": 2, "answer_length": 12, "dim": 16}
    return LanguagePPO(gpt(data.vocab_size), reward or Share(), **{**more, **options})


def fitted(module: LanguagePPO, data: PromptsDataModule, **options: Any) -> pl.Trainer:
    more = {"max_epochs": 1, "limit_train_batches": 2, **QUIET, **options}
    trainer = pl.Trainer(accelerator="cpu", callbacks=[KeyedRandomness(0)], **more)
    trainer.fit(module, data)
    return trainer


# --- answers


def test_answers_to_prompts_of_all_lengths_are_those_of_each_alone():
    network, end = gpt().eval(), 5
    lengths, draws = torch.tensor([3, 9, 6, 9]), uniforms(torch.arange(4), 20)
    ids = torch.randint(6, 39, (4, 9), generator=torch.Generator().manual_seed(0))
    ids[torch.arange(9) >= lengths[:, None]] = 0
    together = answers_after(network, ids, lengths, draws, end, 0.8, 2)
    for i, length in enumerate(lengths.tolist()):
        rows = list(written(network, ids[i : i + 1, :length], draws[i : i + 1], temperature=0.8, reserved=2))
        expected = torch.cat(rows).tolist()
        expected = expected[: expected.index(end) + 1] if end in expected else expected
        found = together[i].tolist()
        assert found[:length] == ids[i, :length].tolist()
        assert found[length : length + len(expected)] == expected
        assert not any(found[length + len(expected) :])


def test_distinct_runs():
    assert [distinct(ids) for ids in ([1, 2, 3], [1, 1, 1, 1], [1, 2, 1, 2, 1], [1])] == [1, 1 / 3, 0.5, 1]


def test_a_score_counts_at_the_last_real_id():
    """Not at padding: whatever stands there; and less the mean, over the deviation of the first answers."""
    data = prompts()
    module = policy(data, unended=0.0)
    fitted(module, data, limit_train_batches=1, limit_val_batches=0)
    with torch.no_grad():
        episodes = module.play(*next(iter(data.train_dataloader())))
    counts = (episodes.rewards != 0).sum(1)
    assert counts.tolist() == [1] * 8
    ids, places = episodes.seen, episodes.rewards.ne(0).float().argmax(1) + 1
    after = torch.arange(ids.shape[1]) > places[:, None]
    assert (ids.gather(1, places[:, None]) != 0).all()
    assert not ids[after].any()
    expected = (episodes.measured["score"] - module.center) / module.spread
    torch.testing.assert_close(episodes.rewards.sum(1), expected)


def test_first_answers_have_the_reward_0_on_average():
    data = prompts()
    module = policy(data, unended=0.0, kl_weight=0.5)
    found = fitted(module, data, limit_train_batches=1, limit_val_batches=0).callback_metrics
    assert float(found["train/kl"]) == 0  # the policy is its reference, to the bit
    assert float(found["train/objective"]) == pytest.approx(0, abs=1e-5)
    assert float(found["train/score"]) == pytest.approx(float(module.center), rel=1e-5)


# --- an iteration


def test_the_first_ratio_is_1_by_the_full_forward_and_not_by_the_cached_one():
    data = prompts()
    module = policy(data)
    found = fitted(module, data).callback_metrics
    assert found["train/first_log_ratio"] == 0
    with torch.no_grad():
        episodes = module.play(*next(iter(data.train_dataloader())))
        cache, ids = module.network.empty_cache(), episodes.seen
        steps = torch.cat([module.network(ids[:, i : i + 1], cache) for i in range(ids.shape[1] - 1)], 1)
        steps[..., : data.reserved] = -1e9
        apart = (log_likelihoods(steps, episodes.actions) - module.log_p(module.network, episodes)) * episodes.taken
    assert 0 < apart.abs().max() < 1e-4


class Judge(nn.Module):
    """A reward of ids that could learn."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Embedding(39, 1)

    def forward(self, ids: Tensor) -> Tensor:
        return self.scores(ids).mean((1, 2))


def test_reference_and_learned_reward_stay_as_they_are_to_the_bit():
    data = prompts()
    module = policy(data, Judge())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = fitted(module, data)
    frozen = ("reference.", "reward.")
    for name, value in module.state_dict().items():
        assert name == "kl_weight" or torch.equal(value, before[name]) == name.startswith(frozen), name
    assert "train/true_score" in trainer.callback_metrics  # what the data knows beside it


@pytest.mark.parametrize("trunk", ["own", "shared"])
def test_only_a_shared_trunk_lets_the_values_move_the_policy(trunk):
    data = prompts()
    module = policy(data, trunk=trunk)
    fitted(module, data, limit_train_batches=1, limit_val_batches=0)
    episodes = module.play(*next(iter(data.train_dataloader())))
    loss = module.values(episodes).square().sum()
    found = torch.autograd.grad(loss, list(module.network.parameters()), allow_unused=True)
    assert any(part is not None and part.any() for part in found) == (trunk == "shared")


def test_the_trunk_of_the_values_begins_as_the_policy():
    data = prompts()
    module = policy(data, optimizer=partial(torch.optim.SGD, lr=0.0))
    module.network.embedding.weight.data.mul_(2)  # as a checkpoint would, after the module was built
    fitted(module, data, limit_train_batches=1, limit_val_batches=0)
    for part in (module.critic.trunk, module.reference):
        assert torch.equal(part.embedding.weight, module.network.embedding.weight)


def test_what_an_answer_without_an_end_costs():
    data = prompts()
    free, costly = policy(data, unended=0.0), policy(data, unended=3.0)
    for module in (free, costly):
        fitted(module, data, limit_train_batches=1, limit_val_batches=0, max_epochs=1)
        module.network.load_state_dict(module.reference.state_dict())
    batch = next(iter(data.train_dataloader()))
    one, other = (module.play(*batch) for module in (free, costly))
    torch.testing.assert_close(one.rewards.sum(1) - other.rewards.sum(1), 3 * (1 - one.measured["ended"]))
    assert 0 < one.measured["ended"].sum() < 8


@pytest.mark.parametrize("temperature", [0.5, 1.5])
def test_probabilities_are_those_of_the_temperature_at_which_is_drawn(temperature):
    data = prompts()
    module = policy(data, temperature=temperature)
    fitted(module, data, limit_train_batches=1, limit_val_batches=0)
    _, starts, keys = batch = next(iter(data.train_dataloader()))
    episodes = module.play(*batch)
    with torch.no_grad():
        logits = module.logits(module.network, episodes)
    rows = torch.arange(8)
    first = drawn(logits[rows, starts - 1], uniforms(keys, module.answer_length)[:, 0])
    assert torch.equal(first, episodes.seen[rows, starts])


def test_answers_that_do_not_fit_are_refused():
    data = prompts()
    with pytest.raises(UserError, match=r"model\.answer_length=60 are more than the data\.block_size=64"):
        fitted(policy(data, answer_length=60), data)


def test_a_reward_of_another_vocabulary_is_refused():
    data, judge = prompts(), Judge()
    judge.vocabulary = "another"  # type: ignore[assignment]
    with pytest.raises(UserError, match="another vocabulary than the policy"):
        fitted(policy(data, judge), data)


# --- guarantees


def run(
    folder: Path, resume: Path | None = None, keeper: type[RunCheckpoint] = RunCheckpoint, **options: Any
) -> dict[str, Any]:
    """Two epochs of two iterations, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    data = prompts(batch_size=32)
    module = policy(data, kl_target=1.0, scheduler=schedules.cosine)
    module.save_hyperparameters({"model": {}, "data": {}})
    keep = keeper(str(folder / "checkpoints"), "val/objective", "max", every_n_steps=1)
    trainer = train(folder, module, data, keep, resume, **{"max_epochs": 2, **options})
    return state(trainer, folder, resume)


def test_resume_is_exact_between_and_inside_epochs(tmp_path):
    full = run(tmp_path / "full", keeper=KeepAll)
    assert continue_each(tmp_path, full, run=run) >= 4


DEEDS = ("model=ppo_gpt", "data=deed_prompts", *SMALL, "data.reader.train_size=16", "model.answer_length=20")
DEEDS += ("trainer.max_epochs=2", "preflight=false", "optimizer=sgd", "weights_only_init=false")


def test_two_processes_train_and_measure_what_one_does(tmp_path):
    """Three processes of some seconds."""
    one_and_two(tmp_path, *DEEDS)
