"""Batches of about as many tokens, whatever the lengths of their texts (Vaswani et al. 2017, section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lightloom.data.sampling import Batch, KeyedBatches
from lightloom.ops.rng import mix, mix_tensor


class TokenBatches(KeyedBatches):
    """Texts of like length, as many times `batch_size` as fit into `budget` tokens, padding included.

    lengths: int64 (N,), columns that each text takes. Texts of one length are mixed anew in each epoch, and so is the
    order of the batches; how many there are, and how large, stays. N % batch_size texts are left out, drawn anew.
    """

    def __init__(
        self,
        lengths: Tensor,
        batch_size: int,
        budget: int,
        seed: int,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(len(lengths), batch_size, seed, shuffle, rank, world_size, lengths=lengths)
        self.rows = packed(lengths, batch_size, budget)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        start, self.start = self.start, 0
        key = mix(self.seed, self.epoch)
        for batch in self._dealt()[start:]:
            share = batch[self.rank :: self.world_size]
            yield share, mix_tensor(key, share)

    def _dealt(self) -> list[Tensor]:
        """The batches of this epoch, int64 (B,) each."""
        assert self.lengths is not None
        generator = torch.Generator().manual_seed(mix(self.seed, self.epoch, -1))
        order = torch.randperm(self.size, generator=generator) if self.shuffle else torch.arange(self.size)
        kept = order[: sum(self.rows)]
        batches = kept[self.lengths[kept].argsort(stable=True)].split(self.rows)
        turns = torch.randperm(len(batches), generator=generator) if self.shuffle else torch.arange(len(batches))
        return [batches[i] for i in turns.tolist()]


def packed(lengths: Tensor, batch_size: int, budget: int) -> list[int]:
    """The rows of each batch, multiples of batch_size, of which rows times the longest is at most the budget.

    As if the shortest texts were those left out: whichever are, the i-th of the others is no longer. A batch_size of
    texts that is beyond the budget is a batch.
    """
    rows: list[int] = []
    kept = lengths.sort().values[len(lengths) % batch_size :]
    for longest in kept[batch_size - 1 :: batch_size].tolist():
        if rows and (rows[-1] + batch_size) * longest <= budget:
            rows[-1] += batch_size
        else:
            rows.append(batch_size)
    return rows
