"""A reward that was learned here from pairs: what `reward@model.reward=learned` stands for."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count
from lightloom.core.run_dir import find_checkpoint
from lightloom.data.vocabulary import VOCABULARY
from lightloom.engine import checkpoint as checkpoints
from lightloom.modules.reward_model import RewardModel

OPTION = "model.reward.checkpoint"


@part
class LearnedReward(nn.Module):
    """The reward model of a run, frozen: ids int64 (B, T) of prompts, answers and their ends, to float32 (B,).

    checkpoint: a file, a run's folder, or an address; None leaves the weights to whoever has them in a file. network:
    of the sizes that the reward model has; dim: of its states. vocabulary: by which its words are numbered, which must
    be the policy's; None where no checkpoint was read. Raises UserError where the checkpoint holds another model.
    """

    def __init__(self, network: nn.Module, dim: Count, checkpoint: str | None, log_dir: str = "logs") -> None:
        super().__init__()
        self.model = RewardModel(network, dim, torch.optim.SGD)
        self.vocabulary: str | None = None
        if checkpoint is not None:
            self._load(found(checkpoint, Path(log_dir)))

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.model(ids)
        return scores

    def _load(self, path: Path) -> None:
        content = checkpoints.load(path)
        if "score.weight" not in content["state_dict"]:
            raise UserError(f"{OPTION}={path}: is no reward model's checkpoint; name one of model=reward.")
        checkpoints.check_state(self.model, content["state_dict"], str(path), "is a reward model of other sizes")
        checkpoints.check_finite({"state_dict": content["state_dict"]}, self.model, path)
        self.model.load_state_dict(content["state_dict"])
        self.vocabulary = str(content["data_state"].get(VOCABULARY))

    @staticmethod
    def settle_options(options: DictConfig, begun: DictConfig | None, cfg: DictConfig) -> None:
        """Name the file that is meant when a run begins: what an address or a folder has may be another tomorrow."""
        if begun is not None and begun.get("checkpoint"):
            options.checkpoint = begun.checkpoint
        elif options.get("checkpoint"):
            options.checkpoint = str(found(str(options.checkpoint), Path(cfg.paths.log_dir)).resolve())


def found(checkpoint: str, log_dir: Path) -> Path:
    """The file that is meant."""
    try:
        return find_checkpoint(checkpoint, log_dir, prefer="best")
    except UserError as error:
        raise UserError(str(error).replace("ckpt_path", OPTION)) from None
