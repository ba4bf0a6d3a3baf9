"""Dropout (Srivastava et al. 2014) whose mask of a sample is a function of the sample, not of its batch.

What the process's random numbers drop depends on which samples are in the batch, in which order, and how long the
longest is: two processes, or an accumulated step, drop other values than one. Here a value is dropped or not by its
sample's key, its layer, and its place alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

import torch
from torch import Tensor, nn

from lightloom.networks.timm_attention import attention_layers, spelled_out
from lightloom.ops.rng import mix, mix_tensor, random_bits, text_keys

log = logging.getLogger("lightloom")
OTHERS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RReLU)
LEVELS = 1 << 16  # of a rate
_told: WeakSet[nn.Module] = WeakSet()  # networks of which a line was said


class KeyedDropout(nn.Dropout):
    """nn.Dropout whose mask is a function of the samples' keys, int64 (B,), where there are some: see `keyed_dropout`.

    The same rate, to 2^-17, and scale. stream: of the keys, one for each layer of a network. Without keys, or of what
    is not one row (B, ...) for each, it is nn.Dropout. A forward that is repeated for its gradient (torch's activation
    checkpointing) would count as another call and draw another mask: none here does so.
    """

    def __init__(self, p: float, inplace: bool = False, stream: int = 0) -> None:
        super().__init__(p, inplace)
        self.stream, self.calls = stream, 0
        self.keys: Tensor | None = None

    @property
    def is_keyed(self) -> bool:
        """Whether it draws by keys now."""
        return self.keys is not None and self.training

    def begin(self, keys: Tensor | None) -> None:
        """Draw by these keys from now on, a mask of its own for each call."""
        self.keys, self.calls = keys, 0

    def forward(self, x: Tensor) -> Tensor:
        if self.keys is None or not self.training or len(self.keys) != len(x) or not 0 < self.p < 1:
            return super().forward(x)
        self.calls += 1
        bits = random_bits(mix_tensor(mix(self.stream, self.calls), self.keys), x.shape[1:])
        kept = bits >= round(self.p * LEVELS) - LEVELS // 2
        return x * kept.to(x.dtype) * (1 / (1 - self.p))


def key_dropout(network: nn.Module) -> nn.Module:
    """Put KeyedDropout in the place of each nn.Dropout inside `network`, in place; the state_dict keeps its keys."""
    own: dict[nn.Module, KeyedDropout] = {}
    for name, layer in list(network.named_modules(remove_duplicate=False)):
        if name and type(layer) is nn.Dropout and layer.p:
            if layer not in own:
                own[layer] = KeyedDropout(layer.p, layer.inplace, len(own))
            network.set_submodule(name, own[layer])
    return network


@contextmanager
def keyed_dropout(network: nn.Module, step_key: int | None, *texts: Tensor) -> Iterator[None]:
    """Inside, each KeyedDropout of the network drops by the texts that a sample has and the key of the step.

    texts: ids int64 (B, T) each, padded with 0. So the mask of a sample is the same in any batch, order, process and
    padding, and another in another step; equal samples of a step share one. Without a key of the step, or where a
    network takes no ids, all is dropped by chance.
    """
    if step_key is None or texts[0].is_floating_point():
        yield
        return
    layers = [part for part in network.modules() if isinstance(part, KeyedDropout)]
    spelled = [part for part in attention_layers(network) if isinstance(part.attn_drop, KeyedDropout)]
    _tell_of_others(network)
    keys = torch.stack([text_keys(ids, step_key + i) for i, ids in enumerate(texts)]).sum(0)
    try:
        for layer in layers:
            layer.begin(keys)
        with spelled_out(spelled):
            yield
    finally:
        for layer in layers:
            layer.begin(None)


def drawn_by_chance(network: nn.Module) -> list[str]:
    """Names of the layers that drop by the process's random numbers, whatever the keys."""
    return [name for name, part in network.named_modules() if isinstance(part, OTHERS) or _drops_inside(part)]


def _drops_inside(part: nn.Module) -> bool:
    """Is it a layer of torch or timm that drops within its own code?"""
    if isinstance(part, nn.RNNBase):
        return bool(part.dropout) and part.num_layers > 1
    if isinstance(part, nn.MultiheadAttention):
        return bool(part.dropout)
    return bool(getattr(part, "drop_prob", 0))


def _tell_of_others(network: nn.Module) -> None:
    if network in _told:
        return
    _told.add(network)
    if found := drawn_by_chance(network):
        log.warning(
            "Dropped by each process's own chance, so two processes are not exactly one: %s; nn.Dropout between layers "
            "is drawn for each text.", ", ".join(found)
        )  # fmt: skip
