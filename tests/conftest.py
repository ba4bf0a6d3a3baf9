"""What tests share: the command line as a process, a composed configuration, the names in a group, the data sets."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from lightlab import config

ROOT = Path(__file__).parents[1]


def names(group: str) -> list[str]:
    """What `group=` takes: `model`, `data`, ..."""
    return list(config.options(group))


def compose(*overrides: str, config_name: str = "train") -> DictConfig:
    """The configuration of these overrides, shorthand included, as an entry point would get it."""
    return config.compose(config_name, config.check(config_name, [config.expand_shorthand(o) for o in overrides]))


@pytest.fixture
def run_cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """python [flags] src/<script>.py <args> on one CPU core, runs in tmp_path; the process with its text."""

    def run(
        *args: str, script: str = "train", env: dict[str, str] | None = None, flags: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        own = {"LIGHTLAB_LOG_DIR": str(tmp_path), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        inherited = {k: v for k, v in os.environ.items() if k != "LIGHTLAB_RUN_TIME"}
        command = [sys.executable, *flags, str(ROOT / "src" / f"{script}.py"), *args]
        return subprocess.run(command, env=inherited | own | (env or {}), capture_output=True, text=True, timeout=600)

    return run


@pytest.fixture
def data_dir() -> Path:
    """The folder of the real data sets."""
    where = os.environ.get("LIGHTLAB_DATA_DIR")
    if not where:
        pytest.skip("LIGHTLAB_DATA_DIR is not set to a folder of data sets")
    return Path(where)
