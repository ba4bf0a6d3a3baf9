"""What the processes of a run agree on before they form a group. Needs torch only where torchrun started them."""

from __future__ import annotations

import os
from datetime import timedelta

from lightloom.core import run_dir
from lightloom.core.environment import variable


def agree_on_run_time(proposal: str) -> str:
    """One name for the run's folder on all ranks: rank 0's proposal, or the numbers of the SLURM job and its srun."""
    if not variable(run_dir.RUN_TIME) and "TORCHELASTIC_RUN_ID" not in os.environ and run_dir.is_slurm_job():
        proposal = f"slurm-{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_STEP_ID', '0')}"
    return agree(run_dir.RUN_TIME, proposal)


def agree(topic: str, proposal: str) -> str:
    """Rank 0's proposal, on all ranks that it started or torchrun did; under SLURM each rank has its own.

    topic: the environment variable that keeps the answer, for this process and those that it starts.
    """
    if not variable(topic):
        os.environ[topic] = _through_store(topic, proposal) if "TORCHELASTIC_RUN_ID" in os.environ else proposal
    return os.environ[topic]


def _through_store(topic: str, proposal: str) -> str:
    """Rank 0 writes into the key-value store that torchrun's agent serves (or itself, until all have read).

    Another rank that is ahead may find the store of the topic before, which is about to close: it tries once more.
    """
    from torch.distributed import DistNetworkError

    try:
        return _from_store(topic, proposal)
    except DistNetworkError:
        return _from_store(topic, proposal)


def _from_store(topic: str, proposal: str) -> str:
    from torch.distributed import TCPStore

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    key = f"{topic}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    serves = run_dir.rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = TCPStore(host, port, is_master=serves, timeout=timedelta(minutes=5), wait_for_workers=False)
    if run_dir.rank() == 0:
        store.set(key, proposal)
    agreed = store.get(key).decode()
    if store.add(f"{key}/read", 1) == int(os.environ["WORLD_SIZE"]):
        store.set(f"{key}/done", "")
    if serves:
        store.wait([f"{key}/done"])
    return agreed
