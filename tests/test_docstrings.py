"""Every public function and class is documented; of the leaves every method, and the shapes of their tensors too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

LEAVES = ("core", "ops", "networks", "losses", "metrics", "optim")
SRC = Path(__file__).parents[1] / "src/lightloom"
TERM = r"(?:\d*[A-Z]'{0,2}|\d+|\d* ?[a-z]\w*|\.\.\.)(?:\^\d)?"  # B, H', 3, 2h, 2 length, num_classes, C patch^2
SIZE = rf"{TERM}(?: ?[*/+-]? ?{TERM})*"
SHAPE = re.compile(rf"\((?:|\.\.\.|{SIZE},(?: ?{SIZE},?)*)\)|\bscalars?\b")  # (), (...), (N,), (B, C, H, W)
BY_CLASS = ("forward", "__call__")  # nn.Module's and a functor's one method: the class says what it maps to what


class Named(NamedTuple):
    """A public function, method or class, and the docstrings that speak for it."""

    where: str
    docstrings: list[str]
    has_tensors: bool


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name == "__call__"


def _interfaces(module: ast.Module) -> dict[str, list[str]]:
    """Method name -> its docstrings in the module's classes: an interface is documented once, where it is declared."""
    found: dict[str, list[str]] = {}
    for owner in (node for node in module.body if isinstance(node, ast.ClassDef)):
        for method in (node for node in owner.body if isinstance(node, ast.FunctionDef)):
            if text := ast.get_docstring(method):
                found.setdefault(method.name, []).append(f"{text}\n{ast.get_docstring(owner)}")
    return found


def _function(node: ast.FunctionDef, where: str, others: list[str]) -> Named:
    own = ast.get_docstring(node)
    hints = [node.returns, *(a.annotation for a in (*node.args.args, *node.args.kwonlyargs))]
    has_tensors = any("Tensor" in ast.unparse(hint) for hint in hints if hint)
    return Named(where, [own, *others] if own else others, has_tensors)


def _class(node: ast.ClassDef, where: str, interfaces: dict[str, list[str]]) -> Iterator[Named]:
    own = ast.get_docstring(node)
    yield Named(where, [own] if own else [], has_tensors=False)
    for method in (n for n in node.body if isinstance(n, ast.FunctionDef) and _is_public(n.name)):
        shapes_too = [own] if own and (ast.get_docstring(method) or method.name in BY_CLASS) else []
        yield _function(method, f"{where}.{method.name}", [*interfaces.get(method.name, []), *shapes_too])


def _is_overload(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list)


def public_names(path: Path, source: str | None = None) -> Iterator[Named]:
    """The public functions, classes and methods of a module."""
    module = ast.parse(path.read_text(encoding="utf-8") if source is None else source)
    for node in module.body:
        if isinstance(node, ast.ClassDef) and _is_public(node.name):
            yield from _class(node, f"{path}:{node.lineno} {node.name}", _interfaces(module))
        elif isinstance(node, ast.FunctionDef) and _is_public(node.name) and not _is_overload(node):
            yield _function(node, f"{path}:{node.lineno} {node.name}", [])


def undocumented(path: Path) -> list[str]:
    """The public functions and classes of a module without a docstring. (Methods are often hooks of Lightning's.)"""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    public = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef) and _is_public(n.name)]
    return [f"{path}:{node.lineno} {node.name}" for node in public if not ast.get_docstring(node)]


MODULES = [path for leaf in LEAVES for path in sorted((SRC / leaf).rglob("*.py"))]


@pytest.mark.parametrize("room", sorted(path.name for path in SRC.iterdir() if path.is_dir()))
def test_public_functions_and_classes_of_every_room_are_documented(room):
    assert [name for path in sorted((SRC / room).rglob("*.py")) for name in undocumented(path)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_public_names_are_documented(path):
    assert [name.where for name in public_names(path) if not name.docstrings] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_functions_of_tensors_name_their_shapes(path):
    silent = [n.where for n in public_names(path) if n.has_tensors and not SHAPE.search("\n".join(n.docstrings))]
    assert silent == []


@pytest.mark.parametrize(
    ("docstring", "is_shape"),
    [
        ("Returns (B,).", True),
        ("images: (B, C, H, W) in [0, 1]", True),
        ("counts (num_classes + 1, num_classes + 1)", True),
        ("(height * width, 3)", True),
        ("The loss, a scalar.", True),
        ("image_id () where known", True),
        ("state_dict, tensors (...) by name", True),
        ("as `write_png` got them", False),
        ("(B, 2 C patch^2, H', W')", True),
        ("a page (see grid) is written", False),
        ("DCGAN (Radford, Metz & Chintala 2016)", False),
        ("(Smith & Topin 2018, section 3)", False),
    ],
)
def test_what_counts_as_a_shape(docstring, is_shape):
    assert bool(SHAPE.search(docstring)) == is_shape


def test_a_silent_function_is_found():
    source = 'def a(x: Tensor) -> Tensor:\n    """Twice."""\n\n\ndef b() -> None: ...\n'
    a, b = public_names(Path("m.py"), source)
    assert a.has_tensors
    assert not SHAPE.search(a.docstrings[0])
    assert b.docstrings == []


def test_an_undocumented_class_is_found(tmp_path):
    (tmp_path / "m.py").write_text('class A:\n    """A."""\n\n\nclass B: ...\n\n\nclass _C: ...\n')
    assert [name.split()[1] for name in undocumented(tmp_path / "m.py")] == ["B"]
