"""Complex-valued signals of a radio channel, generated: nothing to download.

The frequency response of a multipath channel with an exponential power-delay profile (Goldsmith 2005, Wireless
Communications, sections 3.1 and 3.3): H(f) = sum_l a_l exp(-2 pi i f tau_l).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Positive, Seed, Workers, checked
from lightloom.data.contract import SPLITS, Summary
from lightloom.data.images.datamodule import Batch, MemoryImages
from lightloom.data.images.readers import Split
from lightloom.data.loading import Batches, KeyedDataModule, evaluation_order, training_order
from lightloom.ops.rng import mix, mix_tensor, normals, uniforms

_DELAYS, _GAINS = 1, 2


class SignalDataModule(KeyedDataModule):
    """Channel signals, float (B, 2, length) in [0, 1]: real and imaginary part at `length` subcarriers.

    Signal i of a split is a function of (seed, split, i), whatever the sizes. There are no labels. batch_size: signals
    per step over all processes. num_workers and augment are what other data takes, as debug=overfit says it of all;
    batches of a tensor in memory need none.
    paths, delay_spread: see `frequency_responses`.
    """

    items: ClassVar[str] = "signals"
    must_match: ClassVar[tuple[str, ...]] = ("channels", "length")

    @checked
    def __init__(
        self,
        name: str,
        kind: str,
        channels: Count,
        length: Count,
        train_size: Count,
        val_size: Count,
        test_size: Count,
        batch_size: Count,
        eval_batch_size: Count,
        paths: Count = 8,
        delay_spread: Positive = 3.0,
        num_classes: None = None,
        root: str = "",
        seed: Seed = 0,
        num_workers: Workers = 0,
        shuffle: bool = True,
        augment: None = None,
    ) -> None:
        super().__init__()
        self.name, self.kind, self.channels, self.length = name, kind, channels, length
        self.sizes = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True))
        self.batch_size, self.eval_batch_size, self.shuffle = batch_size, eval_batch_size, shuffle
        self.paths, self.delay_spread, self.seed = paths, delay_spread, seed
        self.num_classes = num_classes

    # --- the data and its facts

    def facts(self) -> dict[str, Any]:
        """Signals have no classes; raises UserError where the options contradict what is generated."""
        if self.channels != 2:
            raise UserError(f"data.channels is {self.channels}, but a complex signal has 2; set data.channels=2.")
        if self.batch_size > self.sizes["train"]:
            raise UserError(
                f"data.batch_size is {self.batch_size}, but data.train_size is {self.sizes['train']}; "
                f"set data.batch_size={self.sizes['train']} or less."
            )
        return {"num_classes": None}

    def setup(self, stage: str = "fit") -> None:
        """Nothing is read; a split is generated when it is asked for."""
        self.facts()

    def split(self, name: str) -> Split:
        """The data of `train`, `val` or `test`."""
        if name not in self.splits:
            seed, indices = mix(self.seed, SPLITS.index(name)), torch.arange(self.sizes[name])
            found = signals(seed, indices, self.length, self.paths, self.delay_spread)
            self.splits[name] = Split(images=found)
        return self.splits[name]

    def summary(self) -> Summary:
        """All that can be generated."""
        return Summary(self.items, self.sizes)

    def can_be_tested(self, labelled: bool = True) -> bool:
        """There are test signals, without labels."""
        return not labelled

    @property
    def num_train_batches(self) -> int:
        return self.sizes["train"] // self.batch_size

    def example(self, count: int, seed: int) -> Tensor:
        """Signals, (count, 2, length) in [0, 1]."""
        return signals(seed, torch.arange(count), self.length, self.paths, self.delay_spread)

    # --- batches

    def train_dataloader(self) -> Batches:
        return Batches(MemoryImages(self.split("train")), training_order(self, self.sizes["train"]))

    def eval_loader(self, name: str) -> Batches:
        """Any split once, in its order."""
        return Batches(MemoryImages(self.split(name)), evaluation_order(self, self.sizes[name], name))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        return batch[0], batch[1]


def signals(seed: int, indices: Tensor, length: int, paths: int, delay_spread: float) -> Tensor:
    """Real and imaginary parts (B, 2, length) of responses, each divided by its peak |H| and moved into [0, 1]."""
    response = frequency_responses(seed, indices, length, paths, delay_spread)
    parts = torch.view_as_real(response / response.abs().amax(1, keepdim=True)).transpose(1, 2)
    return ((1 + parts) / 2).clamp(0, 1).contiguous()  # 1 + 6e-8 where the peak is real


def frequency_responses(seed: int, indices: Tensor, length: int, paths: int, delay_spread: float) -> Tensor:
    """H at the subcarriers f = 0 .. length - 1, complex64 (B, length), with E|H|^2 = 1; a function of seed and index.

    Each of the `paths` has a delay ~ Exponential with mean `delay_spread`, in samples, which are 1 / length of an OFDM
    symbol, and a gain ~ CN(0, 1 / paths). So E[H(f) conj(H(f + d))] = 1 / (1 - 2 pi i d delay_spread / length).
    """
    delays = -delay_spread * torch.log1p(-uniforms(mix_tensor(mix(seed, _DELAYS), indices), paths))
    gains = normals(mix_tensor(mix(seed, _GAINS), indices), 2 * paths).view(-1, paths, 2) / math.sqrt(2 * paths)
    phases = (-2 * math.pi / length) * delays[:, :, None] * torch.arange(length)
    return (torch.view_as_complex(gains)[:, :, None] * torch.polar(torch.ones_like(phases), phases)).sum(1)
