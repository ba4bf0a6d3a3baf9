"""Fully sharded data parallel: each process keeps a share of each parameter and of its optimizer's state.

Zhao et al. 2023, PyTorch FSDP; torch's `fully_shard`, behind Lightning's ModelParallelStrategy. Lightning's own
FSDPStrategy refuses CPUs, and could not be tried without two GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import MethodType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from lightloom.engine import lightning_internals as internals

ALONE = 100_000  # parameters from which on a part of a list of modules is brought together, and let go, by itself


class FSDPStrategy(ModelParallelStrategy):
    """Shards each network of a module, and by itself each large part of its lists of modules. Checkpoints are whole:
    those of one process, whatever number has written them.
    """

    def __init__(self, process_group_backend: str | None = None, timeout: timedelta = timedelta(minutes=30)) -> None:
        super().__init__("auto", 1, False, process_group_backend, timeout)

    def setup_environment(self) -> None:
        internals.share_data_only(self)
        super().setup_environment()
        mesh = self.device_mesh["data_parallel"]

        def configure_model(module: pl.LightningModule) -> None:
            for network in networks(module):
                if isinstance(network, FSDPModule):  # a test follows the fit
                    continue
                for part in large_parts(network):
                    fully_shard(part, mesh=mesh)
                fully_shard(network, mesh=mesh)

        module: Any = self.lightning_module
        module.configure_model = MethodType(configure_model, module)  # where Lightning asks for it


def networks(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a module that have parameters, and are called as functions."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from networks(child)
        elif any(True for _ in child.parameters()):
            yield child


def large_parts(network: nn.Module) -> Iterator[nn.Module]:
    """The entries of its lists of modules that have many parameters, inner ones first."""
    for child in network.children():
        yield from large_parts(child)
        if isinstance(network, nn.ModuleList | nn.Sequential) and _size(child) >= ALONE:
            yield child


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
