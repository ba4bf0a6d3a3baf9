"""What the machine has, and what a trainer configuration means on it."""

from __future__ import annotations

import ctypes
import logging
import os
import sys

import torch
from omegaconf import DictConfig, ListConfig

from lightloom.core.environment import variable
from lightloom.core.errors import UserError
from lightloom.core.run_dir import is_slurm_job
from lightloom.engine.rendezvous import is_torchrun, world_size

log = logging.getLogger("lightloom")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEPT = -1, -3, 1 << 30  # <malloc.h>; bytes
CPU_PROCESSES = 2  # of trainer=ddp where there is no GPU


def settle(trainer: DictConfig) -> None:
    """Replace `auto` and `all` in a trainer's configuration by what this machine has; refuse what it has not."""
    gpus, asked = torch.cuda.device_count(), trainer.accelerator
    spans_processes = trainer.strategy != "auto"
    _settle_accelerator(trainer, gpus, spans_processes)
    if not gpus:
        # Lightning sets this to 1: then each optimizer step asks for a GPU by loading NVIDIA's library anew.
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    if trainer.accelerator == "cpu":
        keep_memory()
    _settle_devices(trainer, gpus, spans_processes)
    _settle_precision(trainer)
    if spans_processes:
        if trainer.accelerator == "cpu" and isinstance(trainer.strategy, DictConfig):
            trainer.strategy.process_group_backend = "gloo"
        _tell(trainer, is_without_gpu=not gpus and asked != "cpu")


def _settle_accelerator(trainer: DictConfig, gpus: int, spans_processes: bool) -> None:
    """`gpu`, `mps` or `cpu`, by one of its names; processes that share the work of an `mps` are of its CPU."""
    if trainer.accelerator == "auto":
        trainer.accelerator = "gpu" if gpus else "mps" if _mps() else "cpu"
    _check_accelerator(trainer.accelerator, gpus)
    if trainer.accelerator == "cuda":
        trainer.accelerator = "gpu"
    if trainer.accelerator == "mps" and spans_processes:
        trainer.accelerator = "cpu"


def _settle_precision(trainer: DictConfig) -> None:
    if trainer.accelerator == "cpu" and str(trainer.precision) in ("16-mixed", "16"):
        log.warning("trainer.precision=%s needs a GPU; on the CPU this run uses bf16-mixed.", trainer.precision)
        trainer.precision = "bf16-mixed"
    _check_precision(str(trainer.precision), trainer.accelerator)


def _tell(trainer: DictConfig, is_without_gpu: bool) -> None:
    """One line of the processes that are about to start."""
    device, backend = ("GPU", "nccl") if trainer.accelerator == "gpu" else ("CPU", "gloo")
    count, why = _per_node(trainer) * trainer.num_nodes, "; this machine has no GPU" if is_without_gpu else ""
    log.info("Training in %d %s processes (%s)%s.", count, device, backend, why)


def _settle_devices(trainer: DictConfig, gpus: int, spans_processes: bool) -> None:
    """Under torchrun or SLURM the launcher has decided; elsewhere `all` means every GPU, or two CPU processes."""
    if is_torchrun():
        trainer.devices = int(variable("LOCAL_WORLD_SIZE") or "1")
        trainer.num_nodes = world_size() // trainer.devices
    elif is_slurm_job() and spans_processes:
        trainer.num_nodes = int(variable("SLURM_NNODES") or "1")
        trainer.devices = world_size() // trainer.num_nodes
    elif trainer.devices in ("all", "auto", -1):
        trainer.devices = gpus if trainer.accelerator == "gpu" else CPU_PROCESSES if spans_processes else 1
    if not spans_processes and _per_node(trainer) * trainer.num_nodes > 1:
        raise UserError(
            f"trainer.devices={trainer.devices} on {trainer.num_nodes} node(s), but this trainer is for one process; "
            f"use trainer=ddp."
        )
    if trainer.accelerator == "gpu" and _per_node(trainer) > gpus:
        raise UserError(
            f"trainer.devices={trainer.devices}, but this machine has {gpus} GPU(s); set trainer.devices={gpus}."
        )


def _per_node(trainer: DictConfig) -> int:
    """Devices of one machine; `trainer.devices` is their number or a list of them."""
    return len(trainer.devices) if isinstance(trainer.devices, ListConfig) else trainer.devices


def _check_accelerator(accelerator: str, gpus: int) -> None:
    if accelerator in ("gpu", "cuda") and not gpus:
        raise UserError(
            "This trainer needs a GPU and this machine has none that torch can use; use trainer=cpu or trainer=ddp."
        )
    if accelerator == "mps" and not _mps():
        raise UserError("trainer=mps needs an Apple GPU and this machine has none; use trainer=cpu.")


def _check_precision(precision: str, accelerator: str) -> None:
    if accelerator == "cpu" and precision == "16-true":
        raise UserError(
            f"trainer.precision={precision} needs a GPU, and this run is on the CPU; use trainer.precision=bf16-mixed."
        )
    if accelerator == "mps" and precision.startswith("64"):
        raise UserError(
            f"trainer.precision={precision}: Apple GPUs have no 64-bit floats; use trainer.precision=32-true."
        )
    if accelerator in ("gpu", "cuda") and precision.startswith("bf16") and not torch.cuda.is_bf16_supported():
        raise UserError(f"trainer.precision={precision}: this GPU has no bfloat16; use trainer.precision=16-mixed.")


def keep_memory() -> None:
    """Let glibc keep what is freed: else large tensors go back to the kernel and fault in again at each step."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _KEPT)


def _mps() -> bool:
    return torch.backends.mps.is_available()
