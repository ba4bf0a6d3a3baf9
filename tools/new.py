"""A project of your own from this one, renamed, with one example: make new NAME=myproject [DIR=...] [WITH=...]."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import keyword
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from lightloom.core.errors import UserError, did_you_mean

ROOT = Path(__file__).parents[1]
OWN = Path(__file__).with_suffix("")  # files that only a new project has
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
)
FILES = (".github/workflows/", ".gitignore", ".pre-commit-config.yaml", "LICENSE", "Makefile", "data/", "docs/add-")
FILES += ("logs/", "pyproject.toml", "requirements.lock")
TARGETS = ("new", "docs", "bench", "errors", "option-pairs", "lightning-options", "scoreboard")  # scripts stay behind
TARGETS += ("test-portable",)
T = TypeVar("T")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make new", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--with", dest="more", default="", help='such as "model/yolo data/coco"')
    options = parser.parse_args(arguments)
    try:
        where = create(options.name, options.dir or ROOT.parent / options.name, options.more.split())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code)
    print(f"{where} is a project of its own. Next: cd {where} && make train && make test")


def create(name: str, target: Path, more: Iterable[str] = ()) -> Path:
    """Copy, rename and commit; the folder. Nothing is left of an attempt that fails.

    more: choices beside KEPT, as <group>/<name> of configs/.
    """
    check_name(name)
    target = target.expanduser().absolute()
    if target.exists():
        raise UserError(f"DIR={target} exists already; name a folder that does not, or delete it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        project = Path(scratch) / target.name
        kept = [choice for choice in KEPT if (ROOT / f"configs/{choice}.yaml").is_file()]
        for file in chosen([*kept, *more]):
            _copy(ROOT / file, project / file)
        shutil.copytree(OWN, project, dirs_exist_ok=True)
        _leave_behind(project)
        rename(project, name)
        _tidy_and_commit(project)
        project.rename(target)
    return target


def check_name(name: str) -> None:
    """Raise UserError where `name` cannot be a package of its own."""
    if not name:
        raise UserError("NAME is missing: the name of your package, as in make new NAME=myproject.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(
            f"NAME={name} cannot be a package's name; take a letter, then letters, digits and _, all in lower case."
        )
    taken = "Python's own" if name in sys.stdlib_module_names else _found(name)
    if taken:
        raise UserError(f"NAME={name} is the name of another module ({taken}); take another name.")


def _found(name: str) -> str | None:
    places = [path.parent for path in (*ROOT.glob("src/*.py"), *ROOT.glob("tests/**/*.py")) if path.stem == name]
    spec = importlib.util.find_spec(name)
    return str(places[0]) if places else f"installed: {spec.origin or name}" if spec else None


def chosen(choices: list[str]) -> list[Path]:
    """What goes along, relative to ROOT: the house, these choices, and the code that either of them names."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        raise UserError(f"{ROOT} is no git repository, which tells its files from yours; clone it instead.")
    files = [Path(file) for file in listed.stdout.split("\0") if file and (ROOT / file).is_file()]
    house = [f for f in files if str(f).startswith(FILES) or (f.parts[0] == "src" and len(f.parts) == 2)]
    tests = [f for f in files if f.parts[0] == "tests" and _is_kept_test(f, files)]
    configs = _reach([f for f in files if f.parts[0] == "configs" and not _is_example(f)], lambda file: ())
    examples = _reach([_config(choice, files) for choice in choices], _parents)
    code = _reach([f for f in (*house, *tests, *configs, *examples) if f.suffix in (".py", ".yaml")], _modules)
    folders = {f.parent for f in code}
    beside = [f for f in files if f.suffix != ".py" and f.parts[:2] == ("src", TEMPLATE) and folders & {*f.parents[:2]}]
    return sorted({*house, *tests, *configs, *examples, *code, *beside})


def _is_example(config: Path) -> bool:
    return len(config.parts) == 3 and config.parts[1] in EXAMPLES


def _config(choice: str, files: list[Path]) -> Path:
    found = Path(f"configs/{choice}.yaml")
    if found not in files:
        known = [f"{f.parts[1]}/{f.stem}" for f in files if f.parts[0] == "configs" and _is_example(f)]
        raise UserError(f"WITH={choice}: there is no {found}.{did_you_mean(choice, known)}")
    return found


def _is_kept_test(test: Path, files: list[Path]) -> bool:
    """A test of the list, or what such a test imports from beside it."""
    imported = {n for t in (*TESTS, "conftest.py") for n in _imports((ROOT / "tests" / t).read_text(encoding="utf-8"))}
    return str(test.relative_to("tests")) in (*TESTS, "conftest.py") or test.stem in imported


def _reach(start: Iterable[T], leads_to: Callable[[T], Iterable[T]]) -> set[T]:
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


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _leave_behind(project: Path) -> None:
    """What kept files say of things that do not go along: targets of the Makefile, a section on boxes."""
    makefile, page = project / "Makefile", project / "docs/add-a-data-set.md"
    text = re.sub(rf"^({'|'.join(TARGETS)}):.*\n(\t.*\n)+\n?", "", makefile.read_text(encoding="utf-8"), flags=re.M)
    phony = re.sub(rf"(?<= )({'|'.join(TARGETS)})\b ?", "", text[text.index(".PHONY") :])
    makefile.write_text(text[: text.index(".PHONY")] + phony.rstrip() + "\n", encoding="utf-8")
    if not (project / "configs/data/voc.yaml").exists():
        text = re.sub(r"^## Images with boxes\n.*?(?=^## )", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        page.write_text(text.replace(", or `base/detection.yaml` for images with boxes", ""), encoding="utf-8")


def rename(project: Path, name: str) -> None:
    """The template's name for `name`, in files and their names, in upper case too."""
    for path in sorted(project.rglob("*"), reverse=True):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(TEMPLATE, name).replace(TEMPLATE.upper(), name.upper()), encoding="utf-8")
        if TEMPLATE in path.name:
            path.rename(path.with_name(path.name.replace(TEMPLATE, name)))
    longer = max(0, len(name) - len(TEMPLATE))
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:  # a line of prose names it twice at most
        file.write(f"\n[tool.ruff.lint.pycodestyle]\nmax-line-length = {120 + 2 * longer}\n" if longer else "")


def _tidy_and_commit(project: Path) -> None:
    """Imports in the order that the new name asks for; one commit, in your name where git knows it."""
    for command in (["check", "--fix-only", "--select=I"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", "--quiet", "."], cwd=project, check=True)
    known = subprocess.run(["git", "config", "user.email"], cwd=project, capture_output=True).returncode == 0
    someone = [] if known else ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    for command in (["init", "--quiet", "-b", "main"], ["add", "."], ["commit", "--quiet", "-m", "Begin"]):
        subprocess.run(["git", *someone, *command], cwd=project, check=True)


if __name__ == "__main__":
    main()
