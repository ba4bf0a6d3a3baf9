"""The rooms of the house: who may import whom, what each room does not know, and where nothing stands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "src/lightloom"
FLOORS = (  # a room imports from those below it, and from itself
    {"core"},
    {"config"},
    {"ops"},
    {"data", "networks", "losses", "metrics", "optim", "loggers"},
    {"modules", "tracking"},
    {"callbacks"},
    {"engine", "integrations"},
    {"predict", "exporting", "reporting", "sweeps"},
    {"serve", "cli"},
)
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
LEAVES = ("networks", "losses", "metrics", "optim")
KNOWN_TO_LEAVES = ("lightloom.core.errors", "lightloom.core.parts", "lightloom.core.ranges", "lightloom.ops")
WITHOUT_TORCH = ("core", "config", "cli")
# Folders and files named after a kind of data may know it; what they stand beside may not.
# (config/aliases.py names what has moved, and so knows all of them by name.)
KINDS = {*re.findall(r"\w+", "images pictures boxes masks signals text")}
KINDS |= {
    *re.findall(r"\w+", "graphs samples classes reconstructions latents text_images targets environments episodes")
}
SHARED = ("core", "config", "cli", "ops", "engine", "loggers", "callbacks/run", "reporting", "exporting", "predict")
KIND_WORDS = re.compile(r"\bimages?\b|\bchannels\b|num_classes|\bkind ==|\.kind\b.*==")
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0]


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each import, those inside functions too; of a name its module and itself."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def named(file: Path, line: int) -> str:
    return f"{file.relative_to(ROOT)}:{line}"


def test_every_file_stands_in_a_room():
    assert [p.name for p in PACKAGE.glob("*.py")] == ["__init__.py"]
    rooms = {room_of(file) for file in FILES if file.parent != PACKAGE}
    assert rooms <= FLOOR.keys()


def test_nothing_imports_upwards_or_beside():
    wrong = []
    for file in FILES:
        if file.parent == PACKAGE:
            continue
        own = room_of(file)
        for line, name in imports(file):
            parts = name.split(".")
            other = parts[1] if parts[0] == "lightloom" and len(parts) > 1 else own
            if other != own and FLOOR[other] >= FLOOR[own]:
                wrong.append(f"{named(file, line)} imports {name}")
    assert not wrong


@pytest.mark.parametrize("room", LEAVES)
def test_leaves_know_errors_and_functions_of_tensors_only(room):
    wrong = [
        f"{named(file, line)} imports {name}"
        for file in (PACKAGE / room).rglob("*.py")
        for line, name in imports(file)
        if name.startswith(("lightloom.", "hydra", "omegaconf", "pytorch_lightning", "lightning"))
        and not name.startswith((f"lightloom.{room}", *KNOWN_TO_LEAVES))
    ]
    assert not wrong


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_it_is_imported_without_torch(room):
    """Each module of the room in one process: none of them loads torch, and the core no Hydra either."""
    modules = [".".join(f.relative_to(ROOT / "src").with_suffix("").parts) for f in (PACKAGE / room).rglob("*.py")]
    banned = ("torch", "hydra", "omegaconf") if room == "core" else ("torch",)
    lines = ("import importlib, sys", f"[importlib.import_module(m) for m in {modules}]")
    code = "\n".join((*lines, f"print({{*{banned}}} & {{*sys.modules}})"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "src", check=True)
    assert done.stdout.strip() == "set()"


def loaded(module: str, found: set[str] | None = None) -> set[str]:
    """What importing a module of ours imports, ours and others', as the sources say: not what functions import."""
    found = set() if found is None else found
    place = module.removeprefix("lightloom.").replace(".", "/")
    for file in filter(Path.is_file, (PACKAGE / f"{place}.py", PACKAGE / place / "__init__.py")):
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            for name in names_of(statement):
                if name not in found:
                    found.add(name)
                    loaded(name, found)
    return found


def names_of(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module:
        return [statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)]
    return []


@pytest.mark.parametrize(
    "module", ["engine.train", "engine.evaluate", "modules.classifier", "modules.gan", "modules.vae"]
)
def test_timm_is_loaded_by_the_runs_that_use_it(module):
    """It takes a second, and so do the trackers' packages that it looks for."""
    assert sorted(name for name in loaded(f"lightloom.{module}") if name.split(".")[0] in {"timm", "wandb"}) == []


def test_shared_rooms_know_no_kind_of_data():
    wrong = []
    for room in SHARED:
        for file in (PACKAGE / room).rglob("*.py"):
            if file.name == "aliases.py" or KINDS & {*file.relative_to(PACKAGE).with_suffix("").parts[1:]}:
                continue
            lines = file.read_text(encoding="utf-8").splitlines()
            wrong += [f"{named(file, i)}: {text.strip()}" for i, text in enumerate(lines, 1) if KIND_WORDS.search(text)]
    assert not wrong


def test_no_room_imports_an_entry_point():
    entries = {path.stem for path in (ROOT / "src").glob("*.py")}
    assert not [named(f, line) for f in FILES for line, name in imports(f) if name.split(".")[0] in entries]
