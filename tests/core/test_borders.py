"""Foreign text is data: each language that it might be taken for is met at one border, where it is escaped once."""

from __future__ import annotations

import ast
import functools
import io
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from conftest import ROOT
from hostile import NAMES, SECRET, VARIABLE
from omegaconf import OmegaConf

from lightloom.config.command_line import quote
from lightloom.config.compose import compose, without_hydra
from lightloom.config.foreign import as_config, literal, plain
from lightloom.config.instantiate import build
from lightloom.config.rules import rule_for
from lightloom.core import cells, figures, screen
from lightloom.core.text import file_name, line
from lightloom.reporting import markdown, render

PACKAGE = ROOT / "src/lightloom"
# A language, the calls and imports that hand it a text, and the files that may: the border, and those that hand on
# nothing foreign, with the reason.
BORDERS: dict[str, tuple[str, dict[str, str]]] = {
    "OmegaConf": (
        r"(OmegaConf\.(create|structured|load|merge|update|from_dotlist)|DictConfig|ListConfig)\(",
        {
            "config/foreign.py": "the border",
            "config/compose.py": "the project's own YAML and what is typed",
            "config/hydra_internals.py": "an empty one, for Hydra",
            "sweeps/best.py": "what is typed, to be read by Hydra again",
        },
    ),
    "Hydra's instantiate": (r"hydra\.utils\.instantiate|import instantiate$|[^_\w.]instantiate\(", {}),
    "rich": (
        r"(from|import) rich(?!\.progress)\b",
        {
            "core/screen.py": "the border",
            "callbacks/run/console.py": "a bar with numbers",
            "predict/boxes/video.py": "a bar with numbers",
        },
    ),
    "print": (
        r"(?<![\w.])print\(",
        {
            "core/screen.py": "the border",
            "cli/launch.py": "redacted and printable there",
            "engine/launcher.py": "the last words of another process, which it has redacted",
            "callbacks/run/console.py": "names and values of metrics",
        },
    ),
    "CSV": (
        r"csv\.(writer|DictWriter)\(",
        {"core/cells.py": "the border", "loggers/csv.py": "names and values of metrics"},
    ),
    "HTML and Markdown": (r"\bjinja2\b", {"reporting/render.py": "the border"}),
    "matplotlib": (r"matplotlib\.(figure|pyplot)", {"core/figures.py": "the border", "sweeps/plots.py": "a type"}),
    "logs": (r"logging\.Formatter", {"core/log_format.py": "the border"}),
    "JSON of others": (
        r"json\.loads?\(",
        {
            "core/documents.py": "the border",
            "core/lock.py": "its own lock, any fault of which is met there",
            "exporting/formats.py": "the header of an export, whose model is built through the gate",
            "predict/onnx_file.py": "the metadata of an export, checked to be plain and as its schema says",
            "serve/label_studio.py": "tasks, whose form is checked as they are read",
            "serve/live.py": "a camera's options, each of which its field checks",
            "sweeps/search.py": "a copy of its own",
        },
    ),
    "YAML of others": (
        r"yaml\.(safe_load|load|unsafe_load|full_load)\(|OmegaConf\.load\(",
        {"core/documents.py": "the border", "config/compose.py": "the project's own YAML"},
    ),
    "XML of others": (r"ElementTree\.(fromstring|parse|XML|iterparse)\(", {"core/documents.py": "the border"}),
}


@pytest.mark.parametrize("language", BORDERS)
def test_each_language_is_met_at_one_border(language):
    pattern, allowed = BORDERS[language]
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if re.search(pattern, _code(path), re.MULTILINE)
    }
    assert found == allowed.keys()


def test_pictures_are_looked_at_before_they_are_decoded():
    """Each file that opens pictures that others may have made checks their pixels."""
    own = {
        "ops/images/grid.py": "PNG that it has written",
        "serve/drawing.py": "an overlay that the process with the model has drawn",
        "callbacks/images/log.py": "of the run itself",
        "callbacks/samples/filmstrip.py": "of the run itself",
    }
    for path in sorted(PACKAGE.rglob("*.py")):
        if "Image.open(" in _code(path) and path.relative_to(PACKAGE).as_posix() not in own:
            assert _code(path).count("Image.open(") == _code(path).count("check_pixels("), path


@functools.cache
def _code(path: Path) -> str:
    """A file without docstrings and comments, which may name what they like."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value = ast.Constant("")
    return ast.unparse(tree)


# --- each border, with each name


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv(VARIABLE, SECRET)


def by_names(given: Callable[[str], Any]) -> dict[str, Any]:
    return {name: given(name) for name in NAMES}


def test_a_configuration_holds_names_as_they_are():
    for holder in (lambda n: n, lambda n: [n, n], lambda n: {"x": {"y": [n]}}, lambda n: [[n], {"z": n}]):
        assert by_names(lambda name: plain(as_config({"a": holder(name)}))["a"]) == by_names(holder)  # noqa: B023
    cfg = OmegaConf.create({"a": 1})
    for name in NAMES:
        cfg.update(literal({"a": name, "b": {"c": [name]}}))
        assert (cfg.a, cfg.b.c[0], plain(cfg)) == (name, name, {"a": name, "b": {"c": [name]}})


def test_what_is_built_is_handed_the_names():
    target = {"_target_": "types.SimpleNamespace"}
    for name in NAMES:
        cfg = as_config({**target, "a": name, "b": [name], "c": {"d": name}, "e": {**target, "f": [{"g": name}]}})
        built = build(cfg, "x")
        assert (built.a, built.b, built.c, built.e.f) == (name, [name], {"d": name}, [{"g": name}])
        assert build(as_config({**target, "_partial_": True, "a": name}), "x")().a == name


def test_a_configuration_is_written_and_read_as_it_is():
    cfg = as_config({"names": list(NAMES)})
    assert yaml.safe_load(OmegaConf.to_yaml(cfg, resolve=True))["names"] == list(NAMES)


def test_a_path_on_the_command_line_is_that_path():
    """As Hydra reads it; of the control characters its grammar knows none."""
    names = [name for name in NAMES if "${" in name and line(name) == name]
    assert len(names) > 10
    for name in names:
        cfg = without_hydra(compose("predict", [f"ckpt_path={quote(name)}"]))
        assert cfg.ckpt_path == name


def test_a_table_on_the_screen_shows_names_as_they_are(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    for name in NAMES:
        screen.show_table([name, "b"], [[name, 1]], title=name)
        said = capsys.readouterr().out
        assert said.count(line(name)) >= 3, name
        assert all(c == "\n" or c.isprintable() for c in said)


def test_a_line_on_the_screen_has_no_control_characters(capsys):
    for name in NAMES:
        screen.say(name)
        assert all(c in "\n\t" or c.isprintable() for c in capsys.readouterr().out)


@pytest.mark.parametrize("exact", [False, True])
def test_cells_come_back_as_they_were(exact):
    names = [*NAMES, "'=1", "''=1", "'", "-1", "+1e5", "=", "@", "", "-nan"]
    file = io.StringIO(newline="")
    cells.Writer(file, exact).write(["a", "b"], *([name, 1.5] for name in names))
    file.seek(0)
    if not exact:
        assert [row[0] for row in cells.rows(file)] == ["a", *names]
    file.seek(0)
    read = list(_csv(file))
    assert [row[0] for row in read[1:]] == names or not exact
    assert all(len(row) == 2 for row in read)
    assert exact or not [c for row in read for c in row if c.startswith(cells.FORMULA) and not cells.is_number(c)]


def _csv(file: io.StringIO) -> Iterator[list[str]]:
    import csv

    return csv.reader(file)


def test_no_name_becomes_markdown_or_html():
    for name in NAMES:
        text = markdown.escaped(name)
        assert "\n" not in text
        assert not re.search(r"<|(?<!\\)[`*|~]|(?<!\\)\](?=[(\[:])|^[#=]|^[-+] ", text), (name, text)
        code = markdown.code(name)
        fence = re.match("`+", code)[0]
        assert code.endswith(fence)
        inside = code[len(fence) : -len(fence)]
        assert max((len(run) for run in re.findall("`+", inside)), default=0) < len(fence)
        block = markdown.fenced(f"{name}\n```\nx")
        assert block.count(block.splitlines()[0].rstrip("\n")) >= 2


def test_an_address_in_a_page_is_a_file_beside_it():
    for name in NAMES:
        parts = urlsplit(render.link(name))
        assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
        assert unquote(parts.path, errors="surrogateescape") == name


def test_a_figure_draws_names(tmp_path):
    figure = figures.new_figure(figsize=(3, 3))
    axes = figure.add_subplot()
    axes.set_title("\n".join(map(line, NAMES)))
    axes.plot([1, 2], label=line("$\\frac{$"))
    axes.legend()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its font has no letters of other scripts
        figure.savefig(tmp_path / "a.png", dpi=20)


def test_a_file_is_named_inside_its_folder(tmp_path):
    for name in (*NAMES, "..", ".", "/", "../../x", "a/b", "/etc/passwd", "", "a\0b", "x" * 500, ".hidden", "C:\\x"):
        path = tmp_path / f"{file_name(name)}.onnx"
        assert path.parent.resolve() == tmp_path.resolve()
        path.touch()
        path.unlink()


def test_a_run_is_named_inside_the_folder_of_runs():
    rule, text = rule_for("run_name"), "a name for the run's folder"
    for parts in (
        ["."],
        [".."],
        ["a", ".."],
        ["a", "."],
        [".", "a"],
        ["a", "", "b"],
        ["", "a"],
        ["a", ""],
        [" "],
        [""],
    ):
        assert text in rule.problem("run_name", "/".join(parts)), parts
    for control in map(chr, (0, 7, 10, 13, 27, 127)):
        assert rule.problem("run_name", f"a{control}b")
    for name in ("first", "a/b", ".hidden", "...", "a b", "try[/b]", "a.b", "..a", "a..", "é"):
        assert rule.problem("run_name", name) is None
    for name in (".", ".."):
        assert rule_for("sweep.name").problem("sweep.name", name)
