"""Data that one process prepares is there for all that torchrun or srun has started, before any of them reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from torch.distributed import TCPStore

from lightloom.core.errors import UserError
from lightloom.engine import facts, rendezvous
from lightloom.engine.rendezvous import free_port

FORK = get_context("fork")
SLURM = {"SLURM_JOB_ID": "1234", "SLURM_STEP_ID": "5", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost"}


class Slow(pl.LightningDataModule):
    """Its preparation takes half a second, and ends with a file on its node."""

    def __init__(self, node: Path, per_node: bool, fails: bool = False) -> None:
        super().__init__()
        self.node, self.prepare_data_per_node, self.fails = node, per_node, fails

    def prepare_data(self) -> None:
        time.sleep(0.5)
        if self.fails:
            raise ValueError("no such address")
        self.node.mkdir(exist_ok=True)
        (self.node / str(os.getpid())).touch()


@pytest.fixture
def port() -> int:
    return free_port()


def torchrun(port: int, agent: bool) -> list[dict[str, str]]:
    """The environments of two processes on each of two nodes."""
    common = {"TORCHELASTIC_RUN_ID": "x", "TORCHELASTIC_USE_AGENT_STORE": str(agent), "WORLD_SIZE": "4"}
    common |= {"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [common | {"RANK": str(i), "LOCAL_RANK": str(i % 2), "GROUP_RANK": str(i // 2)} for i in range(4)]


def srun(port: int) -> list[dict[str, str]]:
    common = {**SLURM, "SLURM_NTASKS": "4", "SLURM_NNODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [common | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i % 2)} for i in range(4)]


def outcomes(
    environments: list[dict[str, str]], folder: Path, per_node: bool, failing: int = -1, late: float = 0.0
) -> list[Any]:
    """What each process finds on its node when it has come through: the number of files, or the error.

    late: seconds that the last process comes after the others.
    """
    found = FORK.SimpleQueue()

    def process(rank: int, environment: dict[str, str]) -> None:
        os.environ.update(environment)
        time.sleep(late if rank == len(environments) - 1 else 0.0)
        node = folder / f"node-{rank // 2 if per_node else 0}"
        try:
            facts.prepare(Slow(node, per_node, fails=rank == failing))
            found.put((rank, len(list(node.glob("*")))))
        except Exception as error:  # whatever it is, it is an outcome
            known = isinstance(error, UserError | ValueError)
            found.put((rank, type(error).__name__ if known else repr(error)))

    processes = [FORK.Process(target=process, args=each) for each in enumerate(environments)]
    for one in processes:
        one.start()
    results = dict(found.get() for _ in processes)
    for one in processes:
        one.join()
    return [results[rank] for rank in sorted(results)]


@pytest.fixture
def agent(port) -> Iterator[int]:
    """The port of the store that torchrun's agent keeps."""
    store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    yield port
    del store


@pytest.mark.parametrize("per_node", [True, False])
def test_all_wait_under_srun(tmp_path, port, per_node):
    assert outcomes(srun(port), tmp_path, per_node) == [1, 1, 1, 1]


@pytest.mark.parametrize("per_node", [True, False])
def test_all_wait_under_torchrun(tmp_path, port, per_node):
    assert outcomes(torchrun(port, agent=False), tmp_path, per_node) == [1, 1, 1, 1]


def test_the_second_node_waits_for_its_own(tmp_path, agent):
    assert outcomes(torchrun(agent, agent=True), tmp_path, per_node=True) == [1, 1, 1, 1]


@pytest.mark.parametrize("late", [0.0, 2.0])
@pytest.mark.parametrize("failing", [0, 2])
def test_nobody_waits_for_one_that_has_failed(tmp_path, port, failing, late):
    """Nor does one that comes when the others have heard of it: rank 0 keeps the store for it."""
    expected = ["ValueError" if rank == failing else "UserError" for rank in range(4)]
    assert outcomes(srun(port), tmp_path, per_node=True, failing=failing, late=late) == expected


def test_one_that_never_finds_rank_0_is_told_where_it_looked(port, monkeypatch):
    monkeypatch.setattr(rendezvous, "PATIENCE", timedelta(seconds=0.2))
    monkeypatch.setattr(rendezvous, "CLOSING", 0.1)
    for name, value in srun(port)[1].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"rank 0 of this run does not answer at 127.0.0.1:{port}"):
        facts.prepare(pl.LightningDataModule())


def test_a_process_alone_waits_for_nobody(tmp_path, monkeypatch):
    """A script that sbatch runs has several tasks, and is one process."""
    for name, value in {**SLURM, "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_STEP_ID")
    facts.prepare(Slow(tmp_path / "node", per_node=False))
    assert len(list((tmp_path / "node").iterdir())) == 1
