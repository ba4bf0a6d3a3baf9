"""Answers of a checkpoint, the best of several, and beside them those of another: answers.csv, and a page of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from lightloom.config.foreign import literal
from lightloom.core.documents import check_line, read_text
from lightloom.core.errors import UserError
from lightloom.core.findings import Findings
from lightloom.core.text import first_of
from lightloom.engine import checkpoint as checkpoints
from lightloom.engine import evaluate
from lightloom.ops.answers import log_probabilities
from lightloom.ops.rewards import Length, Share
from lightloom.ops.rewards import Reward as Programmed
from lightloom.predict.faults import Faults
from lightloom.predict.language.predictor import Predictor
from lightloom.predict.rewards.predictor import Predictor as Scores
from lightloom.predict.tables import Table

log = logging.getLogger("lightloom")
PROGRAMMED: dict[str, Programmed] = {"vowels": Share(), "length": Length()}  # as in configs/reward
Reward = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


@dataclass(frozen=True)
class Author:
    """Whose answers they are. best_of: of so many each is the best by a reward."""

    name: str
    predictor: Predictor
    best_of: int = 1


@dataclass(frozen=True)
class Answer:
    """ids: with the end, where it was reached. reward: None where none is asked for."""

    text: str
    ids: list[int]
    reward: float | None


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> Findings:
    """Answers to `prompt=`, or to each line of `input=`, by ckpt_path and by `against=`, of the same seeds."""
    reward = reward_of(cfg, predictor) if cfg.scored_by is not None else None
    authors = authors_of(cfg, trained, predictor)
    faults = Faults(cfg.paths.output_dir)
    columns = ["prompt", *map(titled, authors), *(f"reward of {author.name}" for author in authors if reward)]
    prompts, given, rows = list[str](), list[list[list[Answer]]](), list[tuple[str | float, ...]]()
    with Table(Path(cfg.paths.output_dir, "answers.csv"), columns) as table:
        for prompt, several in answered(cfg, authors, reward, faults):
            prompts.append(prompt)
            given.append(several)
            new = side_by_side([prompt], [several])
            table.add(new)
            rows += new
    if not prompts:
        faults.finish(0)
    found = Findings("Answers")
    shown = [tuple(f"{cell:.3f}" if isinstance(cell, float) else cell for cell in row) for row in rows]
    found.table(columns[0], columns[1:], shown, "answers", left=1 + len(authors))
    for note in [*compared(authors, given), *divergence(cfg, authors, prompts, given)]:
        found.note(note)
    log.info("%d answers: %s", table.count * len(authors), table.path)
    faults.finish(len(prompts))
    return found


def answered(
    cfg: DictConfig, authors: Sequence[Author], reward: Reward | None, faults: Faults
) -> Iterator[tuple[str, list[list[Answer]]]]:
    """Each prompt with the answers of each author. What of a file is no prompt, or is too long for one, is noted."""
    if cfg.get("prompt") is not None:
        prompt = str(cfg.prompt)
        yield prompt, [answers_of(author, prompt, cfg, reward) for author in authors]
        return
    path = Path(str(cfg.input))
    for number, line in prompts_of(path):
        with faults.noted(name := f"{path.name}:{number}"):
            check_line(line, name)
            yield line, [answers_of(author, line, cfg, reward) for author in authors]


def authors_of(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> list[Author]:
    """ckpt_path's, and that of `against=`; UserError where nothing says by what the best of several is chosen."""
    if cfg.best_of is not None and cfg.scored_by is None:
        raise UserError(
            f"best_of={cfg.best_of}: say by which reward: scored_by=<checkpoint of model=reward>, or "
            f"scored_by={first_of(list(PROGRAMMED), 5)}."
        )
    first = Author(str(trained.run_name), predictor, cfg.best_of or 1)
    return [first] if cfg.against is None else [first, other(cfg, predictor, first.name)]


def side_by_side(prompts: Sequence[str], given: Sequence[Sequence[Sequence[Answer]]]) -> list[tuple[str | float, ...]]:
    """Rows of a prompt, an answer to it of each author, and their rewards where they have some.

    given: of each prompt, of each author, its answers.
    """
    pairs = [
        (prompt, beside)
        for prompt, several in zip(prompts, given, strict=True)
        for beside in zip(*several, strict=True)
    ]
    return [
        (prompt, *(answer.text for answer in beside), *(a.reward for a in beside if a.reward is not None))
        for prompt, beside in pairs
    ]


def titled(author: Author) -> str:
    """Its name, and of how many each answer is the best."""
    return author.name if author.best_of == 1 else f"{author.name}, best of {author.best_of}"


def prompts_of(path: Path) -> list[tuple[int, str]]:
    """The lines of a file that are not empty, with their numbers."""
    if not path.is_file():
        raise UserError(f"input={path}: there is no such file; name one with a prompt in each line.")
    lines = enumerate(read_text(path, escaped=True).split("\n"), 1)
    if not (found := [(number, line) for number, line in lines if line.strip()]):
        raise UserError(f"input={path}: is empty; expected a prompt in each line.")
    return found


# --- who answers, and how good it is


def restored(cfg: DictConfig, where: Any) -> tuple[DictConfig, Any, dict[str, Any]]:
    """The configuration, the module and the data's facts of another checkpoint."""
    asked = cfg.copy()
    asked.ckpt_path = literal(str(where))
    trained, module = evaluate.restore(asked)
    return trained, module, {**trained.data, **checkpoints.state_for(trained, asked.ckpt_path)}


def other(cfg: DictConfig, predictor: Predictor, first: str) -> Author:
    """The author that `against=` names."""
    trained, module, data = restored(cfg, cfg.against)
    if not hasattr(module, "write"):
        raise UserError(f"against={cfg.against}: a {type(module).__name__} writes no text; name another checkpoint.")
    name = str(trained.run_name)
    return Author(name if name != first else f"{name} ({cfg.against})", Predictor(moved(module, predictor), data))


def reward_of(cfg: DictConfig, predictor: Predictor) -> Reward:
    """What `scored_by=` names: a program's, or a reward model's."""
    if (programmed := PROGRAMMED.get(str(cfg.scored_by))) is not None:
        return lambda prompts, answers: programmed(prompts, answers).tolist()
    _, module, data = restored(cfg, cfg.scored_by)
    if not hasattr(module, "scores"):
        raise UserError(
            f"scored_by={cfg.scored_by}: a {type(module).__name__} scores no answers; name one of model=reward, or "
            f"{first_of(list(PROGRAMMED), 5)}."
        )
    scores = Scores(moved(module, predictor), data)
    return lambda prompts, answers: scores.predict(list(zip(prompts, answers, strict=True)))


def moved(module: Any, predictor: Predictor) -> Any:
    """Another module where the predictor's is, ready to be evaluated."""
    return module.to(predictor.module.device).eval()


def answers_of(author: Author, prompt: str, cfg: DictConfig, reward: Reward | None) -> list[Answer]:
    """`num_samples` answers to a prompt; each the best of its own `best_of`."""
    count = (cfg.num_samples or 1) * author.best_of
    how: dict[str, Any] = {"temperature": cfg.temperature, "top_k": cfg.top_k}
    every = author.predictor.answers(prompt, cfg.seed, count, cfg.num_tokens, **how)
    rewards = reward([prompt] * count, [text for text, _ in every]) if reward else [None] * count
    found = [Answer(*one, value) for one, value in zip(every, rewards, strict=True)]
    groups = [found[first : first + author.best_of] for first in range(0, count, author.best_of)]
    return [max(group, key=lambda answer: answer.reward or 0.0) for group in groups]


# --- what the answers say of their authors


def compared(authors: Sequence[Author], given: Sequence[Sequence[Sequence[Answer]]]) -> list[str]:
    """The mean reward of each, and how often the first one's answer has more."""
    means = []
    for place, author in enumerate(authors):
        rewards = [answer.reward for several in given for answer in several[place] if answer.reward is not None]
        means += [f"{titled(author)} {sum(rewards) / len(rewards):.3f}"] if rewards else []
    if not means:
        return []
    told = [f"Mean reward: {', '.join(means)}."]
    if len(authors) == 2:
        apart = [(a.reward or 0) - (b.reward or 0) for one, two in given for a, b in zip(one, two, strict=True)]
        won = sum((value > 0) + (value == 0) / 2 for value in apart) / len(apart)
        told.append(f"The answer of {titled(authors[0])} has the higher reward in {won:.1%}, ties half.")
    return told


@torch.inference_mode()
def divergence(
    cfg: DictConfig, authors: Sequence[Author], prompts: Sequence[str], given: Sequence[Sequence[Sequence[Answer]]]
) -> list[str]:
    """The mean of ln p - ln p_against over the first one's answers: KL, in nats an answer, where these are plain draws
    and both number words alike.
    """
    one = authors[0]
    plain = cfg.temperature == 1 and cfg.top_k is None and one.best_of == 1
    if len(authors) < 2 or not plain or one.predictor.tokens.to_state() != authors[1].predictor.tokens.to_state():
        return []
    values: list[float] = []
    for prompt, several in zip(prompts, given, strict=True):
        start = one.predictor.tokens.encode(prompt)
        for answer in several[0]:
            ids = torch.tensor([[*start, *answer.ids]], device=one.predictor.module.device)
            if ids.shape[1] <= min(author.predictor.block_size for author in authors) and start:
                places = torch.tensor([len(start)], device=ids.device)
                logs = [float(log_probabilities(author.predictor.module, ids, places)) for author in authors]
                values.append(logs[0] - logs[1])
    mean = sum(values) / max(len(values), 1)
    said = f"KL of {one.name} to {authors[1].name}: {mean:.2f} nats an answer, over {len(values)}."
    return [said] if values else []
