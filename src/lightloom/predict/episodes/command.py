"""episodes.csv: each step of each episode; the first of them is shown."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from omegaconf import DictConfig

from lightloom.core.screen import say
from lightloom.modules.ppo import Episodes
from lightloom.ops.rng import mix_tensor
from lightloom.predict.episodes.predictor import Predictor
from lightloom.predict.tables import Table

log = logging.getLogger("lightloom")
HEADER = ("episode", "step", "seen", "action", "reward")
SHOWN = 20  # steps of the first episode


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Play `num_samples=` episodes, of which the i-th depends on the seed and i. See `lightloom.predict.contract`."""
    episodes = predictor.predict(mix_tensor(cfg.seed, torch.arange(cfg.num_samples)))
    with Table(Path(cfg.paths.output_dir, "episodes.csv"), HEADER) as table:
        for i in range(cfg.num_samples):
            table.add(rows_of(i, episodes, predictor))
    show(episodes, predictor)
    scores = episodes.measured["score"]
    log.info("%d episodes, mean score %.4g: %s", len(scores), float(scores.mean()), table.path)


def rows_of(number: int, episodes: Episodes, predictor: Predictor) -> list[tuple[int, int, str, str, float]]:
    """HEADER of each step of an episode, counted from 0."""
    names, steps = predictor.environment.names, int(episodes.taken[number].sum())
    seen = [" ".join(f"{value:.6g}" for value in row) for row in episodes.seen[number, :steps].tolist()]
    actions, rewards = episodes.actions[number, :steps].tolist(), episodes.rewards[number, :steps].tolist()
    chosen = zip(seen, actions, rewards, strict=True)
    return [(number, t, row, names[action], reward) for t, (row, action, reward) in enumerate(chosen)]


def show(episodes: Episodes, predictor: Predictor) -> None:
    """The beginning of the first episode, state by state."""
    world, steps = predictor.environment, int(episodes.taken[0].sum())
    for t in range(min(steps, SHOWN)):
        if state := world.show(episodes.seen[0, t]):
            say(state)
        say(f"{t + 1}: {world.names[episodes.actions[0, t]]}, reward {float(episodes.rewards[0, t]):.4g}")
    if steps > SHOWN:
        say(f"... and {steps - SHOWN} steps more")
