"""A project of your own from this one: make new NAME=myproject [KIND=thin] [DIR=...] [WITH=...] [WITHOUT=...]."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import origin
import thin
from chosen import TEMPLATE, chosen, families_without, gone_with, tracked
from families import FAMILIES
from without import ALIASES, ROOT, dotted, without_old_names

from lightloom.core.errors import UserError

OWN = Path(__file__).with_suffix("") / "full"  # files that only a new project has
TARGETS = ("new", "docs", "bench", "errors", "option-pairs", "lightning-options", "scoreboard")  # scripts stay behind
TARGETS += ("test-portable", "reproduce")
HOOKS = re.compile(r"^.*id: (?:codespell|mypy).*\n", re.MULTILINE)  # of those that look at each commit
LINT = '[tool.ruff.lint]\nselect = ["E", "F", "W", "I", "B"]  # your style may be another than ours\n'


@dataclass(frozen=True)
class Plan:
    """What was asked for. choices: `<group>/<name>` of configs/. families: data and tools that WITH names."""

    name: str
    kind: str = "full"
    choices: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make new", description=__doc__)
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--kind", default="full", help="full: all code under your name; thin: on the installed package")
    parser.add_argument("--with", dest="more", default="", help='such as "model/yolo data/coco", or families: "images"')
    parser.add_argument("--without", default="", help=f"families: {', '.join(FAMILIES)}")
    parser.add_argument("--upgrade", type=Path, help="a project that was made so: merge what is new here into it")
    options = parser.parse_args(arguments)
    try:
        if options.upgrade:
            from upgrade import upgrade

            sys.exit(upgrade(options.upgrade, make))
        plan = read(options.name, options.kind or "full", options.more.split(), options.without.split())
        where = create(plan, options.dir or ROOT.parent / plan.name)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code)
    print(f"{where} is a project of its own. Next: cd {where} && make train && make test")


def read(name: str, kind: str, more: Sequence[str], without: Sequence[str]) -> Plan:
    """The plan; UserError where it cannot be."""
    check_name(name)
    if kind not in ("full", "thin"):
        raise UserError(f"KIND={kind}: a project is full, all code under your name, or thin, on the installed package.")
    families = tuple(word for word in more if word in (*FAMILIES, "images"))
    choices = tuple(word for word in more if word not in families)
    if kind == "thin" and (more or without):
        raise UserError("WITH= and WITHOUT= choose what is copied; KIND=thin copies nothing, all of it is installed.")
    families_without(families, without)
    return Plan(name, kind, choices, families, tuple(without))


def create(plan: Plan, target: Path) -> Path:
    """Copy, rename and commit; the folder. Nothing is left of an attempt that fails."""
    target = target.expanduser().absolute()
    if target.exists():
        raise UserError(f"DIR={target} exists already; name a folder that does not, or delete it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        project = Path(scratch) / target.name
        make(plan, project)
        _commit(project)
        project.rename(target)
    return target


def make(plan: Plan, project: Path) -> None:
    """The project's files, without git."""
    if plan.kind == "thin":
        thin.make(plan.name, project)
    else:
        _copy(plan, project)
    origin.write(project, plan)


def _copy(plan: Plan, project: Path) -> None:
    without = families_without(plan.families, plan.without)
    gone = gone_with(without)
    kept = chosen([*plan.choices], gone)
    for file in sorted(kept):
        _copy_file(ROOT / file, project / file)
    shutil.copytree(OWN, project, dirs_exist_ok=True)
    _leave_behind(project, frozenset(dotted({*tracked()} - kept)), gone)
    rename(project, plan.name)
    _tidy(project)


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


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _leave_behind(project: Path, absent: frozenset[str], gone: set[Path]) -> None:
    """What kept files say of things that do not go along, and of how strictly we check ourselves."""
    _edit(project / "Makefile", _makefile)
    _edit(project / "pyproject.toml", _pyproject)
    _edit(
        project / ".pre-commit-config.yaml", lambda text: re.sub(r"^.*id: (codespell|mypy).*\n", "", text, flags=re.M)
    )
    _edit(project / ALIASES, lambda text: without_old_names(text, absent))
    if not (project / "configs/data/voc.yaml").exists():
        _edit(project / "docs/add-a-data-set.md", _without_boxes)
    for page in project.glob("docs/*.md"):
        _edit(page, lambda text: without_links(text, project / "docs"))
    if gone:
        _without_cases(project, absent, gone)


def _edit(file: Path, change) -> None:
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")


def _makefile(text: str) -> str:
    text = re.sub(rf"^({'|'.join(TARGETS)}):.*\n(\t.*\n)+\n?", "", text, flags=re.M)
    text = re.sub(
        r"(?<=## )Check style, spelling and types\n(?:\t.*\n)+", "Check the code\n\t$(BIN)/ruff check .\n", text
    )
    head, phony, names = text.partition(".PHONY")
    kept = re.sub(rf"(?<= )({'|'.join(TARGETS)})\b ?", "", names)
    upgrade = "upgrade: $(READY)  ## Merge what is new in the template: make upgrade FROM=<its clone>\n"
    recipe = "\tPYTHONPATH=$(FROM)/src $(BIN)/python $(FROM)/tools/new.py --upgrade .\n\n"
    return f"{head}{upgrade}{recipe}{phony}{kept.rstrip()} upgrade\n"


def _pyproject(text: str) -> str:
    """What is said of us is left for you to say; rules are those that any code keeps."""
    text = re.sub(r"^description = .*$", f'description = "What {TEMPLATE} is about, in one sentence"', text, flags=re.M)
    text = re.sub(r"^version = .*$", 'version = "0.1.0"', text, flags=re.M)
    text = re.sub(r"^keywords = .*\n", "", text, flags=re.M)
    text = re.sub(r"^authors = .*$", f'authors = [{{ name = "{_someone()}" }}]', text, flags=re.M)
    text = re.sub(r"^\[tool\.ruff\.lint\]\n(?:.+\n)+", LINT, text, flags=re.M)
    return re.sub(r"^# `mypy --strict` for the leaves.*?(?=^\[tool\.(?!mypy))", "", text, flags=re.M | re.S)


def _someone() -> str:
    named = subprocess.run(["git", "config", "user.name"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return named.replace('"', "'") or f"The authors of {TEMPLATE}"


def _without_boxes(text: str) -> str:
    text = re.sub(r"^## Images with boxes\n.*?(?=^## )", "", text, flags=re.M | re.S)
    return text.replace(", or `base/detection.yaml` for images with boxes", "")


def without_links(text: str, folder: Path) -> str:
    """The words of a link alone, where the page that it leads to is not in the folder."""

    def there(found: re.Match[str]) -> str:
        target = found[2].partition("#")[0]
        return found[0] if "://" in target or not target or (folder / target).exists() else found[1]

    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", there, text)


def _without_cases(project: Path, absent: frozenset[str], gone: set[Path]) -> None:
    """Tests without the cases of families that stay behind."""
    from cases import Named, without_cases

    configs = [file for file in gone if file.parts[0] == "configs"]
    choices = frozenset(("/".join(c.parent.parts[1:]), c.stem) for c in configs)
    named = Named(modules=frozenset(dotted(gone)), choices=choices, paths=frozenset(map(str, gone)))
    for file in sorted((project / "tests").rglob("*.py")):
        if (left := without_cases(file.read_text(encoding="utf-8"), named)) is None:
            file.unlink()
        else:
            file.write_text(left, encoding="utf-8")


def rename(project: Path, name: str) -> None:
    """The template's name for `name`, in files and their names, in upper case too; a licence keeps whose it is."""
    for path in sorted(project.rglob("*"), reverse=True):
        if path.is_file() and path.name != "LICENSE":
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(TEMPLATE, name).replace(TEMPLATE.upper(), name.upper()), encoding="utf-8")
        if TEMPLATE in path.name:
            path.rename(path.with_name(path.name.replace(TEMPLATE, name)))
    longer = max(0, len(name) - len(TEMPLATE))
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:  # a line of prose names it twice at most
        file.write(f"\n[tool.ruff.lint.pycodestyle]\nmax-line-length = {120 + 2 * longer}\n" if longer else "")


def _tidy(project: Path) -> None:
    """Imports in the order that the new name asks for."""
    for command in (["check", "--fix-only", "--select=F401,I"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", "--quiet", "."], cwd=project, check=True)


def _commit(project: Path) -> None:
    """One commit, in your name where git knows it; `template` is the branch that an upgrade goes on with."""
    for command in (["init", "--quiet", "-b", "main"], ["add", "."], ["commit", "--quiet", "-m", "Begin"]):
        subprocess.run(["git", *origin.identity(project), *command], cwd=project, check=True)
    subprocess.run(["git", "branch", origin.BRANCH], cwd=project, check=True)


if __name__ == "__main__":
    main()
