"""Where a project came from: the template's commit and what was asked for, in .template.toml."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from without import ROOT

FILE, BRANCH = ".template.toml", "template"
ABOUT = "# Where this project came from. `make upgrade FROM=<clone of the template>` merges what is new there.\n"


def write(project: Path, plan: Any) -> None:
    """plan: a `new.Plan`."""
    told = {"template": "lightloom", "version": version(), "commit": commit(), "name": plan.name, "kind": plan.kind}
    lists = {"with": [*plan.choices, *plan.families], "without": [*plan.without]}
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in {**told, **lists}.items()]
    (project / FILE).write_text(ABOUT + "".join(lines), encoding="utf-8")


def read(project: Path) -> dict[str, Any]:
    """What `write` has written; empty for a project that was made before there was such a file."""
    file = project / FILE
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def version() -> str:
    """The template's version."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def commit() -> str:
    """The template's commit, with a + where files have been changed since."""
    head = _git("rev-parse", "HEAD")
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def identity(project: Path) -> list[str]:
    """Options of git that let it commit where nobody has told it a name."""
    known = subprocess.run(["git", "config", "user.email"], cwd=project.parent, capture_output=True).returncode == 0
    return [] if known else ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()
