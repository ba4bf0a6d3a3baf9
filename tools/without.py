"""A copy of the project without a family of models: python tools/without.py boxes|gan ... <folder>.

A family is a few paths (families.py). The rest follows from what files say: a configuration that names a removed class
or another removed configuration goes, and so do tests, benchmarks and old checkpoints of it, commands and rows of
pages, and old names in config/aliases.py. Of the package itself files go whole or stay as they are.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from cases import Named, without_cases
from families import FAMILIES, PACKAGE, with_users
from pages import without_passages

from lightloom.core.errors import UserError, did_you_mean

ROOT = Path(__file__).parents[1]
ALIASES = f"{PACKAGE}/config/aliases.py"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PRESETS = re.compile(r"configs/(task|optimizer|\w+/base)/")  # they go with the last configuration that names them
PAGES = ("docs/*.md", "*.md")
OWN = ("tools/without.py", "tools/cases.py", "tools/pages.py", "tests/tools/test_without.py")  # stay behind


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="without.py", description=__doc__)
    parser.add_argument("families", nargs="+", help=" or ".join(FAMILIES))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        removal = create(options.families, options.folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code)
    families = " and ".join(options.families)
    print(f"{options.folder} is the project without {families}: {removal}")


@dataclass
class Removal:
    """What was taken away: files, and lines of those that stay."""

    files: list[Path] = field(default_factory=list)
    folders: set[Path] = field(default_factory=set)
    lines: int = 0
    changed: dict[Path, int] = field(default_factory=dict)  # lines less

    def __str__(self) -> str:
        less = sum(self.changed.values())
        return f"{len(self.files)} files of {self.lines} lines less, and {less} lines in {len(self.changed)} others."


def create(families: Sequence[str], target: Path) -> Removal:
    """Copy the files that git tracks into `target`, a new folder, and remove the families there."""
    for family in families:
        if family not in FAMILIES:
            near = did_you_mean(family, FAMILIES)
            raise UserError(f"{family}: there is no such family.{near} Known: {', '.join(FAMILIES)}.")
    if target.exists():
        raise UserError(f"{target} exists already; name a folder that does not, or delete it.")
    _copy_tracked(target)
    _delete(target, matches(target, OWN), Removal())
    removal = Removal()
    _delete(target, matches(target, [p for family in with_users(families) for p in FAMILIES[family]]), removal)
    named = Named(modules=frozenset(dotted(removal.files)), paths=frozenset(map(str, removal.files)))
    _delete(target, gone := configs_that_go(target, named.modules), removal)
    named = named.joined(choices=frozenset((_group(c), c.stem) for c in gone), paths=frozenset(map(str, gone)))
    _rewrite(target, [Path(ALIASES)], lambda text: without_old_names(text, named.modules), removal)
    _delete(target, list(_tests_of(target, named)), removal)
    named = _python(target, named, removal)
    _rewrite(target, matches(target, ["tests/**/*.json"]), lambda text: _without_entries(text, named), removal)
    _rewrite(target, matches(target, ["benchmarks/*.yaml"]), lambda text: _without_blocks(text, named), removal)
    _delete(target, list(_checkpoints(target, named)), removal)
    named = named.joined(paths=frozenset(map(str, [*removal.files, *removal.folders, *matches(ROOT, OWN)])))
    _rewrite(target, matches(target, PAGES), lambda text: without_passages(text, named), removal)
    _tidy(target)
    return removal


def _copy_tracked(target: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        raise UserError(f"{ROOT} is no git repository, which tells its files from yours; clone it instead.")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def matches(target: Path, patterns: Iterable[str]) -> list[Path]:
    """The files, relative to `target`, that match a pattern or lie in a folder that does."""
    found = {path for pattern in patterns for path in target.glob(pattern)}
    files = {file for path in found for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()}
    return sorted(file.relative_to(target) for file in files)


def _delete(target: Path, files: Iterable[Path], removal: Removal) -> None:
    for file in files:
        removal.lines += (target / file).read_bytes().count(b"\n") if file.suffix != ".ckpt" else 0
        removal.files.append(file)
        (target / file).unlink()
        for folder in (target / file).parents:  # folders that are empty now
            if any(folder.iterdir()):
                break
            folder.rmdir()
            removal.folders.add(folder.relative_to(target))


def _rewrite(target: Path, files: Iterable[Path], change: Callable[[str], str | None], removal: Removal) -> list[Path]:
    """Write each file as `change` leaves it; those of which nothing is left, for which it is None, are deleted."""
    empty = []
    for file in files:
        before = (target / file).read_text(encoding="utf-8")
        after = change(before)
        if after is None:
            empty.append(file)
        elif after != before:
            removal.changed[file] = removal.changed.get(file, 0) + before.count("\n") - after.count("\n")
            (target / file).write_text(after, encoding="utf-8")
    _delete(target, empty, removal)
    return empty


def dotted(files: Iterable[Path]) -> Iterator[str]:
    """As Python imports them: modules of src from there, those of tests/support by the bare name."""
    for file in files:
        if file.suffix == ".py" and file.parts[0] == "src":
            parts = file.with_suffix("").parts[1:]
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        elif file.suffix == ".py" and file.parts[:2] == ("tests", "support"):
            yield file.stem


# --- configurations


def configs_that_go(target: Path, modules: frozenset[str]) -> list[Path]:
    """Those that name a removed class, those that build on or choose one that goes, and presets of these alone."""
    texts = {file: (target / file).read_text(encoding="utf-8") for file in matches(target, ["configs"])}
    chosen = {file: set(_choices(file, yaml.load(text, LOADER) or {})) for file, text in texts.items()}
    named = Named(modules=modules)
    gone = {file for file, text in texts.items() if any(map(named.has_module, re.findall(r"_target_:\s*(\S+)", text)))}
    while more := {f for f in texts.keys() - gone if chosen[f] & gone or _is_left_alone(f, chosen, gone)}:
        gone |= more
    return sorted(gone)


def _is_left_alone(config: Path, chosen: dict[Path, set[Path]], gone: set[Path]) -> bool:
    users = {file for file, names in chosen.items() if config in names}
    return bool(PRESETS.match(str(config)) and users and users <= gone)


def _choices(config: Path, content: dict[str, Any]) -> Iterator[Path]:
    """The files that the defaults of a configuration name, those left out that are optional."""
    for entry in content.get("defaults", []):
        pairs = entry.items() if isinstance(entry, dict) else [("", entry)]
        for key, names in pairs:
            group = key.removeprefix("override ").partition("@")[0]
            for name in names if isinstance(names, list) else [names]:
                if name and not key.startswith("optional "):
                    own = Path("configs") if group.startswith("/") or str(name).startswith("/") else config.parent
                    yield own / group.strip("/") / f"{str(name).partition('@')[0].strip('/')}.yaml"


def _group(config: Path) -> str:
    return "/".join(config.parent.parts[1:])


# --- what names them


def _tests_of(target: Path, named: Named) -> Iterator[Path]:
    """Tests of what is gone: of a room, as their folder says, they import removed modules only."""
    for file in matches(target, ["tests/*/**/test_*.py"]):
        folder = ".".join(("lightloom", *file.parent.parts[1:]))
        lines = re.findall(r"^(?:from|import) (lightloom[\w.]*)(?: import (\w+)$)?", (target / file).read_text(), re.M)
        imported = [f"{module}.{name}" if name else module for module, name in lines]
        own = [name for name in imported if name.startswith(".".join(folder.split(".")[:2]) + ".")]
        if named.has_module(folder) or (own and all(map(named.has_module, own))):
            yield file


def _python(target: Path, named: Named, removal: Removal) -> Named:
    """Tests and benchmarks without what names the family, nor a module of tests that goes with it."""
    while True:
        files = matches(target, ["tests/**/*.py", "benchmarks/**/*.py"])
        empty = _rewrite(target, files, partial(without_cases, named=named), removal)
        if not empty:
            return named
        named = named.joined(modules=frozenset(dotted(empty)), paths=frozenset(map(str, empty)))


def without_old_names(text: str, modules: frozenset[str]) -> str:
    """The table of aliases without those of removed modules."""
    named = Named(modules=modules)
    lines = text.splitlines(True)
    return "".join(line for line in lines if not any(map(named.has_module, re.findall(r'"([\w.]+)"', line))))


def _without_entries(text: str, named: Named) -> str:
    """JSON that has one entry a line, without those in which a string names the family."""
    kept = [line for line in text.splitlines(True) if not any(map(named.is_in, re.findall(r'"([^"]*)"', line)))]
    less = re.sub(r",(\s*[}\]])", r"\1", "".join(kept))
    json.loads(less)
    return less


def _without_blocks(text: str, named: Named) -> str:
    """YAML of named blocks, at the left or below `rows:`, without those with a command that names the family."""
    parts = re.split(r"^(?=  \w+:)" if "\nrows:\n" in text else r"^(?=\w+:)", text, flags=re.MULTILINE)
    words = (re.findall(r"[^\s\[,/]+(?:=|\.py)[^\s,\]]*", part) for part in parts)
    return "".join(part for part, asked in zip(parts, words, strict=True) if not any(map(named.is_in, asked)))


def _checkpoints(target: Path, named: Named) -> Iterator[Path]:
    """Checkpoints in which a name stands that is, or was in version 0.1, one of a removed class."""
    old = [line for line in (ROOT / ALIASES).read_text(encoding="utf-8").splitlines() if '": "' in line]
    pairs = [re.findall(r'"([\w.]+)"', line) for line in old]
    names = {before for before, now in pairs if named.has_module(now)} | named.modules
    known = re.compile(b"|".join(re.escape(name.encode()) + rb"\.\w" for name in sorted(names)))
    same = {name.replace("lightloom", "lightlab", 1).encode() for name in named.modules}
    for file in matches(target, ["tests/**/*.ckpt"]):
        content = (target / file).read_bytes()
        if known.search(content) or any(name + b"." in content for name in same):
            yield file


def _tidy(target: Path) -> None:
    """Drop unused imports, and format what was cut."""
    for command in (["check", "--fix-only", "--select=F401,I"], ["format"]):
        run = [sys.executable, "-m", "ruff", *command, "--no-cache", "--quiet", "tests", "benchmarks"]
        subprocess.run(run, cwd=target, check=True)


if __name__ == "__main__":
    main()
