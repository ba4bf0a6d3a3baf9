"""Where things lie: the configurations and commands of lightloom, and the project that is being worked on.

In a clone all of it is the clone. Installed from a wheel, lightloom brings its YAML files and commands in its own
folder, and works in the project, or the folder, that the command is given in.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

from lightloom.core.environment import variable

PACKAGE = Path(__file__).parents[1]
_IN_CLONE = PACKAGE.parent.name == "src" and (PACKAGE.parents[1] / "configs" / "train.yaml").is_file()
CLONE = PACKAGE.parents[1] if _IN_CLONE else None
CONFIGS = (CLONE or PACKAGE) / "configs"
COMMANDS = CLONE / "src" if CLONE else PACKAGE / "commands"
PROJECT_FILE = "pyproject.toml"


def find_project(start: Path) -> Path | None:
    """The folder, this one or one above it, whose pyproject.toml says that it is built on the installed package."""
    return next((folder for folder in (start, *start.parents) if _settings(folder).get("kind") == "thin"), None)


def _settings(folder: Path) -> dict[str, object]:
    """`[tool.lightloom]` of a folder's pyproject.toml; empty where there is none, or none that can be read."""
    try:
        found = tomllib.loads((folder / PROJECT_FILE).read_text(encoding="utf-8"))["tool"][PACKAGE.name]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


PROJECT = find_project(Path.cwd())
ROOT = PROJECT or CLONE or Path.cwd()
OWN = None if ROOT == CLONE else ROOT / "configs"  # of a project: they win over those of the same name in CONFIGS
CONFIG_FOLDERS = (OWN, CONFIGS) if OWN and OWN.is_dir() else (CONFIGS,)
_NAMED = _settings(ROOT).get("packages") if PROJECT else None
OWN_PACKAGES = tuple(n for n in map(str, _NAMED if isinstance(_NAMED, list) else ()) if (ROOT / "src" / n).is_dir())


def search_path(source: Path | str = PACKAGE.parent) -> str:
    """PYTHONPATH of a process that looks here first: in this lightloom, which need not be the one that is installed."""
    return os.pathsep.join(filter(None, (str(source), variable("PYTHONPATH"))))


def spoken(command: str) -> str:
    """How a command is called here: `python src/train.py`, or `lightloom train` where it is installed."""
    return f"python src/{command}.py" if ROOT == CLONE else f"{PACKAGE.name} {command}"


def as_spoken(text: str) -> str:
    """A text for people, with each command in it as it is called here."""
    return re.sub(r"python src/([\w<>]+)\.py", lambda found: spoken(found[1]), text)


def make_importable() -> None:
    """Let this process and those that it starts import the project's own code."""
    if ROOT == CLONE:
        return
    source = str(ROOT / "src" if (ROOT / "src").is_dir() else ROOT)
    if source not in sys.path:
        sys.path.insert(0, source)
        os.environ["PYTHONPATH"] = search_path(source)
