"""What the processes of a run agree on before they form a group. Needs torch only where a launcher started them."""

from __future__ import annotations

import itertools
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from lightloom.core import run_dir
from lightloom.core.environment import variable
from lightloom.core.errors import UserError

if TYPE_CHECKING:
    from torch.distributed import TCPStore

T = TypeVar("T")
_MEETINGS = itertools.count()  # the same on all ranks, which come to the same meetings
PATIENCE = timedelta(minutes=5)  # for the others to come
CLOSING = 10.0  # seconds that the store of a meeting may take to close, and that a failed rank 0 keeps it for others
_SECONDS = 0.05  # between two looks at the store


def is_torchrun() -> bool:
    """Whether torchrun has started this process."""
    return variable("TORCHELASTIC_RUN_ID") is not None


def _is_srun() -> bool:
    """Whether srun has started this process and others: a script that sbatch runs is alone, whatever it may start."""
    return run_dir.is_slurm_job() and variable("SLURM_STEP_ID") is not None


def world_size() -> int:
    """The number of processes that torchrun or srun has started."""
    return int(variable("WORLD_SIZE" if is_torchrun() else "SLURM_NTASKS") or "1")


def free_port() -> int:
    """A port at which nobody listens, below those that systems give to connections.

    One of those may be taken by any connection of any program before rank 0 listens there.
    """
    for port in random.SystemRandom().sample(range(10_000, 32_768), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port
    raise UserError("no port from 10000 to 32767 is free; set the environment variable MASTER_PORT to one that is.")


def agree_on_run_time(proposal: str) -> str:
    """One name for the run's folder on all ranks: rank 0's proposal, or the numbers of the SLURM job and its srun."""
    if not variable(run_dir.RUN_TIME) and not is_torchrun() and run_dir.is_slurm_job():
        proposal = f"slurm-{variable('SLURM_JOB_ID')}.{variable('SLURM_STEP_ID', '0')}"
    return agree(run_dir.RUN_TIME, proposal)


def agree(topic: str, proposal: str) -> str:
    """Rank 0's proposal, on all ranks that it started or torchrun did; under SLURM each rank has its own.

    topic: the environment variable that keeps the answer, for this process and those that it starts.
    """
    agreed = variable(topic)
    if agreed is None:
        agreed = os.environ[topic] = _through_store(topic, proposal) if is_torchrun() else proposal
    return agreed


@contextmanager
def together() -> Iterator[None]:
    """What is done inside is done on all ranks when it ends on any, where torchrun or srun has started them.

    Raises UserError where another rank has failed in it. Other processes meet nobody.
    """
    if not (is_torchrun() or _is_srun()):
        yield
        return
    key = _of_this_attempt(f"meeting-{next(_MEETINGS)}")
    store = _again(lambda: _meeting(key))
    try:
        yield
        _gather(store, key)
    except Exception:  # of any kind: it is raised again, after the others are told
        _part(store, key, CLOSING, failed=True)
        raise
    _part(store, key, PATIENCE.total_seconds())


def _part(store: TCPStore, key: str, patience: float, failed: bool = False) -> None:
    """Say that this rank needs the store no more, and why; the one that keeps it waits until all have said so.

    patience: seconds to wait for those who have not come; rank 0 may have ended before its answer is here.
    """
    from torch.distributed import DistNetworkError

    deadline = time.monotonic() + patience
    with suppress(DistNetworkError):
        if failed:
            store.set(f"{key}/failed", "")
        parted = store.add(f"{key}/parted", 1)
        while _serves() and parted < world_size() and time.monotonic() < deadline:
            time.sleep(_SECONDS)
            parted = store.add(f"{key}/parted", 0)


def _meeting(key: str) -> TCPStore:
    """The store of this meeting: that of the topic before closes before anybody has written the key there."""
    store = _open_store()
    if run_dir.rank() == 0:
        store.set(f"{key}/open", "")
    _await(store, f"{key}/open")
    return store


def _await(store: TCPStore, key: str) -> None:
    """Wait until some process has set the key; in steps, so that a signal ends it. UserError after PATIENCE."""
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while not store.check([key]):
        if time.monotonic() > deadline:
            raise UserError(f"the other processes of this run have not come within {PATIENCE}; see their messages.")
        time.sleep(_SECONDS)


def _gather(store: TCPStore, key: str) -> None:
    """Wait for all ranks, however long one downloads; in steps, so that a signal ends it."""
    from torch.distributed import DistNetworkError

    try:
        here = store.add(f"{key}/done", 1)
        while here < world_size() and not store.check([f"{key}/failed"]):
            time.sleep(_SECONDS)
            here = store.add(f"{key}/done", 0)
    except DistNetworkError as error:  # rank 0, which serves it, has ended
        raise UserError("rank 0 has ended while the others were waiting for it; see its message.") from error
    if here < world_size():
        raise UserError("another process of this run has failed while this one was waiting for it; see its message.")


def _through_store(topic: str, proposal: str) -> str:
    """Rank 0 writes into the key-value store that torchrun's agent serves (or itself, until all have read)."""
    return _again(lambda: _from_store(topic, proposal))


def _again(ask: Callable[[], T]) -> T:
    """A rank that is ahead may find the store of the topic before, which is about to close: it tries again, until the
    next is open.
    """
    from torch.distributed import DistNetworkError

    deadline = time.monotonic() + CLOSING
    while True:
        try:
            return ask()
        except DistNetworkError as error:
            if time.monotonic() > deadline:
                where = "{}:{}".format(*_address())
                raise UserError(f"rank 0 of this run does not answer at {where}; see its message.") from error
            time.sleep(_SECONDS)


def _from_store(topic: str, proposal: str) -> str:
    key = _of_this_attempt(topic)
    store = _open_store()
    if run_dir.rank() == 0:
        store.set(key, proposal)
    _await(store, key)
    agreed = store.get(key).decode()
    if store.add(f"{key}/read", 1) == world_size():
        store.set(f"{key}/done", "")
    if _serves():
        _await(store, f"{key}/done")
    return agreed


def _open_store() -> TCPStore:
    from torch.distributed import TCPStore

    host, port = _address()
    return TCPStore(host, port, is_master=_serves(), timeout=PATIENCE, wait_for_workers=False)


def _of_this_attempt(topic: str) -> str:
    """A key that no earlier attempt has written: an agent's store outlives them. One that rank 0 keeps is new, and a
    node that has taken a lost one's place counts its restarts from 0.
    """
    return f"{topic}/{variable('TORCHELASTIC_RESTART_COUNT', '0')}" if _agent_serves() else topic


def _agent_serves() -> bool:
    return variable("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _serves() -> bool:
    """Does this process keep the store? Under torchrun its agent may."""
    return run_dir.rank() == 0 and not _agent_serves()


def _address() -> tuple[str, int]:
    """Where rank 0 is: what torchrun says, or what Lightning makes of SLURM's list of nodes and number of the job."""
    host, port = variable("MASTER_ADDR"), variable("MASTER_PORT")
    if is_torchrun() and not (host and port):
        raise UserError("TORCHELASTIC_RUN_ID is set, but not MASTER_ADDR and MASTER_PORT; start the run by torchrun.")
    if host and port:
        return host, int(port)
    from lightning_fabric.plugins.environments import SLURMEnvironment

    slurm = SLURMEnvironment(auto_requeue=False)
    return slurm.main_address, slurm.main_port
