"""In which order samples are seen: a pure function of (seed, epoch), whatever the number of processes or workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from lightloom.ops.rng import mix, mix_tensor

Batch = tuple[Tensor, Tensor]
_TURN = -4  # in place of an epoch: the turns of a run's first
BUCKET = 50  # batches whose samples are sorted by length together


class Blocks(NamedTuple):
    """Where samples lie: in which block (a file, say) each does, int64 (N,), and of how many an epoch mixes them."""

    homes: Tensor
    window: int


class KeyedBatches(Sampler[Batch]):
    """Training batches as (indices, keys), int64 (B / world_size,) each, with key = mix(seed, epoch, index).

    `batch_size` is the global one: each process takes its share of the same batch. The last, smaller batch of an
    epoch is left out, so all gradients average the same number of images. Lightning calls `set_epoch`.
    alternate: the lowest bit of a sample's key is its turn: random in the first epoch, then 0 and 1 by turns.
    weights: float (size,), how often samples are drawn, with replacement; the key of a draw is that of its place.
    lengths: int64 (size,), of the samples: a batch has samples of similar length, still drawn anew in each epoch.
    blocks: an epoch goes through them in an order of its own, and mixes the samples of so many at a time.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        alternate: bool = False,
        weights: Tensor | None = None,
        lengths: Tensor | None = None,
        blocks: Blocks | None = None,
    ) -> None:
        self.size, self.batch_size, self.seed, self.shuffle = size, batch_size, seed, shuffle
        self.rank, self.world_size, self.alternate, self.weights = rank, world_size, alternate, weights
        self.lengths, self.blocks = lengths, blocks
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def start_at(self, batch: int) -> None:
        """Begin the next epoch at this batch: the position of a run that is resumed inside an epoch."""
        self.start = batch

    def __len__(self) -> int:
        return self.size // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        start, self.start = self.start, 0
        order = self._order()
        keys = mix_tensor(mix(self.seed, self.epoch), order if self.weights is None else torch.arange(self.size))
        if self.alternate:
            turn = mix_tensor(mix(self.seed, _TURN), order) + self.epoch
            keys = keys & ~1 | turn & 1
        for first in range(start * self.batch_size, len(self) * self.batch_size, self.batch_size):
            share = slice(first + self.rank, first + self.batch_size, self.world_size)
            yield order[share], keys[share]

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.size)
        generator = torch.Generator().manual_seed(mix(self.seed, self.epoch, -1))
        if self.weights is not None:
            order = torch.multinomial(self.weights, self.size, replacement=True, generator=generator)
        elif self.blocks is not None:
            order = _by_windows(self.blocks, generator)
        else:
            order = torch.randperm(self.size, generator=generator)
        return order if self.lengths is None else self._bucketed(order, self.lengths, generator)

    def _bucketed(self, order: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """The whole batches of an order, sorted by length within each BUCKET of them, and dealt anew."""
        whole = order[: len(self) * self.batch_size]
        chunks = whole.split(BUCKET * self.batch_size)
        batches = torch.cat([chunk[lengths[chunk].argsort(stable=True)] for chunk in chunks]).view(-1, self.batch_size)
        return torch.cat([batches[torch.randperm(len(batches), generator=generator)].flatten(), order[len(whole) :]])


def _by_windows(blocks: Blocks, generator: torch.Generator) -> Tensor:
    """The samples of some blocks, mixed, and then those of others, until there are no more."""
    inside = blocks.homes.argsort(stable=True).split(torch.bincount(blocks.homes).tolist())
    windows = torch.randperm(len(inside), generator=generator).split(blocks.window)
    together = [torch.cat([inside[block] for block in window.tolist()]) for window in windows]
    return torch.cat([samples[torch.randperm(len(samples), generator=generator)] for samples in together])


class EvenBatches(Sampler[Batch]):
    """Evaluation batches that hold each sample exactly once over all processes.

    Sizes differ by one at most and every process gets the same number of batches, none empty: no sample is repeated
    to pad, and no process waits for another. Keys are zeros.
    """

    def __init__(self, size: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.size, self.rank, self.world_size = size, rank, world_size
        batches = -(-size // (batch_size * world_size))
        self.batches = max(min(batches, size // world_size), 1)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        parts = np.array_split(np.arange(self.size), self.batches * self.world_size)
        for part in parts[self.rank :: self.world_size]:
            indices = torch.from_numpy(part)
            yield indices, torch.zeros_like(indices)


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (rest, part), sorted: `part` holds `fraction` of each class, rounded so that the total is right.

    `rest` keeps at least one of each class.

    labels: int64 (N,).
    """
    generator = torch.Generator().manual_seed(mix(seed, -2))
    part = []
    taken, wanted = 0, 0.0
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        wanted += fraction * len(members)
        count = min(round(wanted) - taken, len(members) - 1)  # the last one of a class is not taken from the rest
        taken += count
        part.append(members[torch.randperm(len(members), generator=generator)[:count]])
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[torch.cat(part)] = True
    return (~chosen).nonzero().flatten(), chosen.nonzero().flatten()


def dealt(labels: Tensor) -> Tensor:
    """An order in which the classes take turns, each at its own pace: indices int64 (N,) of labels int64 (N,).

    So the first batches of an evaluation are no class alone, whatever the order of the files.
    """
    places = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        places[members] = (torch.arange(len(members)) + 0.5).double() / len(members)
    return places.argsort(stable=True)


def stratified_folds(labels: Tensor, folds: int, seed: int) -> Tensor:
    """The number of each sample's fold, int64 (N,): sizes differ by one at most, in all and within a class.

    labels: int64 (N,).
    """
    generator = torch.Generator().manual_seed(mix(seed, -3))
    numbers, dealt = torch.empty(len(labels), dtype=torch.int64), 0
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        order = members[torch.randperm(len(members), generator=generator)]
        numbers[order] = (dealt + torch.arange(len(members))) % folds
        dealt += len(members)
    return numbers
