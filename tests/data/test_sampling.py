"""Which sample is seen when: laws over all ranks, world sizes and batch sizes."""

from __future__ import annotations

import pytest
import torch

from lightloom.data.sampling import EvenBatches, KeyedBatches, stratified_folds, stratified_split
from lightloom.ops.rng import mix


def epoch(sampler: KeyedBatches, number: int, start: int = 0) -> list[dict[int, int]]:
    """Index to key, for each batch."""
    sampler.set_epoch(number)
    sampler.start_at(start)
    return [dict(zip(indices.tolist(), keys.tolist(), strict=True)) for indices, keys in sampler]


@pytest.mark.parametrize("world_size", [2, 3, 4, 6, 12])
@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_share_the_batch_of_one_process(world_size, shuffle):
    whole = epoch(KeyedBatches(100, 12, seed=3, shuffle=shuffle, alternate=True), 5)
    shares = [epoch(KeyedBatches(100, 12, 3, shuffle, rank, world_size, True), 5) for rank in range(world_size)]
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert {len(part) for part in parts} == {12 // world_size}
        assert {index: key for part in parts for index, key in part.items()} == batch


def test_key_is_a_function_of_seed_epoch_and_index():
    batches = epoch(KeyedBatches(40, 8, seed=3), 5)
    assert all(key == mix(mix(3, 5), index) for batch in batches for index, key in batch.items())


def test_turns_alternate_and_leave_the_rest_of_a_key_alone():
    """The lowest bit of a sample's key changes from each epoch to the next; in the first it is as often 0 as 1."""
    plain, alternating = KeyedBatches(1000, 10, seed=3), KeyedBatches(1000, 10, seed=3, alternate=True)
    turns = []
    for number in range(4):
        for before, after in zip(epoch(plain, number), epoch(alternating, number), strict=True):
            assert {i: key // 2 for i, key in before.items()} == {i: key // 2 for i, key in after.items()}
        keys = {i: key for batch in epoch(alternating, number) for i, key in batch.items()}
        turns.append([keys[i] % 2 for i in range(1000)])
    assert turns[0] == turns[2]
    assert turns[1] == turns[3] == [1 - turn for turn in turns[0]]
    assert abs(sum(turns[0]) - 500) < 5 * 250**0.5


def test_an_epoch_has_each_sample_once_but_for_the_rest():
    batches = epoch(KeyedBatches(43, 8, seed=0), 0)
    seen = [index for batch in batches for index in batch]
    assert len(batches) == 5
    assert len(seen) == len(set(seen)) == 40


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(i for b in epoch(KeyedBatches(40, 8, seed), e) for i in b) for seed in range(5) for e in range(5)}
    assert len(orders) == 25


def test_every_sample_is_left_out_as_often():
    """43 samples, 3 left out in each of 2,000 epochs: each about 140 times, within five standard deviations."""
    sampler, left_out = KeyedBatches(43, 8, seed=0), torch.zeros(43)
    for number in range(2000):
        left_out += 1
        for batch in epoch(sampler, number):
            left_out[list(batch)] -= 1
    p = 3 / 43
    assert (left_out - 2000 * p).abs().max() < 5 * (2000 * p * (1 - p)) ** 0.5


@pytest.mark.parametrize("start", range(6))
def test_an_epoch_can_start_at_any_batch_once(start):
    sampler = KeyedBatches(43, 8, seed=0)
    assert epoch(sampler, 2, start) == epoch(sampler, 2)[start:]
    assert len(epoch(sampler, 2)) == 5


@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 64])
def test_even_batches_hold_each_sample_once(world_size, batch_size):
    for size in (*range(world_size, 4 * world_size + 9), 361, 1000):
        samplers = [EvenBatches(size, batch_size, rank, world_size) for rank in range(world_size)]
        batches = [[indices for indices, _ in sampler] for sampler in samplers]
        sizes = [len(batch) for rank in batches for batch in rank]
        assert {len(rank) for rank in batches} == {len(samplers[0])}
        assert sorted(torch.cat([b for rank in batches for b in rank]).tolist()) == list(range(size))
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= max(batch_size, 2 if size % world_size else 1)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 1 / 3, 0.5])
def test_split_keeps_the_proportions(fraction):
    counts = torch.tensor([1, 2, 3, 10, 17, 100, 101])
    labels = torch.arange(7).repeat_interleave(counts)[torch.randperm(234, generator=torch.Generator().manual_seed(0))]
    rest, part = stratified_split(labels, fraction, seed=0)
    assert sorted([*rest.tolist(), *part.tolist()]) == list(range(234))
    assert len(part) == round(fraction * 234)
    taken = labels[part].bincount(minlength=7)
    assert (taken - fraction * counts).abs().max() <= 1


def test_split_is_exact_where_it_can_be():
    labels = torch.arange(10).repeat(20)
    _, part = stratified_split(labels, 0.1, seed=0)
    assert labels[part].bincount().tolist() == [2] * 10


def test_split_follows_its_seed():
    labels = torch.arange(10).repeat(20)
    splits = [stratified_split(labels, 0.2, seed)[1].tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_weighted_draws_meet_each_class_alike_and_each_draw_has_a_key_of_its_own():
    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    weights = 1 / labels.bincount().float()[labels]
    shares = [
        list(KeyedBatches(1000, 10, 3, rank=rank, world_size=2, weights=weights)) for rank in range(2)
    ]  # one epoch
    drawn = torch.cat([indices for share in shares for indices, _ in share])
    keys = torch.cat([keys for share in shares for _, keys in share])
    counts = labels[drawn].bincount()
    chi2 = ((counts - 1000 / 3) ** 2 / (1000 / 3)).sum()
    assert chi2 < 14  # two degrees of freedom: one in a thousand seeds exceeds it
    assert len(keys.unique()) == 1000
    again = KeyedBatches(1000, 10, 3, weights=weights)
    again.start_at(40)
    whole = list(KeyedBatches(1000, 10, 3, weights=weights))
    assert all(torch.equal(a, b) for x, y in zip(again, whole[40:], strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("folds", [2, 3, 5, 7])
@pytest.mark.parametrize("counts", [[40, 40], [31, 7, 2], [1, 1, 1, 50]])
def test_folds_differ_by_one_sample_at_most_in_all_and_in_each_class(folds, counts):
    labels = torch.cat([torch.full((n,), label) for label, n in enumerate(counts)])
    numbers = stratified_folds(labels, folds, seed=1)
    for members in (torch.ones_like(labels).bool(), *(labels == label for label in range(len(counts)))):
        sizes = torch.bincount(numbers[members], minlength=folds)
        assert int(sizes.max() - sizes.min()) <= 1
    assert torch.equal(numbers, stratified_folds(labels, folds, seed=1))
    assert not torch.equal(numbers, stratified_folds(labels, folds, seed=2))
