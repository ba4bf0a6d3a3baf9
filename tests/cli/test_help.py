"""`--help` answers at once and lists every choice."""

import re
import time

import pytest
from commands import run
from conftest import names

from lightloom.cli import help


@pytest.mark.parametrize("script", sorted(help.USAGE))
def test_help_lists_each_choice_with_its_summary(script):
    text = help.text(script)
    for group in help.USAGE[script][3]:
        listed = re.search(rf"^{group}=\n((?:  .*\n?)*)", text + "\n", re.MULTILINE)
        assert names(group) == ([line.split()[0] for line in listed[1].splitlines()] if listed else [])


def test_flags_and_options_come_in_any_order(tmp_path):
    """`--cfg job` shows the configuration that would be run, an option that only a constructor knows included."""
    flag, *options = ("--cfg", "job"), "model=mlp", "data.augment.mixup=0.3"
    orders = [*flag, *options], [*options, *flag], [options[0], *flag, options[1]]
    first, last, middle = (run(tmp_path, *order, env={"LIGHTLOOM_RUN_TIME": "now"}) for order in orders)
    assert "mixup: 0.3" in first
    assert first == last == middle


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_needs_neither_torch_nor_hydra(run_cli, flag):
    started = time.monotonic()
    done = run_cli(flag, "model=nonsense", flags=("-X", "importtime"))
    assert done.returncode == 0
    assert "Usage: python src/train.py" in done.stdout
    imported = set(re.findall(r"\|\s*([a-z_]+)$", done.stderr, re.MULTILINE))
    assert not imported & {"torch", "hydra", "numpy", "pytorch_lightning"}
    assert time.monotonic() - started < 10  # 0.1 s alone; a loaded machine is no fault of the program
