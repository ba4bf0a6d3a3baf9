"""A project on the installed package: its own configs, code and tests, and lightloom as a wheel in vendor/."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import origin
from chosen import tracked
from without import ROOT

FILES = Path("tools/new/thin")
PLACEHOLDER, VERSION = "my_project", "LIGHTLOOM_VERSION"
COPIED = ("requirements.lock", "tools/environment.py")
SOURCES = ("src", "configs", "setup.py", "pyproject.toml", "README.md", "LICENSE")
PAGES = ("first-run", "your-data", "fine-tuning", "sweeps", "report", "loggers", "as-a-library", "faq")


def make(name: str, project: Path) -> None:
    """Write the project's files."""
    own = [file for file in tracked() if file.is_relative_to(FILES)]
    for file in (*own, *map(Path, COPIED)):
        place = project / (file.relative_to(FILES) if file in own else file)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, place)
    version = build(project / "vendor")
    for path in sorted((p for p in project.rglob("*") if "vendor" not in p.parts), reverse=True):
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace(PLACEHOLDER, name).replace(VERSION, version)
            path.write_text(text, encoding="utf-8")
        if PLACEHOLDER in path.name:
            path.rename(path.with_name(path.name.replace(PLACEHOLDER, name)))
    _pages(project / "docs")


def build(into: Path) -> str:
    """The wheel of this checkout, of a version that names its commit; returns that version."""
    version = f"{origin.version()}+g{origin.commit().replace('+', '.changed')[:8]}"
    with tempfile.TemporaryDirectory() as scratch:
        for file in tracked():
            if file.parts[0] in SOURCES:
                (Path(scratch) / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, Path(scratch) / file)
        settings = Path(scratch) / "pyproject.toml"
        text = settings.read_text(encoding="utf-8")
        settings.write_text(re.sub(r"^version = .*$", f'version = "{version}"', text, flags=re.M), encoding="utf-8")
        quiet = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(into), ".")
        subprocess.run([sys.executable, "-m", "pip", *quiet], cwd=scratch, check=True)
    return version


def _pages(folder: Path) -> None:
    """The pages that apply, with commands as they are called there, and without links to those that stay behind."""
    from new import without_links

    folder.mkdir()
    for page in PAGES:
        shutil.copy(ROOT / f"docs/{page}.md", folder)
    for file in folder.glob("*.md"):
        text = re.sub(r"python src/(\w+)\.py", r"lightloom \1", file.read_text(encoding="utf-8"))
        file.write_text(without_links(text, folder), encoding="utf-8")
