"""The page's Python, run from its first block to its last."""

import os
import re
import sys
import types
from pathlib import Path

import commands
import pytest

PAGE = Path(__file__).parents[2] / "docs/as-a-library.md"


@pytest.mark.filterwarnings("ignore")
def test_the_page_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    text = PAGE.read_text(encoding="utf-8")
    (command,) = re.findall(r"^```bash\npython src/train.py (.*?)\n```", text, re.MULTILINE | re.DOTALL)
    commands.run(tmp_path / "logs", *command.split())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["notebook"])
    page = types.ModuleType("page")
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), vars(page))
    said = capsys.readouterr().out
    assert "torch.Size([5, 10]) digits" in said
    assert "torch.Size([4, 1, 28, 28]) 4" in said
    assert said.split()[-1] == "8"  # two epochs of four batches
    assert "LIGHTLOOM_RUN_TIME" not in os.environ
