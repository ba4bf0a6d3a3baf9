"""Several processes train what one process trains: same weights, same metrics, one folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from commands import run, run_two, runs
from omegaconf import DictConfig, OmegaConf
from outcomes import confusion, results, weights
from PIL import Image
from seeds import seed

from lightloom.config import compose
from lightloom.config.compose import ROOT
from lightloom.core import run_dir
from lightloom.core.errors import UserError
from lightloom.engine import accelerator, rendezvous

SHORT = ("model=mlp", "trainer.max_epochs=2", "trainer.limit_train_batches=4", "data.eval_batch_size=100")
SHORT += ("data.val_fraction=0.13",)  # 187 validation images, which two processes cannot share equally
SHORT += (f"seed={seed()}",)


def assert_same_run(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert max(float((a[k].float() - b[k].float()).abs().max()) for k in a) < 1e-6
    assert results(other) == pytest.approx(results(one), abs=1e-6)


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> Path:
    """The run of one process that the others are compared with: augmented, as the data's preset asks."""
    logs = tmp_path_factory.mktemp("single")
    run(logs, *SHORT)
    return runs(logs)[0]


@pytest.mark.learns
def test_ddp_equals_one_process(tmp_path, single):
    output = run(tmp_path, *SHORT, "trainer=ddp_cpu")
    assert "Training in 2 CPU processes (gloo)" in output
    assert output.count("epoch 1/2") == 1
    (found,) = runs(tmp_path)
    assert_same_run(single, found)
    assert torch.equal(confusion(found), confusion(single))
    assert {p.name for p in found.iterdir()} == {p.name for p in single.iterdir()} | {"run-rank1.log"}
    assert (found / "metrics.csv").read_text().count("\n") == (single / "metrics.csv").read_text().count("\n")


@pytest.mark.learns
def test_all_processes_whiten_alike(tmp_path):
    """The filters come from the same images, however many processes there are."""
    options = ("model=airbench", "model.network.widths=[4]", "trainer.max_epochs=1", "trainer.limit_train_batches=1")
    for trainer in ("cpu", "ddp_cpu"):
        run(tmp_path / trainer, *options, f"seed={seed()}", f"trainer={trainer}", "test=false")
    one, two = (weights(runs(tmp_path / trainer)[0]) for trainer in ("cpu", "ddp_cpu"))
    assert one["network.0.fitted"]
    assert torch.equal(one["network.0.weight"], two["network.0.weight"])


def test_uneven_evaluation_with_batch_norm(tmp_path):
    """23 test images, each counted once. DDP broadcasts the buffers in each forward pass, also in evaluation: processes
    with unequal numbers of images must not wait for one another."""
    for split, size in (("train", 24), ("val", 7), ("test", 23)):
        for i in range(size):
            image = tmp_path / "data" / split / f"class{i % 3}" / f"{i}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.effect_noise((28, 28), 40 + 40 * (i % 3)).save(image)
    data = (
        "data=image_folder",
        f"data.root={tmp_path / 'data'}",
        "data.channels=1",
        "data.image_size=28",
        "data.mean=[0.5]",
    )
    data += ("data.std=[0.3]", "data.num_workers=0", "data.batch_size=8", "data.eval_batch_size=3")
    run(tmp_path, "model=lenet", "model.network.norm=batch", *data, "trainer.max_epochs=1", "trainer=ddp_cpu")
    assert confusion(runs(tmp_path)[0]).sum(1).tolist() == [8, 8, 7]


@pytest.mark.learns
def test_two_nodes_equal_one_process(tmp_path, single):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    rendezvous = ["--nnodes=2", "--nproc_per_node=1", "--master_addr=127.0.0.1", f"--master_port={port}"]
    agents = [
        subprocess.Popen(
            [*torchrun, *rendezvous, f"--node_rank={node}", str(ROOT / "src" / "train.py"), *SHORT, "trainer=ddp"],
            env={**os.environ, "LIGHTLOOM_LOG_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in range(2)
    ]
    outputs = [agent.communicate(timeout=240)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert "Training in 2 CPU processes (gloo)" in outputs[0]
    (found,) = runs(tmp_path)
    assert_same_run(single, found)


@pytest.mark.learns
def test_two_slurm_tasks_equal_one_process(tmp_path, single):
    run_two(tmp_path, *SHORT)
    (found,) = runs(tmp_path)
    assert found.name == "slurm-1234.5"
    assert_same_run(single, found)


# --- who am I, and what is there


LAUNCHERS = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "TORCHELASTIC_RUN_ID",
    "SLURM_STEP_ID",
    run_dir.RUN_TIME,
    run_dir.RESUMED,
)
SLURM = {"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_JOB_ID": "17", "SLURM_PROCID": "3", "SLURM_JOB_NAME": "train"}


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in {*LAUNCHERS, *SLURM}:
        monkeypatch.delenv(name, raising=False)


def launched_by(monkeypatch, **environment: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def trainer(*overrides: str) -> DictConfig:
    cfg = compose.compose("train", list(overrides))
    return OmegaConf.create(compose.without_hydra(cfg).trainer)


def test_rank(monkeypatch):
    assert run_dir.rank() == 0
    launched_by(monkeypatch, LOCAL_RANK="1")
    assert run_dir.rank() == 1
    launched_by(monkeypatch, **SLURM)
    assert run_dir.rank() == 3
    launched_by(monkeypatch, RANK="2")
    assert run_dir.rank() == 2


def test_a_shell_inside_a_slurm_job_is_one_process(monkeypatch):
    launched_by(monkeypatch, **{**SLURM, "SLURM_JOB_NAME": "bash"})
    assert run_dir.rank() == 0
    assert not run_dir.is_slurm_job()


def test_slurm_decides_on_processes_and_folder(monkeypatch):
    launched_by(monkeypatch, **SLURM)
    cfg = trainer("trainer=ddp_cpu")
    accelerator.settle(cfg)
    assert (cfg.num_nodes, cfg.devices) == (2, 2)
    assert rendezvous.agree_on_run_time("now") == "slurm-17.0"


def test_torchrun_decides_on_processes(monkeypatch):
    launched_by(monkeypatch, TORCHELASTIC_RUN_ID="x", WORLD_SIZE="6", LOCAL_WORLD_SIZE="3")
    cfg = trainer("trainer=ddp_cpu")
    accelerator.settle(cfg)
    assert (cfg.num_nodes, cfg.devices) == (2, 3)


@pytest.mark.parametrize("agent_store", ["True", "False"])
def test_ranks_agree_on_a_name(monkeypatch, agent_store):
    """With torchrun's store, and without one, where rank 0 serves and must not leave before the others have read."""
    from torch.distributed import TCPStore

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    agent = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False) if agent_store == "True" else None
    names = get_context("fork").SimpleQueue()

    def agree(rank: int) -> None:
        torchrun = {"TORCHELASTIC_RUN_ID": "x", "TORCHELASTIC_USE_AGENT_STORE": agent_store}
        os.environ.update(torchrun, RANK=str(rank), WORLD_SIZE="3", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        time.sleep(0.3 * rank)  # rank 0 first: it must wait for the others
        names.put(rendezvous.agree_on_run_time(f"name-{rank}"))
        names.put(rendezvous.agree(run_dir.RESUMED, f"checkpoint-{rank}"))

    ranks = [get_context("fork").Process(target=agree, args=[rank]) for rank in range(3)]
    for rank in ranks:
        rank.start()
    assert sorted(names.get() for _ in range(6)) == ["checkpoint-0"] * 3 + ["name-0"] * 3
    for rank in ranks:
        rank.join()
    del agent


@pytest.fixture
def no_gpu(monkeypatch):
    """The machine without its GPUs, whatever it has."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer=gpu"], "needs a GPU"),
        (["trainer=mps"], "Apple GPU"),
        (["trainer=ddp", "trainer.accelerator=gpu"], "needs a GPU"),
        (["trainer=cpu", "trainer.precision=16-true"], "bf16-mixed"),
        (["trainer.devices=2"], "trainer=ddp"),
    ],
    ids=str,
)
def test_what_a_machine_has_not_is_refused_in_one_sentence(overrides, words, no_gpu):
    with pytest.raises(UserError, match=words) as refused:
        accelerator.settle(trainer(*overrides))
    assert str(refused.value).count("\n") == 0


def test_auto_is_the_cpu_where_there_is_no_gpu(no_gpu):
    cfg = trainer()
    accelerator.settle(cfg)
    assert (cfg.accelerator, cfg.devices, cfg.strategy) == ("cpu", 1, "auto")
    for name in ("ddp", "fsdp"):
        cfg = trainer(f"trainer={name}")
        accelerator.settle(cfg)
        assert (cfg.accelerator, cfg.devices, cfg.strategy.process_group_backend) == ("cpu", 2, "gloo")


@pytest.mark.parametrize(
    ("overrides", "devices"),
    [
        (["trainer=ddp"], 4),
        (["trainer=fsdp"], 4),
        (["trainer=ddp", "trainer.accelerator=cuda"], 4),
        (["trainer=ddp", "trainer.devices=3"], 3),
        (["trainer=gpu"], 1),
    ],
    ids=str,
)
def test_all_means_every_gpu(monkeypatch, overrides, devices):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    cfg = trainer(*overrides)
    accelerator.settle(cfg)
    assert (cfg.accelerator, cfg.devices) == ("gpu", devices)


def test_more_gpus_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(UserError, match=r"trainer\.devices=4"):
        accelerator.settle(trainer("trainer=ddp", "trainer.devices=5"))
