"""A loader whose workers give nothing ends and says why, and what will not fit is found before the first step."""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from collections.abc import Callable
from multiprocessing import resource_sharer
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import compose
from torch.utils.data import Dataset, SequentialSampler

from lightloom.config import compose as config
from lightloom.core.errors import UserError, message_of
from lightloom.data import loading
from lightloom.engine import train


class Silent(Dataset):
    """Its second item never comes: the worker waits, or is killed, or cannot hand it over."""

    def __init__(self, does: Callable[[], Any]) -> None:
        self.does = does

    def __getitem__(self, index: int) -> Any:
        return self.does() if index == 1 else torch.zeros(1)


@pytest.mark.parametrize(
    ("does", "timeout"),
    [(lambda: time.sleep(3), 1.0), (lambda: os._exit(1), 600.0), (lambda: threading.Lock(), 600.0)],
    ids=["waits", "dies", "has what cannot be handed over"],
)
def test_workers_that_give_nothing_are_one_message(does, timeout):
    batches = iter(loading.loader(Silent(does), SequentialSampler(range(4)), num_workers=1, seed=0, timeout=timeout))
    with pytest.raises((RuntimeError, UserError)) as caught:
        list(batches)
    said = message_of(caught.value)
    assert said is not None
    assert "data.num_workers=0" in said
    assert "/dev/shm" in said


@pytest.fixture(scope="module")
def files(image_folder):
    """A datamodule with workers that reads files."""
    options = ("model=mlp", "data=image_folder", f"data.root={image_folder}", "data.image_size=64", "data.batch_size=8")
    cfg = config.without_hydra(compose(*options, "data.num_workers=2", "data.val_fraction=0.2"))
    return train.build_data(cfg)[1]


def test_a_sample_is_as_large_as_its_tensors(files):
    assert loading.bytes_of_sample(files.train_dataloader()) == 3 * 64 * 64 + 8 + 8  # an image, its label, its key
    files.num_workers = 0
    assert loading.bytes_of_sample(files.train_dataloader()) == 0
    files.num_workers = 2


@pytest.mark.parametrize(("free", "fits"), [(2 * 2 * 100 * (8 + 4), True), (2 * 2 * 100 * (8 + 4) - 1, False)])
def test_batches_that_do_not_fit_into_shared_memory_are_refused(monkeypatch, tmp_path, free, fits):
    monkeypatch.setattr(loading, "SHARED", tmp_path)
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    if fits:
        return loading.check_shared_memory(100, (8, 4), num_workers=2, processes=1)
    with pytest.raises(UserError, match=r"data.num_workers=0.*--shm-size"):
        loading.check_shared_memory(100, (8, 4), num_workers=2, processes=1)


def test_a_limit_on_files_counts_too(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (700, 700))
    with pytest.raises(UserError, match="ulimit -f"):
        loading.check_shared_memory(100, (8, 4), num_workers=2, processes=1)


class Full(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_the_machine_refuses_a_worker_is_told_as_elsewhere():
    """torch hands its exception on without its number. Over a second: a process is started."""
    with pytest.raises(OSError, match="DataLoader worker") as raised:
        list(torch.utils.data.DataLoader(Full(), num_workers=1))
    assert "No space left on device; free some space" in message_of(raised.value)


def test_a_batch_of_a_worker_that_was_killed_is_told_so():
    """As the system's killer for lack of memory does: its batch was announced, and can no more be fetched."""
    batch = resource_sharer.DupFd(0)
    resource_sharer.stop()
    with pytest.raises((EOFError, OSError)) as raised:
        batch.detach()
    assert "set data.num_workers=0" in message_of(raised.value)
