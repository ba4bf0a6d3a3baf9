"""Episodes of an environment: the keys by which each of them begins, and by which all chance in it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Seed, Workers, checked
from lightloom.data.contract import SPLITS, Summary
from lightloom.data.environments.environment import Environment
from lightloom.data.identity import Identity, of_values
from lightloom.data.loading import Batches, KeyedDataModule, evaluation_order, training_order
from lightloom.ops.rng import mix, mix_tensor, uniforms


@dataclass(frozen=True)
class Starts:
    """keys: int64 (N,). An item is a whole batch of them: in training those of the order, else each episode's own."""

    keys: Tensor
    training: bool = False
    labelled = True  # an environment says itself what is good

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor]:
        return (batch[1] if self.training else self.keys[batch[0]],)

    def identity(self) -> Identity:
        return of_values(self.keys)

    def pick(self, indices: Tensor) -> Starts:
        return Starts(self.keys[indices], self.training)


class EnvironmentDataModule(KeyedDataModule):
    """Keys int64 (B,) of episodes; an epoch has train_size of them, others than the epoch before.

    batch_size: episodes of an iteration over all processes. num_workers, augment: what other data takes, as
    debug=overfit says it of all; keys need none.
    """

    items: ClassVar[str] = "episodes"
    must_match: ClassVar[tuple[str, ...]] = ("observations", "actions")
    splits_by: ClassVar[tuple[str, ...]] = ("seed",)

    @checked
    def __init__(
        self,
        environment: Environment,
        name: str,
        kind: str,
        train_size: Count,
        val_size: Count,
        test_size: Count,
        batch_size: Count,
        eval_batch_size: Count,
        observations: Count | None = None,
        actions: Count | None = None,
        root: str = "",
        seed: Seed = 0,
        num_workers: Workers = 0,
        shuffle: bool = True,
        augment: None = None,
    ) -> None:
        super().__init__()
        self.environment, self.name, self.kind = environment, name, kind
        self.sizes = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True))
        self.batch_size, self.eval_batch_size, self.seed, self.shuffle = batch_size, eval_batch_size, seed, shuffle
        self.known: Mapping[str, int | None] = {"observations": observations, "actions": actions}

    def facts(self) -> dict[str, Any]:
        """observations and actions, held against the configuration."""
        found = {name: getattr(self.environment, name) for name in self.known}
        for name, known in self.known.items():
            if known not in (None, found[name]):
                raise UserError(f"data.{name} is {known}, but {self.name} has {found[name]}; leave it null.")
        if self.batch_size > self.sizes["train"]:
            raise UserError(
                f"data.batch_size is {self.batch_size}, but data.train_size is {self.sizes['train']}; "
                f"set data.batch_size={self.sizes['train']} or less."
            )
        return found

    def split(self, name: str) -> Starts:
        """The episodes of `train`, `val` or `test`."""
        if name not in self.sizes:
            raise UserError(f"{self.name} has no {name} episodes; choose one of {', '.join(SPLITS)}.")
        if name not in self.splits:
            keys = mix_tensor(mix(self.seed, SPLITS.index(name)), torch.arange(self.sizes[name]))
            self.splits[name] = Starts(keys, training=name == "train")
        return self.splits[name]  # type: ignore[no-any-return]

    def setup(self, stage: str = "fit") -> None:
        """Nothing is read."""

    def summary(self) -> Summary:
        found, world = super().summary(), self.environment
        return Summary(found.items, found.parts, f"{world.actions} actions, {world.steps} steps at most")

    def train_dataloader(self) -> Batches:
        return Batches(self.split("train"), training_order(self, self.sizes["train"]))  # type: ignore[arg-type]

    def eval_loader(self, name: str) -> Batches:
        """Any split once."""
        return Batches(self.split(name), evaluation_order(self, len(self.split(name)), name))  # type: ignore[arg-type]

    def example(self, count: int, seed: int) -> Tensor:
        """What is seen at the beginning of episodes, float32 (count, observations)."""
        world = self.environment
        return world.observe(world.begin(uniforms(mix_tensor(seed, torch.arange(count)), 4)))
