"""What a new project takes along: the house, what was chosen, and the code that either of them names."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from families import FAMILIES, with_needed, with_users
from without import ALIASES, ROOT, configs_that_go, dotted, matches

from lightloom.core.errors import UserError, did_you_mean

TEMPLATE = "lightloom"
EXAMPLES = ("model", "data", "experiment", "sweep")  # groups of which a new project gets what it asks for
KEPT = ("model/lenet", "model/mlp", "model/timm", "data/digits", "data/image_folder", "sweep/default")
TESTS = (
    "callbacks/run/test_best_checkpoint.py",
    "cli/test_help.py",
    "config/test_configs.py",
    "config/test_instantiate.py",
    "config/test_values.py",
    "core/test_lock.py",
    "data/images/test_datamodule.py",
    "data/test_cache.py",
    "data/test_sampling.py",
    "engine/test_resume.py",
    "loggers/test_csv.py",
    "modules/test_classifier.py",
    "ops/test_rng.py",
    "optim/test_schedules.py",
    "support/spare.py",
    "support/warm.py",
)
FILES = (".devcontainer/", ".dockerignore", ".github/workflows/test", ".gitignore", ".pre-commit-config.yaml")
FILES += (
    ".vscode/",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "data/",
    "docs/add-",
    "logs/",
    "pyproject.toml",
    "requirements.lock",
)
FILES += ("setup.py", "tools/environment.py")
FOUND = re.compile(  # by their place, as core/discovery.py does; no file names them
    rf"src/{TEMPLATE}/(reporting/chapters/|exporting/graphs/|data/boxes/|"
    r"(data|predict)/\w+/(predictor|untrained|exported|inspection|recognition|web)\.py)"
)
T = TypeVar("T")


def chosen(choices: list[str], gone: set[Path]) -> set[Path]:
    """Files, relative to ROOT. choices: `<group>/<name>` of configs/. gone: files that stay behind."""
    left = [f for f in tracked() if f not in gone]
    house = [f for f in left if str(f).startswith(FILES) or (f.parts[0] == "src" and len(f.parts) == 2)]
    house += [f for f in left if FOUND.match(str(f))]
    tests = [f for f in left if f.parts[0] == "tests" and _is_kept_test(f, _beside_tests())]
    configs = [f for f in left if f.parts[0] == "configs" and not _is_example(f)]
    kept = [Path(f"configs/{choice}.yaml") for choice in KEPT]
    examples = reach([f for f in kept if f in left] + [_config(choice, left) for choice in choices], _parents)
    start = [f for f in (*house, *tests, *configs, *examples) if f.suffix in (".py", ".yaml")]
    code = reach(start, lambda file: () if str(file) == ALIASES else _modules(file)) - gone
    folders = {f.parent for f in code}
    beside = [f for f in left if f.suffix != ".py" and f.parts[:2] == ("src", TEMPLATE) and folders & {*f.parents[:2]}]
    return {*house, *tests, *configs, *examples, *code, *beside}


def tracked() -> list[Path]:
    """The files of the template that git knows, relative to ROOT."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        raise UserError(f"{ROOT} is no git repository, which tells its files from yours; clone it instead.")
    return [Path(file) for file in listed.stdout.split("\0") if file and (ROOT / file).is_file()]


def gone_with(without: Iterable[str]) -> set[Path]:
    """The files of these families, and the configurations that name them."""
    files = matches(ROOT, [pattern for family in without for pattern in FAMILIES[family]])
    return {*files, *configs_that_go(ROOT, frozenset(dotted(files)))}


def families_without(included: Iterable[str], excluded: Iterable[str]) -> list[str]:
    """The families that stay behind: those that WITHOUT names; where WITH names some, all others."""
    included, excluded = list(included), list(excluded)
    for word in excluded:
        if word not in FAMILIES:
            near = did_you_mean(word, FAMILIES)
            raise UserError(f"WITHOUT={word}: there is no such family.{near} Known: {_known()}.")
    others = {*FAMILIES} - with_needed(included) if included else set()
    return [family for family in FAMILIES if family in with_users({*excluded, *others})]


def _known() -> str:
    return ", ".join(FAMILIES)


def _is_example(config: Path) -> bool:
    return len(config.parts) == 3 and config.parts[1] in EXAMPLES


def _config(choice: str, files: list[Path]) -> Path:
    found = Path(f"configs/{choice}.yaml")
    if found not in files:
        known = [f"{f.parts[1]}/{f.stem}" for f in files if f.parts[0] == "configs" and _is_example(f)]
        near = did_you_mean(choice, [*known, "images", *FAMILIES])
        raise UserError(f"WITH={choice}: there is no {found}, and no family of this name.{near} Families: {_known()}.")
    return found


def _is_kept_test(test: Path, beside: set[str]) -> bool:
    """A test of the list, or what such a test imports from beside it."""
    return str(test.relative_to("tests")) in (*TESTS, "conftest.py") or test.stem in beside


@cache
def _beside_tests() -> set[str]:
    own = (*TESTS, "conftest.py")
    return {n for t in own for n in _imports((ROOT / "tests" / t).read_text(encoding="utf-8"))}


def reach(start: Iterable[T], leads_to: Callable[[T], Iterable[T]]) -> set[T]:
    """`start` and all that it leads to."""
    seen: set[T] = set()
    waiting = list(start)
    while waiting:
        if (item := waiting.pop()) not in seen:
            seen.add(item)
            waiting += leads_to(item)
    return seen


def _parents(config: Path) -> Iterator[Path]:
    """The examples that an example builds on: the names in its defaults."""
    text = (ROOT / config).read_text(encoding="utf-8")
    for own, group, name in re.findall(r"^  - (?:(?:override )?/?(\w+)/)?(?:override /(\w+): )?(\w+)$", text, re.M):
        file = Path("configs") / (group or config.parts[1]) / own / f"{name}.yaml"
        if not own and _is_example(file) and (ROOT / file).is_file():
            yield file


def _modules(file: Path) -> Iterator[Path]:
    """The package's modules that a file names, whether it imports them or asks for them in a string."""
    text = (ROOT / file).read_text(encoding="utf-8")
    named = set(re.findall(rf"\b{TEMPLATE}(?:\.\w+)+", text)) | (_imports(text) if file.suffix == ".py" else set())
    for name in named:
        parts = name.split(".")
        for end in range(1, len(parts) + 1 if parts[0] == TEMPLATE else 0):
            place = Path("src", *parts[:end])
            yield from (f for f in (place.with_suffix(".py"), place / "__init__.py") if (ROOT / f).is_file())


def _imports(text: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return names
