"""Channel signals against their formula and its statistics, and their batches."""

import cmath
import math
from typing import Any

import pytest
import torch

from lightloom.core.errors import UserError
from lightloom.data.signals.datamodule import _DELAYS, _GAINS, SignalDataModule, frequency_responses, signals
from lightloom.ops.rng import mix, mix_tensor, normals, uniforms

N = 20_000


def datamodule(**options: Any) -> SignalDataModule:
    sizes = {"train_size": 26, "val_size": 7, "test_size": 5, "batch_size": 4, "eval_batch_size": 3}
    return SignalDataModule("signals", "signal", **{"channels": 2, "length": 16, **sizes, **options})


def test_a_response_is_the_sum_over_its_paths():
    length, paths, spread = 12, 3, 2.5
    found = frequency_responses(7, torch.arange(2), length, paths, spread)
    u = uniforms(mix_tensor(mix(7, _DELAYS), torch.arange(2)), paths).tolist()
    gains = normals(mix_tensor(mix(7, _GAINS), torch.arange(2)), 2 * paths).view(2, paths, 2).tolist()
    for i in range(2):
        for f in range(length):
            h = 0j
            for draw, (re, im) in zip(u[i], gains[i], strict=True):
                tau = -spread * math.log(1 - draw)
                h += complex(re, im) / math.sqrt(2 * paths) * cmath.exp(-2j * math.pi * f * tau / length)
            assert complex(found[i, f]) == pytest.approx(h, abs=1e-5)


def test_frequencies_are_correlated_as_an_exponential_power_delay_profile_says():
    """E[H(f) conj(H(f + d))] = 1 / (1 - 2 pi i d s / n), within five standard errors; unit power at d = 0."""
    length, spread = 88, 3.0
    h = frequency_responses(0, torch.arange(N), length, paths=8, delay_spread=spread)
    for lag in (0, 1, 5, 20, 60):
        found = (h[:, 10] * h[:, 10 + lag].conj()).mean()
        assert abs(complex(found) - 1 / (1 - 2j * math.pi * lag * spread / length)) < 5 * 1.1 / N**0.5, lag


def test_a_signal_fills_the_unit_disc_around_one_half():
    found = signals(0, torch.arange(500), 88, 8, 3.0)
    assert found.shape == (500, 2, 88)
    assert found.min() >= 0
    assert found.max() <= 1
    parts = 2 * found - 1
    torch.testing.assert_close(parts.square().sum(1).sqrt().amax(1), torch.ones(500))
    h = frequency_responses(0, torch.arange(500), 88, 8, 3.0)
    angles = torch.view_as_complex(parts.transpose(1, 2).contiguous()) / h
    torch.testing.assert_close(angles.imag, torch.zeros(500, 88), rtol=0, atol=1e-4)  # the phase is kept


def test_a_signal_depends_on_seed_split_and_index_only():
    small, large = datamodule(), datamodule(train_size=40, batch_size=8)
    assert torch.equal(small.split("train").images, large.split("train").images[:26])
    others = [datamodule(seed=1).split("train"), small.split("val"), small.split("test")]
    for other in others:
        assert not torch.isclose(other.images[:5], small.split("train").images[:5]).flatten(1).all(1).any()
    assert len({tuple(s.flatten().tolist()) for s in large.split("train").images}) == 40


def batches(loader, module: SignalDataModule) -> list[torch.Tensor]:
    return [module.on_after_batch_transfer(batch, 0)[0] for batch in loader]


def test_an_epoch_has_each_signal_once_at_most_and_a_full_batch_each_time():
    module = datamodule()
    found = batches(module.train_dataloader(), module)
    assert [len(b) for b in found] == [4] * 6 == [4] * module.num_train_batches
    rows = {tuple(row.flatten().tolist()) for row in torch.cat(found)}
    assert len(rows) == 24
    assert rows < {tuple(row.flatten().tolist()) for row in module.split("train").images}


def test_an_epoch_can_be_entered_in_its_middle():
    module = datamodule()
    loader = module.train_dataloader()
    loader.sampler.set_epoch(2)
    whole = batches(loader, module)
    module.resume_at(2, 4)
    assert all(map(torch.equal, whole[4:], batches(module.train_dataloader(), module)))
    assert len(batches(module.train_dataloader(), module)) == 6  # once only


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_evaluation_sees_all_signals_in_order_without_labels(split):
    module = datamodule()
    found = [module.on_after_batch_transfer(batch, 0) for batch in module.eval_loader(split)]
    assert torch.equal(torch.cat([x for x, _ in found]), module.split(split).images)
    assert set(torch.cat([labels for _, labels in found]).tolist()) == {-1}


def test_its_facts_are_options_that_it_takes():
    """A checkpoint's configuration, into which they were written, makes the datamodule again."""
    again = datamodule(**datamodule().facts())
    assert torch.equal(again.split("test").images, datamodule().split("test").images)


def test_it_can_be_tested_where_no_labels_are_needed():
    assert datamodule().can_be_tested(labelled=False)
    assert not datamodule().can_be_tested()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 1}, r"data\.channels is 1, .*; set data\.channels=2"),
        ({"length": 0}, "length is 0; expected at least 1"),
        ({"val_size": 0}, "val_size is 0; expected at least 1"),
        ({"paths": 0}, "paths is 0; expected at least 1"),
        ({"delay_spread": -1.0}, r"delay_spread is -1\.0; expected a number above 0"),
        ({"delay_spread": 0}, "delay_spread is 0; expected a number above 0"),
        ({"batch_size": 27}, r"data\.batch_size is 27, .*; set data\.batch_size=26 or less"),
    ],
)
def test_an_option_that_makes_no_signals_is_named(options, message):
    with pytest.raises(UserError, match=message):
        datamodule(**options).setup()
