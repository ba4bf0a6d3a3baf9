"""From one small GPT: the reward and the KL of DPO and of best-of-n, and how well a learned reward knows the true one.

    python benchmarks/preferences.py [--steps 1200] [--pair-steps 400] [--lr 2e-5] [--betas 0.1 0.3 1]

The task is `data=deeds`: after the first sentence of a tale one of 240 deeds, all equally likely; the true reward is
how many of ten characters are vowels. A GPT (2 layers of 64) learns to answer; pairs are labelled with errors (the
sigmoid of the difference over 0.2), and from them a reward model and DPO's policies learn. Then answers to 32 prompts
of the test part are drawn from each: their true reward, and KL to the GPT in nats an answer, the mean of
ln pi(y|x) - ln pi_ref(y|x) over answers of pi. Best-of-n takes the GPT's own answers by the true reward and by the
learned one; its KL is at most ln n - (n - 1) / n (Beirami et al. 2024). `possible` is the most that any policy can have
at that KL which stays in the grammar, p ~ exp(r / beta).
"""

from __future__ import annotations

import argparse
import math
import time
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.data.preferences.datamodule import AnswersDataModule, PreferencesDataModule
from lightloom.data.preferences.deeds import Deeds, answers_to
from lightloom.data.preferences.ending import EOS, ended
from lightloom.data.tokens import RESERVED, Characters
from lightloom.modules.dpo import DPO
from lightloom.modules.fine_tuning import FineTuning
from lightloom.modules.reward_model import RewardModel
from lightloom.networks.transformer.gpt import GPT
from lightloom.ops.answers import log_probabilities
from lightloom.ops.rewards import Share
from lightloom.ops.rng import mix_tensor, uniforms
from lightloom.optim.schedules import cosine
from lightloom.predict.rewards.predictor import Predictor

PROMPTS, LONGEST, WIDTH, BLOCK = 32, 60, 64, 128
SIZES = (2, 4, 8, 16, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1200, help="of the GPT")
    parser.add_argument("--pair-steps", type=int, default=400, help="of the reward model, and of each policy")
    parser.add_argument("--lr", type=float, default=2e-5, help="of DPO")
    parser.add_argument("--betas", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    parser.add_argument("--samples", type=int, default=64, help="answers to each prompt")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(args.seeds):
        one(seed, args)


def one(seed: int, args: argparse.Namespace) -> None:
    """All figures of one seed."""
    steps, samples = args.steps, args.samples
    answers = data(AnswersDataModule, seed)
    pairs = data(PreferencesDataModule, seed, answers.state())
    pl.seed_everything(seed, verbose=False)
    gpt = fitted(FineTuning(network(answers.vocab_size), adam(1e-3), partial(cosine, warmup=0.05)), answers, steps)
    texts = [item.prompt for item in answers.part("test")[:PROMPTS]]
    drawn = Answers(gpt, gpt, answers, texts, samples)
    print(f"seed {seed}: after {steps} steps {nats(gpt, answers):.2f} nats an answer ({math.log(240):.2f} at best)")
    scored = fitted(RewardModel(begun(gpt), WIDTH, adam(3e-4), partial(cosine, warmup=0.05)), pairs, args.pair_steps)
    tell_agreement(scored, pairs)
    print("  reward    KL    in the grammar   possible")
    row("the GPT", drawn.rewards.mean(), drawn.kl(), drawn)
    learned = drawn.scored(scored, pairs)
    for n in SIZES:
        bound = math.log(n) - (n - 1) / n
        row(f"best of {n}, true reward", best_of(drawn.rewards, drawn.rewards, n), bound)
        row(f"best of {n}, learned reward", best_of(learned, drawn.rewards, n), bound)
    for beta in args.betas:
        policy = DPO(begun(gpt), adam(args.lr), beta, partial(cosine, warmup=0.05))
        found = Answers(fitted(policy, pairs, args.pair_steps), gpt, answers, texts, samples)
        row(f"DPO, beta {beta:g}, rate {args.lr:g}", found.rewards.mean(), found.kl(), found)


def row(name: str, reward: Any, kl: float, drawn: Answers | None = None) -> None:
    valid = f"{drawn.valid():14.1%}" if drawn else " " * 14
    print(f"  {float(reward):6.3f} {kl:6.2f} {valid}   {possible(kl):8.3f}   {name}", flush=True)


def tell_agreement(module: RewardModel, pairs: PreferencesDataModule) -> None:
    """With the labels of the test part, and with the true order."""
    trainer = quiet()
    (found,) = trainer.test(module, pairs, verbose=False)
    print(
        f"  learned reward: {found['test/acc']:.3f} of held-out pairs as labelled, {found['test/true_acc']:.3f} as true"
    )


# --- what is learned


def network(vocabulary: int) -> GPT:
    return GPT(vocabulary, BLOCK, layers=2, heads=4, dim=WIDTH)


def begun(gpt: FineTuning) -> GPT:
    """A network with the GPT's weights."""
    copied = network(gpt.network.embedding.num_embeddings)
    copied.load_state_dict(gpt.network.state_dict())
    return copied


def adam(rate: float) -> Any:
    return partial(torch.optim.AdamW, lr=rate, betas=(0.9, 0.99), weight_decay=0.1)


def data(kind: type[AnswersDataModule], seed: int, state: dict[str, Any] | None = None) -> Any:
    """state: the vocabulary of other data."""
    facts = {"name": "deeds", "kind": "deeds", "vocab_size": None, "block_size": BLOCK}
    reader, tokens = Deeds(Share(), 4000, 64, 512, seed=seed), Characters(specials=[EOS])
    made = kind(reader, tokens, **facts, batch_size=32, eval_batch_size=64, seed=seed)  # type: ignore[arg-type]
    if state:
        made.adopt(state)
    made.setup()
    return made


def quiet(**options: Any) -> pl.Trainer:
    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    return pl.Trainer(accelerator="cpu", use_distributed_sampler=False, gradient_clip_val=1.0, **off, **options)  # type: ignore[arg-type]


def fitted(module: Any, datamodule: Any, steps: int) -> Any:
    started = time.process_time()
    quiet(max_steps=steps, max_epochs=-1, limit_val_batches=0).fit(module, datamodule=datamodule)
    print(f"  {type(module).__name__}: {steps} steps, {time.process_time() - started:.0f} CPU s", flush=True)
    return module.eval()


@torch.no_grad()
def nats(gpt: FineTuning, answers: AnswersDataModule) -> float:
    found = [gpt.nats(*batch).sum() for batch in answers.eval_loader("test")]
    return float(sum(found)) / len(answers.split("test"))


# --- what is measured


class Answers:
    """So many answers of a policy to each prompt; rewards: their true ones, (prompts, samples)."""

    def __init__(self, policy: Any, gpt: FineTuning, data: AnswersDataModule, prompts: list[str], samples: int) -> None:
        self.prompts, self.texts, logs = prompts, [], []
        end = data.split("test").end
        keys = mix_tensor(1, torch.arange(len(prompts) * samples)).view(len(prompts), samples)
        for prompt, own in zip(prompts, keys, strict=True):
            given = torch.tensor(data.tokens.encode(prompt)).expand(samples, -1)
            ids = torch.stack([*policy.write(given, uniforms(own, LONGEST), reserved=len(RESERVED))], 1)
            self.texts.append([data.tokens.decode(ended(one, end)) for one in ids.tolist()])
            logs.append(log_ratio(policy.network, gpt.network, given, ids, end))
        self.rewards = torch.stack(
            [Share()([prompt] * samples, own) for prompt, own in zip(prompts, self.texts, strict=True)]
        )
        self.logs = torch.stack(logs)

    def kl(self) -> float:
        return float(self.logs.mean())

    def valid(self) -> float:
        """The share of answers that the grammar has."""
        known = [
            len([one for one in own if one in answers_to(p)]) for p, own in zip(self.prompts, self.texts, strict=True)
        ]
        return sum(known) / self.rewards.numel()

    def scored(self, module: RewardModel, data: PreferencesDataModule) -> Tensor:
        """By a reward model, of the same shape."""
        predictor = Predictor(module, {**data.state(), "block_size": BLOCK, "end": "\n"})
        rows = [(prompt, text) for prompt, own in zip(self.prompts, self.texts, strict=True) for text in own]
        return torch.tensor(predictor.predict(rows)).view_as(self.rewards)


@torch.no_grad()
def log_ratio(policy: GPT, reference: GPT, prompts: Tensor, ids: Tensor, end: int) -> Tensor:
    """ln pi(y|x) - ln pi_ref(y|x), (B,), of answers int64 (B, N), up to their end where they have one."""
    after = (ids == end).cumsum(1) - (ids == end).long() > 0
    whole = torch.cat([prompts, ids.masked_fill(after, 0)], 1)
    starts = torch.full((len(ids),), prompts.shape[1])
    one, other = (log_probabilities(network, whole, starts) for network in (policy, reference))
    return one - other


def best_of(by: Tensor, rewards: Tensor, n: int) -> Tensor:
    """The mean true reward of the one of n that `by` has highest, over all groups of n: (prompts, samples) each."""
    groups = by.view(len(by), -1, n)
    return rewards.view_as(groups).gather(2, groups.argmax(2, keepdim=True)).mean()


def possible(kl: float) -> float:
    """The reward of the policy that is best at this KL to one that has all answers evenly."""
    every = [answers_to(f"The shy fox was called {name}.") for name in ("Ada", "Felix")]  # She, He
    rewards = torch.stack([Share()([""] * 240, answers) for answers in every]).double()
    low, high = 1e-3, 1e3
    for _ in range(60):
        beta = math.sqrt(low * high)
        weights = (rewards / beta).softmax(1)
        found = float((weights * (weights * 240).clamp(min=1e-300).log()).sum(1).mean())
        low, high = (beta, high) if found > kl else (low, beta)
    return float((weights * rewards).sum(1).mean())


if __name__ == "__main__":
    main()
