"""The site: docs/ and a reference from docstrings and YAML, built by zensical into site/. make docs."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from lightloom.cli import help
from lightloom.core.places import CONFIGS

ROOT = Path(__file__).parents[1]
COPY = ROOT / "build" / "docs-site"  # what zensical reads
PAGE = re.compile(r'= "([\w/-]+\.md)"')
FETCHED = re.compile(r"<script[^>]* ?src=\"?https?://[^>]*></script>")  # the theme's, from another server
WORKER = """\
const source = SOURCE;
window.Worker = class extends Worker {
  constructor(url) {
    super(location.protocol === "file:" ? URL.createObjectURL(new Blob([source], { type: "text/javascript" })) : url);
  }
};
"""
OUTSIDE = re.compile(r"\]\((\.\./[^)#]+)\)")


def main(folder: Path = ROOT / "site") -> None:
    prepare(COPY)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=COPY)
    if done.returncode == 0:
        keep_at_home(COPY / "site")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(COPY / "site", folder)
        print(f"{folder / 'index.html'}: open it in a browser; nothing is fetched.")
    sys.exit(done.returncode)


def prepare(folder: Path) -> None:
    """Pages, reference and configuration; a page of the navigation that does not exist is left out of it."""
    shutil.rmtree(folder, ignore_errors=True)
    docs = folder / "docs"
    shutil.copytree(ROOT / "docs", docs)
    for name, page in {"options": options(), "python": python()}.items():
        _write(docs / "reference" / f"{name}.md", page)
    for page in docs.glob("*.md"):
        _write(page, OUTSIDE.sub(lambda m: f"]({_brought_along(m[1], docs)})", page.read_text(encoding="utf-8")))
    lines = (ROOT / "zensical.toml").read_text(encoding="utf-8").splitlines()
    kept = (line for line in lines if not (page := PAGE.search(line)) or (docs / page[1]).is_file())
    _write(folder / "zensical.toml", "\n".join(kept) + "\n")


def keep_at_home(site: Path) -> None:
    """The theme fetches a script that lets a page opened from disk search; one of our own does that too."""
    (worker,) = (site / "assets").rglob("workers/search.*.js")
    script = worker.with_name("from-disk.js")
    _write(script, WORKER.replace("SOURCE", json.dumps(worker.read_text(encoding="utf-8"))))
    for page in site.rglob("*.html"):
        local = f'<script src="{Path(os.path.relpath(script, page.parent)).as_posix()}"></script>'
        _write(page, FETCHED.sub(local, page.read_text(encoding="utf-8")))


def _brought_along(link: str, docs: Path) -> str:
    """Where the site has a file of the repository; a folder becomes a page that lists its files."""
    source = (ROOT / "docs" / link).resolve()
    place = Path("files") / source.relative_to(ROOT)
    target = docs / place
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copy(source, target)
        return place.as_posix()
    names = sorted(path.name for path in source.iterdir() if path.is_file())
    shutil.copytree(source, target, dirs_exist_ok=True)
    _write(target / "index.md", f"# {place.name}\n\n" + "".join(f"- [{name}]({name})\n" for name in names))
    return (place / "index.md").as_posix()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- what can be chosen, from configs/


def options() -> str:
    """Each group's choices with the first line of their YAML, and the YAML itself."""
    parts = [
        "# Options",
        "",
        "Each choice is a file: `configs/<group>/<choice>.yaml`. `python src/train.py --help` has",
    ]
    parts += ["the same lists, `--cfg job` every option and its value for one command."]
    groups = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and [*path.glob("*.yaml")])
    for group in groups:
        parts += ["", f"## {group}", ""]
        for path in sorted((CONFIGS / group).glob("*.yaml")):
            body = "".join(f"    {line}\n" for line in path.read_text(encoding="utf-8").splitlines())
            title = f"`{group}={path.stem}` {_plain(help.summary(path))}".replace('"', "'")
            parts += [f'??? option "{title}"', "", f"    ```yaml\n{body}    ```", ""]
    return "\n".join(parts) + "\n"


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")


# --- what the package has, from its docstrings, read without importing it


def python() -> str:
    """Each public module, class and function with its signature and docstring."""
    parts = ["# Python", "", "What is public in `lightloom`, from its docstrings."]
    for path in sorted((ROOT / "src/lightloom").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [*_documented(tree.body)]
        if found or ast.get_docstring(tree):
            name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
            parts += ["", f"## {name}", "", _text(ast.get_docstring(tree)), *found]
    return "\n".join(parts) + "\n"


def _documented(body: Iterable[ast.stmt], owner: str = "") -> Iterator[str]:
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and not isinstance(node, ast.ClassDef):
            continue
        yield f"\n```python\n{_signature(node, owner)}\n```\n\n{_text(ast.get_docstring(node))}"
        if isinstance(node, ast.ClassDef):
            yield from _documented(node.body, f"{node.name}.")


def _signature(node: ast.ClassDef | ast.FunctionDef, owner: str) -> str:
    made = isinstance(node, ast.ClassDef)
    inits = (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    call = next(inits, None) if isinstance(node, ast.ClassDef) else node
    arguments = ast.unparse(call.args) if call else ""
    arguments = re.sub(r"^self(, |$)", "", arguments)
    returns = f" -> {ast.unparse(node.returns)}" if isinstance(node, ast.FunctionDef) and node.returns else ""
    return f"{'class ' if made else ''}{owner}{node.name}({arguments}){returns}"


def _text(docstring: str | None) -> str:
    """A docstring as Markdown: what looks like HTML or emphasis is meant literally."""
    parts = re.split(r"(`[^`\n]+`)", docstring or "")
    parts[::2] = [re.sub(r"([<*_|])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts) + ("\n" if docstring else "")


if __name__ == "__main__":
    main()
