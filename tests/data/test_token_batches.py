"""Batches by tokens: laws over ranks, epochs, positions and lengths."""

from __future__ import annotations

import pytest
import torch

from lightloom.data.sampling import KeyedBatches
from lightloom.data.token_batches import TokenBatches

LENGTHS = 8 * torch.randint(1, 8, (1003,), generator=torch.Generator().manual_seed(0))
BUDGET = 1024
LIMITS = ((8, 200), (1, 9), (240, 2000))  # of the number of texts, a batch's multiple, and a budget


def epoch(sampler: TokenBatches, number: int, start: int = 0) -> list[dict[int, int]]:
    """Index to key, for each batch."""
    sampler.set_epoch(number)
    sampler.start_at(start)
    return [dict(zip(indices.tolist(), keys.tolist(), strict=True)) for indices, keys in sampler]


@pytest.mark.parametrize("seed", range(30))
def test_batches_keep_the_budget_and_fill_it(seed):
    """Whichever texts are left out; two neighbours by length would not fit together."""
    draw = torch.Generator().manual_seed(seed)
    size, batch_size, budget = (int(torch.randint(low, high, (), generator=draw)) for low, high in LIMITS)
    lengths = torch.randint(1, 30, (size,), generator=draw)
    sampler = TokenBatches(lengths, batch_size, budget, seed=1)
    for number in range(3):
        found = sorted((lengths[[*batch]] for batch in epoch(sampler, number)), key=lambda taken: int(taken.max()))
        assert len(found) == len(sampler)
        assert sum(map(len, found)) == size // batch_size * batch_size
        assert all(len(taken) % batch_size == 0 for taken in found)
        assert all(len(taken) * int(taken.max()) <= budget for taken in found)
    kept, end = lengths.sort().values[size % batch_size :], 0
    for rows in sampler.rows[:-1]:
        end += rows
        assert (rows + batch_size) * int(kept[end + batch_size - 1]) > budget


@pytest.mark.parametrize("world_size", [2, 4, 8])
@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_share_the_batch_of_one_process(world_size, shuffle):
    whole = epoch(TokenBatches(LENGTHS, 8, BUDGET, 3, shuffle), 5)
    shares = [epoch(TokenBatches(LENGTHS, 8, BUDGET, 3, shuffle, rank, world_size), 5) for rank in range(world_size)]
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert len({len(part) for part in parts}) == 1
        assert {index: key for part in parts for index, key in part.items()} == batch


def test_an_epoch_has_each_text_once_but_for_the_rest():
    seen = [index for batch in epoch(TokenBatches(LENGTHS, 8, BUDGET, 3), 2) for index in batch]
    assert len(seen) == len(set(seen)) == 1000


def test_epochs_have_batches_of_their_own_from_any_on():
    sampler = TokenBatches(LENGTHS, 8, BUDGET, 3)
    first, second = epoch(sampler, 0), epoch(sampler, 1)
    assert len(first) == len(second) == len(sampler)
    assert not {frozenset(batch) for batch in first} & {frozenset(batch) for batch in second}
    assert not {key for batch in first for key in batch.values()} & {key for batch in second for key in batch.values()}
    for start in (0, 1, len(first) // 2, len(first)):
        assert epoch(sampler, 1, start) == second[start:]
    means = torch.tensor([LENGTHS[[*batch]].float().mean() for batch in first])
    half = len(means) // 2
    assert (means[:half].mean() - means[half:].mean()).abs() < 12  # neither short nor long ones come first


def test_batches_have_more_equal_counts_of_tokens_than_those_of_a_number_of_texts():
    by_tokens, by_texts = TokenBatches(LENGTHS, 8, BUDGET, 3), KeyedBatches(1003, 32, 3, lengths=LENGTHS)
    spreads = [torch.tensor([LENGTHS[i].sum() for i, _ in order]).float().std() for order in (by_tokens, by_texts)]
    assert 4 * spreads[0] < spreads[1]


def test_every_text_is_left_out_as_often_whatever_its_length():
    lengths = torch.arange(1, 44)
    sampler, left_out = TokenBatches(lengths, 8, 400, 0), torch.zeros(43)
    for number in range(1000):
        left_out += 1
        for batch in epoch(sampler, number):
            left_out[[*batch]] -= 1
    p = 3 / 43
    assert (left_out - 1000 * p).abs().max() < 5 * (1000 * p * (1 - p)) ** 0.5
