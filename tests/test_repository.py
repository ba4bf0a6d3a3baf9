"""What the pages say of the repository is true: versions agree, paths and targets exist, the tree is short."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/**/*.md")])
PATH = re.compile(r"`((?:src|tests|configs|benchmarks|tools|docs)/[\w./-]+)`")
SHORT = re.compile(
    r"`((?:core|config|cli|ops|data|networks|losses|metrics|optim|modules|callbacks|engine)/[\w/]+\.py)`"
)
LINK = re.compile(r"\]\(([^)#:]+)\)")
WRITTEN = re.compile(r"^```\w+ file=(\S+)$", re.MULTILINE)  # files that a page tells its reader to write
TREE_LINES = 14


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_merged(page):
    assert re.findall(r"^(?:<{7}|={7}|>{7})(?: .*)?$", page.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_files_of_tests_have_different_names():
    """Of two with one name pytest would run the first only."""
    found = [path.name for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    assert sorted(name for name in {*found} if found.count(name) > 1) == []


def test_versions_agree():
    """pyproject.toml, CITATION.cff and the newest entry of the changelog."""
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f"\nversion: {version}\n" in read("CITATION.cff")
    assert re.findall(r"^## \[([\d.]+)\]", read("CHANGELOG.md"), re.MULTILINE)[0] == version


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_on_a_page_exist(page):
    text = page.read_text(encoding="utf-8")
    named = {*PATH.findall(text), *(f"src/lightloom/{path}" for path in SHORT.findall(text))}
    named -= {*WRITTEN.findall(text), "configs/local/default.yaml"}  # the latter is a machine's own
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_targets_on_a_page_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted({*named} - targets) == []


def test_links_between_pages_lead_somewhere():
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#:]+)\)", prose(page))]
    generated = "reference/"  # written by `make docs`
    assert [
        f"{page.name}: {link}"
        for page, link in links
        if not link.startswith(generated) and not (page.parent / link).exists()
    ] == []


def test_the_tree_of_the_readme_is_short_and_true():
    (tree,) = re.findall(r"^```\n(configs/.*?)^```", read("README.md"), re.MULTILINE | re.DOTALL)
    lines = tree.splitlines()
    assert len(lines) <= TREE_LINES
    rooms = [word for line in lines if line.startswith("  ") for word in re.findall(r"(\w+)/", line)]
    assert [room for room in rooms if not (ROOT / "src/lightloom" / room).is_dir()] == []
