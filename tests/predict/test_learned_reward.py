"""A reward that a run has learned, as part of a policy's run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from lightloom.core.errors import UserError
from lightloom.engine import checkpoint
from lightloom.engine.checkpoint import RECORD
from lightloom.modules.reward_model import RewardModel
from lightloom.networks.transformer.gpt import GPT
from lightloom.predict.rewards.learned import LearnedReward


def network(dim: int = 16) -> GPT:
    return GPT(12, 16, layers=1, heads=2, dim=dim)


@pytest.fixture
def saved(tmp_path):
    """A reward model and its checkpoint."""
    torch.manual_seed(0)
    model = RewardModel(network(), 16, torch.optim.SGD)
    torch.nn.init.normal_(model.score.weight)
    record: dict[str, Any] = {"config": {"model": {}, "data": {}}, "data": {"vocabulary": "abc"}, "splits": {}}
    path = tmp_path / "reward.ckpt"
    checkpoint.save({"state_dict": model.state_dict(), RECORD: record, "global_step": 1}, path)
    return model.eval(), path


def test_it_scores_as_the_run_did_and_is_whole_without_its_file(saved):
    model, path = saved
    ids = torch.randint(1, 12, (3, 9))
    learned = LearnedReward(network(), 16, str(path)).eval()
    again = LearnedReward(network(), 16, None).eval()  # as a policy's checkpoint builds it, which has the weights
    again.load_state_dict(learned.state_dict())
    with torch.no_grad():
        assert torch.equal(learned(ids), model(ids))
        assert torch.equal(again(ids), model(ids))
        padded = torch.cat([ids, torch.zeros(3, 4, dtype=torch.int64)], 1)
        torch.testing.assert_close(learned(padded), learned(ids))  # the score is at the last real id
    assert (learned.vocabulary, again.vocabulary) == ("abc", None)


def test_what_is_no_reward_model_of_these_sizes_is_refused(saved, tmp_path):
    _, path = saved
    with pytest.raises(UserError, match="is a reward model of other sizes"):
        LearnedReward(network(32), 32, str(path))
    with pytest.raises(UserError, match=r"model\.reward\.checkpoint=.*there is no such file"):
        LearnedReward(network(), 16, str(tmp_path / "none"))
    content = checkpoint.load(path)
    weights = {name: value for name, value in content["state_dict"].items() if name != "score.weight"}
    other = tmp_path / "other.ckpt"
    checkpoint.save({"state_dict": weights, RECORD: content[RECORD], "global_step": 1}, other)
    with pytest.raises(UserError, match="is no reward model's checkpoint"):
        LearnedReward(network(), 16, str(other))


def test_the_file_that_is_meant_is_written_down_when_a_run_begins(saved):
    _, path = saved
    cfg = OmegaConf.create({"paths": {"log_dir": str(path.parent)}})
    options = OmegaConf.create({"checkpoint": str(path)})
    LearnedReward.settle_options(options, None, cfg)
    assert options.checkpoint == str(path.resolve())
    later = OmegaConf.create({"checkpoint": "last"})
    LearnedReward.settle_options(later, options, cfg)
    assert later.checkpoint == options.checkpoint
