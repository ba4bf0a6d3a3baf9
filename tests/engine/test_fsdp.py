"""Sharded training is that of one process: losses, checkpoints, and on from them with another number of processes."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import commands
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, TensorDataset

from lightloom.engine.fsdp import FSDPStrategy
from lightloom.engine.rendezvous import free_port

WIDTH, STEPS = 320, 3


class Regression(pl.LightningModule):
    """Each process takes its share of a batch; a part of the network is large enough to be sharded by itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        wide = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
        self.network = nn.Sequential(nn.Linear(4, WIDTH), wide, nn.Linear(WIDTH, 2))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        x, y = (part[self.trainer.global_rank :: self.trainer.world_size] for part in batch)
        return (self.network(x) - y).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)

    def train_dataloader(self) -> Any:
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(8, 4, generator=generator)  # one batch, so that it does not matter which comes next
        return DataLoader(TensorDataset(x, x[:, :2] ** 2), 8)


def fit(folder: Path, strategy: Any, devices: int, steps: int, resume: str | None) -> pl.Trainer:
    options = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "max_steps": steps}
    options |= {"enable_model_summary": False, "use_distributed_sampler": False, "accelerator": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(**options, strategy=strategy, devices=devices, default_root_dir=str(folder))
        trainer.fit(Regression(), ckpt_path=resume, weights_only=True)
    return trainer


def _rank(rank: int, port: int, folder: Path, steps: int, resume: str | None) -> None:
    """One of two processes: it saves with the other, and says how many bytes it holds."""
    os.environ |= {
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    trainer = fit(folder, FSDPStrategy(process_group_backend="gloo"), 2, steps, resume)
    held = list(trainer.lightning_module.parameters())
    held += [v for s in trainer.optimizers[0].state.values() for v in s.values() if v.dim()]
    size = sum((v.to_local() if isinstance(v, DTensor) else v).nbytes for v in held)
    (folder / f"{rank}.json").write_text(json.dumps(size))
    trainer.save_checkpoint(folder / "two.ckpt")


def two(folder: Path, steps: int, resume: str | None = None) -> dict[str, Any]:
    """The checkpoint of two processes, and `held`: the bytes of each."""
    port = free_port()
    commands._start_server()
    ranks = [commands.SERVER.Process(target=_rank, args=(rank, port, folder, steps, resume)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(commands.LIMIT)
    assert [process.exitcode for process in ranks] == [0, 0]
    held = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    return torch.load(folder / "two.ckpt", weights_only=True) | {"held": held}


def one(folder: Path, steps: int, resume: str | None = None) -> dict[str, Any]:
    trainer = fit(folder, "auto", 1, steps, resume)
    trainer.save_checkpoint(folder / "one.ckpt")
    return torch.load(folder / "one.ckpt", weights_only=True)


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)


def test_two_processes_are_one_and_each_goes_on_from_the_others_checkpoint(tmp_path):
    """Four processes, which start as forks of a server."""
    short, whole = one(tmp_path, STEPS), one(tmp_path, 2 * STEPS)
    sharded = two(tmp_path, STEPS)
    assert_same(sharded, short)
    total = sum(value.nbytes for value in short["state_dict"].values())
    assert all(abs(held - 3 * total / 2) < 0.01 * total for held in sharded["held"])  # Adam has two more of each
    assert_same(one(tmp_path, 2 * STEPS, resume=str(tmp_path / "two.ckpt")), whole)
    one(tmp_path, STEPS)
    assert_same(two(tmp_path, 2 * STEPS, resume=str(tmp_path / "one.ckpt")), whole)
