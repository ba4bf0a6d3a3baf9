"""Private names of other libraries stand in files made for them; of our own modules, nowhere but at home."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
HOMES = (  # each says which versions its names were seen in, and what happens on others
    "lightloom/engine/lightning_internals.py",
    "lightloom/config/hydra_internals.py",
    "lightloom/ops/torch_internals.py",
    "lightloom/core/python_internals.py",
    "lightloom/integrations/",
)
DOCUMENTED = {  # names that begin with an underscore and are public all the same
    *("_target_", "_partial_", "_convert_", "_recursive_", "_args_"),  # Hydra's
    "_exit",  # os
    "_current_frames",  # sys
}
OURS = {  # what looks like one
    *("_loss", "_grad_norm"),  # ends of our metrics' names
    *("_reconstruct", "_frombuffer", "_codecs"),  # as NumPy's and Python's files write it
    *("_via_img_metadata", "_leftImg8bit", "_gtFine_labelIds"),  # as VIA's and Cityscapes' files have it
    "_open",  # the end of a pipe that is only kept open
}
NAME = re.compile(r"_[A-Za-z]\w*[A-Za-z0-9]")
FILES = sorted(path for path in SOURCE.rglob("*.py") if not str(path.relative_to(SOURCE)).startswith(HOMES))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def own_names(tree: ast.Module) -> set[str]:
    """What the module defines or assigns: functions, classes, attributes of self."""
    found = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    found |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return found | {n.attr for n in ast.walk(tree) if _is_assigned_to_self(n)}


def _is_assigned_to_self(node: ast.AST) -> bool:
    owner = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.value
    return isinstance(owner, ast.Name) and owner.id in ("self", "cls")


def unread_names(tree: ast.Module) -> set[str]:
    """Attributes that the module gives to self and never reads: a library looks for them."""
    attributes = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
    read = {n.attr for n in attributes if not isinstance(n.ctx, ast.Store)}
    return {n.attr for n in attributes if _is_assigned_to_self(n)} - read


def private_names(text: str) -> Iterator[tuple[int, str]]:
    """(line, what) of each private name that is imported, read, set or written as text, and is not the module's own."""
    tree = ast.parse(text)
    own = (own_names(tree) - unread_names(tree)) | OURS
    fragments = {id(part) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for part in n.values}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Attribute) and node.attr not in own:
            names = [node.attr]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in own:
            names = [node.value] if id(node) not in fragments and NAME.fullmatch(node.value) else []
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attrgetter"):
            names = [part for a in node.args if isinstance(a, ast.Constant) for part in a.value.split(".")[1:]]
        yield from ((node.lineno, name) for name in names if is_private(name))


def overridden(text: str) -> Iterator[str]:
    """Private methods that a class takes over from a base in another library."""
    tree = ast.parse(text)
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("lightloom")
        for alias in node.names
    }
    imported |= {a.asname or a.name: (a.name, "") for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
        private = [d.name for d in node.body if isinstance(d, ast.FunctionDef) and is_private(d.name)]
        for base in node.bases if private else ():
            found = _imported(ast.unparse(base), imported)
            yield from (f"{node.name}.{name}" for name in private if hasattr(found, name))


def _imported(name: str, imported: dict[str, tuple[str, str]]) -> object:
    """A class by the name that it has in a module; None for one of ours."""
    first, *rest = name.split(".")
    if first not in imported:
        return None
    module, attribute = imported[first]
    found: object = importlib.import_module(module)
    for part in ([attribute] if attribute else []) + rest:
        found = getattr(found, part, None)
    return found


DDP = "_ddp_params_and_buffers_to_ignore"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_names_of_others_are_public(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not list(private_names(text)), f"put them into one of {HOMES}, under a public name"
    assert not list(overridden(text)), f"override them in one of {HOMES}"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("from hydra._internal.utils import get_args_parser", "_internal"),
        ("from lightloom.data.images.readers import _image_files", "_image_files"),
        ("import torch._C", "_C"),
        ("cfg._get_node(key)", "_get_node"),
        ("trainer._data_connector", "_data_connector"),
        ("logger._kwargs['purge_step'] = 1", "_kwargs"),
        ("trainer.strategy._launcher = None", "_launcher"),
        ("torch._foreach_norm(x)", "_foreach_norm"),
        ("getattr(layer, '_is_cn', False)", "_is_cn"),
        ("if name == '_current_fx_name': pass", "_current_fx_name"),
        ("kept = [getattr(self, name) for name in ('total_steps', '_schedule_phases')]", "_schedule_phases"),
        ("first = attrgetter('trainer._results')", "_results"),
        ("class A:\n    def f(self):\n        self._ddp_params_and_buffers_to_ignore = []", DDP),
    ],
)
def test_each_way_to_a_private_name_is_seen(line: str, name: str) -> None:
    assert [found for _, found in private_names(line)] == [name]


def test_what_is_ones_own_may_be_private() -> None:
    text = (
        "class A:\n    def __init__(self):\n        self._x = _f(self._x)\n\ndef _f(a):\n    return a._x, cfg._target_"
    )
    assert not list(private_names(text))


def test_an_overridden_private_method_is_seen() -> None:
    text = "from torch.optim import Optimizer as O\nclass A(O):\n    def _cuda_graph_capture_health_check(self): ..."
    assert list(overridden(text)) == ["A._cuda_graph_capture_health_check"]


@pytest.mark.parametrize("home", [path for path in HOMES if path.endswith(".py")])
def test_the_files_for_them_say_which_versions_were_seen(home: str) -> None:
    said = ast.get_docstring(ast.parse((SOURCE / home).read_text(encoding="utf-8"))) or ""
    assert "een in " in said
