"""Environment variables. One that is set but empty counts as not set: `LIGHTLOOM_DATA_DIR= python src/train.py`."""

from __future__ import annotations

import os
from pathlib import Path

# By which torchrun, srun and Lightning tell a process what it is: the libraries take an empty one for set.
LAUNCHERS = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)
PREFIXES = ("TORCHELASTIC_", "SLURM_", "LIGHTLOOM_")


def variable(name: str, default: str | None = None) -> str | None:
    """The variable's value; `default` where it is not set, or empty."""
    return os.environ.get(name) or default


def read_dotenv(folder: Path) -> None:
    """Set what a file `.env` in the folder says, `NAME=value` on each line; what is set already stays."""
    if (folder / ".env").is_file():
        from dotenv import load_dotenv

        load_dotenv(folder / ".env")


def drop_empty() -> None:
    """Unset the launchers' variables and our own where they are empty; an empty CUDA_VISIBLE_DEVICES has a meaning."""
    for name in [n for n, value in os.environ.items() if not value and (n in LAUNCHERS or n.startswith(PREFIXES))]:
        del os.environ[name]
