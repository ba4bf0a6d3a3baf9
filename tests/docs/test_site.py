"""The site that `make docs` builds: whole, linked without a gap, and read without a network."""

import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow  # builds the site
FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def tool(name: str):
    """A script of tools/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Page(HTMLParser):
    """What a page links to, what it fetches, and where in it one can jump."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif given.get("rel") != "canonical" and FETCHING.get(tag) in given:
            self.fetched.append(given[FETCHING[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    module = tool("site")
    module.COPY = folder / "copy"
    with pytest.raises(SystemExit) as ended:
        module.main(folder / "site")
    assert ended.value.code == 0
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_links_and_anchors_lead_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            missing = parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            if not target.exists() or missing:
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_nothing_is_fetched_from_elsewhere(site, pages):
    assert [(path.name, f) for path, page in pages.items() for f in page.fetched if urlsplit(f).netloc] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\"']*", styles) == []


def test_each_page_of_docs_is_on_the_site_and_in_its_navigation(site, pages):
    listed = {link.removeprefix("./") for link in pages[site / "index.html"].links}
    for page in sorted((ROOT / "docs").glob("*.md")):
        name = f"{page.stem}.html"
        assert (site / name).is_file()
        assert page.stem == "index" or name in listed, f"add {page.name} to zensical.toml"


def test_the_reference_has_each_choice_and_each_public_class(site):
    options = (site / "reference/options.html").read_text(encoding="utf-8")
    for path in (ROOT / "configs").glob("*/*.yaml"):
        assert f"{path.parent.name}={path.stem}<" in options or "local" in str(path), path
    python = (site / "reference/python.html").read_text(encoding="utf-8")
    for name in ("lightloom.modules.gan", "lightloom.losses.likelihoods", "lightloom.data.images.readers"):
        assert f">{name}<" in python
        for line in (ROOT / "src" / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8").splitlines():
            if found := re.match(r"class ([A-Z]\w*)", line):
                assert re.search(rf'class="nc">{found[1]}<', python), found[1]


def test_a_page_that_is_not_there_is_left_out_of_the_navigation(tmp_path):
    tool("site").prepare(tmp_path / "copy")
    text = (tmp_path / "copy/zensical.toml").read_text(encoding="utf-8")
    named = set(re.findall(r'= "([\w/-]+\.md)"', text))
    assert named >= {"index.md", "first-run.md", "reference/python.md"}
    assert [name for name in named if not (tmp_path / "copy/docs" / name).is_file()] == []


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_a_readme_is_short_and_its_paths_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    for path in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (ROOT / path).exists(), path
