"""Two nodes of torchrun, one of which is killed: started again by the same command, it goes on with the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
from conftest import ROOT

from lightloom.engine import checkpoint
from lightloom.engine.rendezvous import free_port

LIMIT = 150  # seconds
RUN = (
    "model=mlp",
    "model.network.hidden=[8]",
    "data=digits",
    "trainer.max_epochs=20",
    "run_name=one",
    "preflight=false",
    "callbacks.checkpoint.every_n_steps=1",
    "data.batch_size=400",
)


def agent(log_dir: Path, port: int, host: bool = False) -> subprocess.Popen[str]:
    """torchrun on one of two nodes, and its worker. host: where the nodes meet, which the others cannot outlive."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--max_restarts=3"]
    torchrun += ["--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{port}", "--rdzv_id=1", "--local_addr=127.0.0.1"]
    settings = f"is_host={int(host)},keep_alive_interval=1,keep_alive_max_attempt=3"
    torchrun += [f"--rdzv_conf={settings}", "--monitor_interval=0.1"]
    own = {"LIGHTLOOM_LOG_DIR": str(log_dir), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    own["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # docs/laptop-to-cluster.md says why
    with (log_dir / f"agent-{len(list(log_dir.glob('agent-*')))}.txt").open("w") as output:
        return subprocess.Popen(
            [*torchrun, str(ROOT / "src/train.py"), *RUN, "trainer=ddp_cpu"],
            env=os.environ | own,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def test_a_killed_node_comes_back_by_the_same_command(tmp_path):
    """Half a minute of CPU time: agents and workers of torchrun are seven processes that each import torch."""
    commands.run(tmp_path / "alone", *RUN, "trainer=cpu")
    log_dir, port = tmp_path / "two", free_port()
    log_dir.mkdir()
    first = agent(log_dir, port, host=True)
    second = agent(log_dir, port)
    last = log_dir / "runs/one/checkpoints/last.ckpt"
    deadline = time.monotonic() + LIMIT
    while not last.exists():
        assert time.monotonic() < deadline, said(log_dir)
        time.sleep(0.02)
    lose(second)
    reached = checkpoint.load(last)["global_step"]
    third = agent(log_dir, port)
    assert [process.wait(LIMIT) for process in (first, third)] == [0, 0], said(log_dir)
    steps = [checkpoint.load(folder / "runs/one/checkpoints/last.ckpt") for folder in (tmp_path / "alone", log_dir)]
    assert 0 < reached < steps[0]["global_step"] == steps[1]["global_step"]
    for name, value in steps[0]["state_dict"].items():
        assert (steps[1]["state_dict"][name] - value).abs().max() < 1e-4, name
    assert "Resuming from" in said(log_dir)


def lose(node: subprocess.Popen[str]) -> None:
    """Kill an agent and its worker, which has a session of its own."""
    workers = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    for pid in (node.pid, *map(int, workers)):
        os.kill(pid, signal.SIGKILL)
    node.wait()


def said(log_dir: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(log_dir.glob("agent-*")))
