"""Merge what is new in the template into a project that was made from it: a three-way merge by git.

The branch `template` of the project holds what `make new` makes, without a line of yours: first what it made then, on
top of it what it makes now. Git merges that branch into yours, and shows where both have changed the same lines.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import origin
from without import ROOT

from lightloom.core.errors import UserError


def upgrade(project: Path, make: Callable[[Any, Path], None]) -> int:
    """Exit code: 0 merged or nothing new, 1 with conflicts, which git marks in the files. make: as `new.make`."""
    from new import read

    project = project.expanduser().resolve()
    _check(project)
    told = origin.read(project)
    plan = read_plan(told, project, read)
    base = _base(project)
    with tempfile.TemporaryDirectory(dir=project.parent) as scratch:
        make(plan, made := Path(scratch) / project.name)
        now = _commit(project, made, base)
    if now == base:
        print("Nothing is new in the template.")
        return 0
    merged = _git(project, *origin.identity(project), "merge", "--no-edit", origin.BRANCH, check=False)
    print(merged.stdout.strip())
    if conflicts := _git(project, "diff", "--name-only", "--diff-filter=U").stdout.split():
        print(
            f"Both have changed: {', '.join(conflicts)}. Settle the lines between <<<<<<< and >>>>>>>, then git commit."
        )
        print("Or leave it: git merge --abort.")
    return merged.returncode


def read_plan(told: dict[str, Any], project: Path, read: Callable[..., Any]) -> Any:
    """What the project was made of; of one that does not say so, a full one by the name of its package."""
    if told:
        plan = read("a_name", told["kind"], told["with"], told["without"])
        return type(plan)(told["name"], plan.kind, plan.choices, plan.families, plan.without)
    packages = sorted(path.parent.name for path in project.glob("src/*/__init__.py"))
    if len(packages) != 1:
        raise UserError(f"{project} has no {origin.FILE}, and not one package in src/; it was not made by make new.")
    return type(read("a_name", "full", [], []))(packages[0])


def _check(project: Path) -> None:
    if _git(project, "rev-parse", "--show-toplevel", check=False).stdout.strip() != str(project):
        raise UserError(f"{project} is no git repository, which an upgrade needs to merge; git init and commit it.")
    if changed := _git(project, "status", "--porcelain", "--untracked-files=no").stdout.strip():
        raise UserError(
            f"{project} has changes that are not committed ({len(changed.splitlines())} files); commit them."
        )
    if project == ROOT:
        raise UserError(f"{project} is the template itself; say FROM=<the clone of the template> in your project.")


def _base(project: Path) -> str:
    """The branch `template`, or the commit that the project began with."""
    known = _git(project, "rev-parse", "--verify", "--quiet", origin.BRANCH, check=False).stdout.strip()
    return known or _git(project, "rev-list", "--max-parents=0", "HEAD").stdout.split()[-1]


def _commit(project: Path, made: Path, base: str) -> str:
    """A commit of what was made on top of `base`, on the branch `template`; the base itself where nothing is new."""
    index = {"GIT_INDEX_FILE": str(made.parent / "index"), "GIT_WORK_TREE": str(made)}
    _git(project, "add", "--all", ".", environment=index, cwd=made)
    tree = _git(project, "write-tree", environment=index).stdout.strip()
    if not _git(project, "diff-tree", "--quiet", base, tree, "--", ".", f":!{origin.FILE}", check=False).returncode:
        return base
    message = f"The template at {origin.commit()[:12]}"
    made_now = [*origin.identity(project), "commit-tree", tree, "-p", base, "-m", message]
    now = _git(project, *made_now).stdout.strip()
    _git(project, "update-ref", f"refs/heads/{origin.BRANCH}", now)
    return now


def _git(
    project: Path,
    *arguments: str,
    check: bool = True,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, "GIT_DIR": str(project / ".git"), **environment} if environment else None
    return subprocess.run(["git", *arguments], cwd=cwd or project, env=own, check=check, capture_output=True, text=True)
