"""The tables of docs/security.md, which tests compare with the code."""

from __future__ import annotations

import re

from conftest import ROOT

PAGE = ROOT / "docs/security.md"


def table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its head, as cells."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


def quoted(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)
