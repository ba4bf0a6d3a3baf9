"""PPO of a small GPT's answers: reward against divergence, true against learned reward, and where the time goes.

    python benchmarks/ppo.py frontier --checkpoint <run of model=gpt> [--betas 0.02 0.05 0.1 0.2 0.5 1] [--seeds 3]
    python benchmarks/ppo.py others --checkpoint <run of model=gpt> [--betas 0.1 0.3 1] [--seeds 3]
    python benchmarks/ppo.py hacking --checkpoint <run of model=sft> --reward <run of model=reward> [--betas 0 0.3]
    python benchmarks/ppo.py cost --checkpoint <run of model=gpt>

frontier: passages of Tiny Shakespeare (of tales where it is not in $LIGHTLOOM_DATA_DIR), 24 characters each, which are
worth their vowels: those of answers to 96 held-out prompts, and their nats, after the iteration whose objective was the
best, and the most for at most ten nats. others: of the same prompts what is possible for so many nats, by answers
tilted towards vowels; the best of n; and DPO, from pairs of the GPT's own answers. hacking: answers to first sentences
of tales; a learned reward is followed, the true one is known. cost: CPU seconds of an iteration's parts, and of writing
alone. Networks have the sizes of the checkpoint's.
"""

from __future__ import annotations

import argparse
import copy
import logging
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightloom.callbacks.run.rng import KeyedRandomness
from lightloom.config.compose import compose, without_hydra
from lightloom.config.foreign import plain
from lightloom.core.environment import variable
from lightloom.core.run_dir import find_checkpoint
from lightloom.data import contract
from lightloom.data.preferences.answered import Pairs
from lightloom.data.preferences.deeds import answers_to
from lightloom.engine import checkpoint, facts, partial_init, train
from lightloom.modules.dpo import DPO
from lightloom.modules.language_ppo import answers_after
from lightloom.ops.answers import log_probabilities
from lightloom.ops.rewards import Reward, Share
from lightloom.ops.rng import mix_tensor, uniforms

QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
ITERATIONS, ANSWERS = 20, 48
NEAR = 10.0  # nats
TILTS = (0.4, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 3.5)  # nats that a vowel is worth
PAIRS, RATE, PAIR_EPOCHS = 2000, 1e-4, 4  # of DPO, 32 at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("frontier", "others", "hacking", "cost"))
    parser.add_argument("--checkpoint", required=True, help="a file, or a run's folder")
    parser.add_argument("--reward", help="likewise, of a reward model")
    parser.add_argument("--betas", type=float, nargs="+", default=[0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "lightloom"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    {"frontier": frontier, "others": others, "hacking": hacking, "cost": cost}[args.command](args)


# --- runs


class Told(pl.Callback):
    """What an iteration and the validation after it measured."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def shakespeare() -> list[str]:
    folder = Path(variable("LIGHTLOOM_DATA_DIR") or "data")
    here = (folder / "text/tinyshakespeare").is_dir()
    data = [f"paths.data_dir={folder}", "data=shakespeare_passages"] if here else ["data=passages"]
    return [*data, "model.answer_length=24"]


def begun(args: argparse.Namespace, *options: str) -> tuple[Any, Any]:
    """A policy with a checkpoint's weights, and prompts of the vocabulary that these know."""
    path = find_checkpoint(args.checkpoint, Path("logs"))
    content = checkpoint.load(path)
    network = plain(content["config"]["model"]["network"])
    sizes = [f"model.network.{name}={network[name]}" for name in ("dim", "layers", "heads", "mlp_ratio", "positions")]
    sizes += [f"data.block_size={network['block_size']}", f"data.batch_size={ANSWERS}", "data.eval_batch_size=96"]
    sizes += [f"data.reader.train_size={ANSWERS}", "data.reader.val_size=96"]
    cfg = without_hydra(compose("train", ["model=ppo_gpt", *sizes, *options]))
    cfg.ckpt_path, cfg.weights_only_init = str(path), ["network"]
    cfg, data = train.build_data(cfg)
    facts.fill_in(cfg, contract.facts(data))
    pl.seed_everything(cfg.seed, verbose=False)
    module = train.build_module(cfg)
    partial_init.load_parts(module, content, ["network"], path)
    return module, data


def trained(args: argparse.Namespace, *options: str, true: Reward | None = None) -> list[dict[str, float]]:
    """An iteration is an epoch here: held-out prompts are answered after each. true: in place of the data's reward."""
    module, data = begun(args, *options)
    if true is not None:
        data.reader.reward = true
    told = Told()
    fit(module, data, told, args.iterations)
    return told.rows


def fit(module: Any, data: Any, told: pl.Callback, iterations: int, **options: Any) -> None:
    callbacks = [KeyedRandomness(data.seed), told]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=iterations,
        callbacks=callbacks,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **QUIET,
        **options,
    )
    trainer.fit(module, datamodule=data)


# --- what is measured


def frontier(args: argparse.Namespace) -> None:
    print(f"{args.iterations} iterations of {ANSWERS} answers; vowels of 10 characters and nats of an answer, held out")
    print(
        "  beta  seed   score     kl  distinct-2  by 10 nats     | score (kl) after iterations 1, 5, 10, 15, 20  CPU s"
    )
    for beta in args.betas:
        for seed in range(args.seeds):
            started = time.process_time()
            rows = trained(args, *shakespeare(), f"model.kl_weight={beta}", f"seed={seed}")
            best = max(rows, key=lambda row: row["val/objective"])
            near = max((row for row in rows if row["val/kl"] <= NEAR), key=lambda row: row["val/score"])
            path = [rows[i - 1] for i in (1, 5, 10, 15, 20) if i <= len(rows)]
            way = "  ".join(f"{row['val/score']:.2f} ({row['val/kl']:.1f})" for row in path)
            figures = f"{best['val/score']:6.2f} {best['val/kl']:6.1f} {best['val/distinct_2']:10.2f}"
            figures += f" {near['val/score']:9.2f} ({near['val/kl']:.1f})"
            print(f"{beta:6g} {seed:5} {figures}     | {way}  {time.process_time() - started:6.1f}", flush=True)


def others(args: argparse.Namespace) -> None:
    """Of the first validation batch, as the frontier's; what is possible, of its first 32 prompts."""
    module, data = begun(args, *shakespeare())
    network, length, reserved = module.network.eval(), module.answer_length, data.reserved
    prompts, starts, _ = next(iter(data.val_dataloader()))
    ids = range(reserved, network.embedding.num_embeddings)
    worth = torch.tensor([0.0] * reserved + [float(module.reward([""], [data.tokens.decode([i])])) for i in ids])

    def row(name: str, score: float, kl: float) -> None:
        print(f"  {score:5.2f} {kl:6.2f}  {name}", flush=True)

    print(f"vowels of 10 characters, nats of an answer of {length}; {len(prompts)} prompts")
    for tilt in TILTS:
        score, kl = tilted(network, prompts[:32], length, worth, tilt / module.reward.per, reserved)
        row(f"possible: tilted by {tilt:g} nats a vowel", score / length, kl)
    most = [part.repeat_interleave(64, 0) for part in (prompts, starts)]
    scores = answered(network, module, data, *most, mix_tensor(1, torch.arange(len(most[1]))))[1].view(-1, 64)
    row("the GPT", float(scores.mean()), 0.0)
    for n in (2, 4, 16, 64):
        row(f"best of {n}", float(scores.view(len(prompts), -1, n).amax(2).mean()), math.log(n) - (n - 1) / n)
    for beta in args.betas:
        for seed in range(args.seeds):
            row(f"DPO, beta {beta:g}, seed {seed}", *preferred(args, beta, seed))


@torch.no_grad()
def tilted(
    network: Any, prompts: Tensor, length: int, worth: Tensor, tilt: float, reserved: int = 0, particles: int = 64
) -> tuple[float, float]:
    """Mean worth and nats of an answer of the policy that has the most worth for as many nats: pi_ref exp(tilt worth).

    prompts: int64 (B, P), all as long. worth: of an answer the sum of its ids', (V,). By sequential Monte Carlo whose
    proposal tilts each id alone (Doucet & Johansen 2011, section 3): the estimate of E worth and of ln Z.
    """
    generator = torch.Generator().manual_seed(0)
    count = len(prompts)
    ids = prompts.repeat_interleave(particles, 0)
    weights, total = torch.zeros(count, particles, dtype=torch.double), torch.zeros(count, dtype=torch.double)
    for _ in range(length):
        logits = network(ids)[:, -1].double()
        logits[:, :reserved] = -torch.inf
        leaning = logits.log_softmax(1) + tilt * worth.double()
        chosen = leaning.softmax(1).multinomial(1, generator=generator)
        weights += leaning.logsumexp(1).view(count, particles)
        ids = torch.cat([ids, chosen], 1)
        few = weights.softmax(1).square().sum(1) > 2 / particles
        drawn = weights.softmax(1).multinomial(particles, replacement=True, generator=generator)
        drawn = torch.where(few[:, None], drawn, torch.arange(particles))
        ids = ids[(drawn + particles * torch.arange(count)[:, None]).flatten()]
        gained = weights.logsumexp(1) - math.log(particles)
        total += torch.where(few, gained, 0.0)
        weights = torch.where(few[:, None], 0.0, weights)
    total += weights.logsumexp(1) - math.log(particles)
    worths = worth.double()[ids[:, prompts.shape[1] :]].sum(1).view(count, particles)
    mean = (weights.softmax(1) * worths).sum(1).mean()
    return float(mean), float(tilt * mean - total.mean())


def answered(
    network: Any, module: Any, data: Any, prompts: Tensor, starts: Tensor, keys: Tensor
) -> tuple[Tensor, Tensor]:
    """Answers of a network, with their prompts, int64 (B, T), and what they are worth, (B,)."""
    draws = uniforms(keys, module.answer_length)
    with torch.inference_mode():
        ids = answers_after(network, prompts, starts, draws, data.end_id, reserved=data.reserved).clone()
    said = [data.tokens.decode(row[start:]) for row, start in zip(ids.tolist(), starts.tolist(), strict=True)]
    return ids, module.reward([""] * len(said), said)


def preferred(args: argparse.Namespace, beta: float, seed: int) -> tuple[float, float]:
    """DPO from pairs of the GPT's own answers, of which the one with more vowels is preferred: its worth and nats."""
    module, data = begun(args, *shakespeare(), f"data.reader.train_size={PAIRS}", f"seed={seed}")
    prompts, starts, keys = (torch.cat(part) for part in zip(*data.train_dataloader(), strict=True))
    found = [answered(module.network.eval(), module, data, prompts, starts, mix_tensor(i + 1, keys)) for i in range(2)]
    both, worths = (torch.stack(part, 1) for part in zip(*found, strict=True))
    order, differ = worths.argsort(1, descending=True), worths[:, 0] != worths[:, 1]
    both, worths = both.gather(1, order[..., None].expand_as(both))[differ], worths.gather(1, order)[differ]
    rows = zip(both.split(32), starts[differ].split(32), worths.split(32), strict=True)
    pairs = [Pairs(*row) for row in rows]
    policy = DPO(copy.deepcopy(module.network), partial(torch.optim.AdamW, lr=RATE), beta)
    trainer = pl.Trainer(accelerator="cpu", max_epochs=PAIR_EPOCHS, gradient_clip_val=1.0, **QUIET)
    trainer.fit(policy, DataLoader(pairs, batch_size=None, shuffle=True))
    prompts, starts, _ = next(iter(data.val_dataloader()))
    prompts, starts = prompts.repeat_interleave(8, 0), starts.repeat_interleave(8)
    ids, worths = answered(
        policy.network.eval(), module, data, prompts, starts, mix_tensor(9, torch.arange(len(starts)))
    )
    with torch.no_grad():
        mine, before = (log_probabilities(network, ids, starts) for network in (policy.network, module.network))
    return float(worths.mean()), float((mine - before).mean())


class OfDeeds:
    """The vowels of an answer that the grammar has; another is worth nothing, whatever its letters."""

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> Tensor:
        known = [answer in answers_to(prompt) for prompt, answer in zip(prompts, answers, strict=True)]
        return Share()(prompts, answers) * torch.tensor(known)


def hacking(args: argparse.Namespace) -> None:
    reward = ["reward@model.reward=learned", f"model.reward.checkpoint={args.reward}", "data=deed_prompts"]
    print(
        f"{args.iterations} iterations of {ANSWERS} answers; learned reward, true reward (vowels of 10 characters of a "
        "deed, of anything else 0), KL"
    )
    for beta in args.betas:
        for seed in range(args.seeds):
            rows = trained(args, *reward, f"model.kl_weight={beta}", f"seed={seed}", true=OfDeeds())
            print(f"beta {beta:g}, seed {seed}")
            for i, row in enumerate(rows, 1):
                if i in (1, 2, 3, 5, 8, 12, 16, 20) or i == len(rows):
                    figures = (row[f"val/{name}"] for name in ("score", "true_score", "kl", "ended", "distinct_2"))
                    words = ("learned", "true", "kl", "ended", "distinct-2")
                    said = "  ".join(f"{word} {value:6.2f}" for word, value in zip(words, figures, strict=True))
                    print(f"  {i:3}  {said}", flush=True)


class Clock(pl.Callback):
    """CPU seconds of iterations, and of the methods that it is told to watch, the first iteration left out."""

    def __init__(self, module: Any, *names: str) -> None:
        self.seconds, self.whole, self.count = dict.fromkeys(names, 0.0), 0.0, 0
        for name in names:
            setattr(module, name, self._watched(name, getattr(module, name)))

    def _watched(self, name: str, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._added(name):
                return method(*args, **kwargs)

        return call

    @contextmanager
    def _added(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        if self.count:
            self.seconds[name] += time.process_time() - started

    def on_train_batch_start(self, *_: Any) -> None:
        self._started = time.process_time()

    def on_train_batch_end(self, *_: Any) -> None:
        if self.count:
            self.whole += time.process_time() - self._started
        self.count += 1


def cost(args: argparse.Namespace) -> None:
    module, data = begun(args, *shakespeare())
    clock = Clock(module, "answered", "judgement", "judged", "loss", "manual_backward")
    fit(module, data, clock, args.iterations, limit_val_batches=0)
    parts, count = clock.seconds, clock.count - 1
    gradient = parts["loss"] + parts["manual_backward"]
    prompts, starts, keys = next(iter(data.train_dataloader()))
    draws = uniforms(keys, module.answer_length)
    alone = []
    for _ in range(4):
        started = time.process_time()
        with torch.inference_mode():
            answers_after(module.network, prompts, starts, draws, data.end_id, reserved=data.reserved)
        alone.append(time.process_time() - started)
    tokens, best, whole = draws.numel(), min(alone), clock.whole
    sizes = f"{ANSWERS} answers of {module.answer_length} ids"
    print(f"an iteration of {sizes}, mean of {count}: {whole / count:.3f} CPU s")
    shares = {"answers drawn": parts["answered"], "reward of texts": parts["judgement"]}
    shares |= {"ln p, reference and values before": parts["judged"], "loss and gradient": gradient}
    for name, seconds in {**shares, "the rest": whole - sum(shares.values())}.items():
        print(f"  {seconds / whole:6.1%}  {name}")
    drawn, least = count * tokens / parts["answered"], tokens / best
    print(f"  {drawn:,.0f} ids per CPU s in rollouts, {least:,.0f} by the generator alone: {drawn / least:.2f}")


if __name__ == "__main__":
    main()
