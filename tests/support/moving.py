"""Parts of somebody who comes from lightning-hydra-template, put into a project of ours."""

import shutil
from pathlib import Path

from conftest import ROOT

MOVED = ROOT / "tests/tools/moved"


def move_over(project: Path, package: Path, dotted: str) -> None:
    """Code into the package, whose dotted name is given; YAML files into configs/, where hparams_search is sweep."""
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    for file in (ROOT / "tests/support/their_parts.py", MOVED / "callback.py"):
        shutil.copy(file, package)
    for file in (MOVED / "configs").rglob("*.yaml"):
        place = project / "configs" / file.relative_to(MOVED / "configs")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.read_text().replace("PACKAGE", dotted))
