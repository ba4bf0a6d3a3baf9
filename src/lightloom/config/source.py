"""Where an object is defined and what it takes, read from its source: importing it would load torch."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

# Their names mean what they say; what is behind them need not be read.
KNOWN = ("typing", "typing_extensions", "collections.abc", "builtins", "annotated_types", "pathlib")
DEEPEST = 12  # imports of imports, or bases of bases


@dataclass(frozen=True)
class Definition:
    """A statement that gives an object its name, and the module that it stands in; node: None for one of KNOWN."""

    module: str
    name: str
    node: ast.AST | None

    @property
    def dotted(self) -> str:
        return f"{self.module}.{self.name}".removeprefix(".")


@dataclass(frozen=True)
class Parameter:
    """One argument: the annotation and the default as they are written, or None, and the module they stand in."""

    name: str
    module: str
    annotation: ast.expr | None
    default: ast.expr | None


@dataclass(frozen=True)
class Signature:
    """What a class or function takes; is_open: any other argument too."""

    parameters: dict[str, Parameter]
    is_open: bool = False


# --- modules


@cache
def module_file(module: str) -> Path | None:
    """The source file of a module on sys.path, found without importing its packages; None where there is none."""
    spec = _spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _spec(module: str) -> ModuleSpec | None:
    top, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # of a module that was run, not imported
        return None
    for i in range(len(parts)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join([top, *parts[: i + 1]]), list(spec.submodule_search_locations))
    return spec


def is_library(module: str) -> bool:
    """Is it of another's package, or Python's own, rather than of lightloom or of somebody's own files?"""
    file, package = module_file(module), module.partition(".")[0]
    if package == __name__.partition(".")[0]:
        return False
    return file is None or "site-packages" in file.parts or package in sys.stdlib_module_names


def may_state_facts(path: str, target: str) -> bool:
    """Beside the options of somebody else's datamodule a configuration states facts; our own take theirs as options."""
    return path == "data" and target.partition(".")[0] != __name__.partition(".")[0]


@cache
def _statements(module: str) -> tuple[ast.stmt, ...]:
    """The statements of a module, those below `if` and `try` included; none of one that cannot be read."""
    file = module_file(module)
    if file is None:
        return ()
    try:
        return tuple(_flat(ast.parse(file.read_bytes()).body))
    except (SyntaxError, ValueError, OSError):  # whoever imports it says what is wrong with it
        return ()


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If | ast.Try):
            yield from _flat([*statement.body, *statement.orelse])
        else:
            yield statement


# --- names


@cache
def define(module: str, name: str, depth: int = 0) -> Definition | None:
    """What a dotted name means in a module, through imports; None where the source does not show it."""
    head, _, rest = name.partition(".")
    found = _define_head(module, head, depth)
    if found is None or not rest:
        return found
    if isinstance(found.node, ast.ClassDef):
        method = next((n for n in found.node.body if getattr(n, "name", None) == rest), None)
        return Definition(found.module, rest, method) if method else None
    return locate(f"{found.dotted}.{rest}", depth + 1)


def _define_head(module: str, name: str, depth: int) -> Definition | None:
    if depth > DEEPEST:
        return None
    for statement in reversed(_statements(module)):
        if name in _names(statement):
            return Definition(module, name, statement)
        if isinstance(statement, ast.Import | ast.ImportFrom) and (target := _imported(module, statement, name)):
            return locate(target, depth + 1)
    return Definition("builtins", name, None) if hasattr(builtins, name) else None


def _names(statement: ast.stmt) -> list[str]:
    """The names that a class, a function or an assignment defines."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    named = getattr(statement, "name", "")  # of `type X = ...` a node
    return [getattr(named, "id", named), *(t.id for t in targets if isinstance(t, ast.Name))]


def _imported(module: str, statement: ast.Import | ast.ImportFrom, name: str) -> str | None:
    """The dotted name that an import gives to `name`."""
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            whole = alias.asname or alias.name.partition(".")[0]
            if whole == name:
                return alias.name if alias.asname else whole
        elif (alias.asname or alias.name) == name:
            return f"{_origin(module, statement)}.{alias.name}"
    return None


def _origin(module: str, statement: ast.ImportFrom) -> str:
    """The module that names are imported from; dots count up from the module's own package."""
    if not statement.level:
        return statement.module or ""
    file = module_file(module)
    up = statement.level - (file is not None and file.name == "__init__.py")
    package = module.split(".")[: -up or None]
    return ".".join([*package, *([statement.module] if statement.module else [])])


@cache
def locate(target: str, depth: int = 0) -> Definition | None:
    """The definition of an object by its dotted name, as `_target_` has it; a module counts as one."""
    module, _, name = target.rpartition(".")
    if module in KNOWN or module_file(target):
        return Definition(module, name, None)
    if depth > DEEPEST or not module:
        return None
    if module_file(module):
        return define(module, name, depth)
    outer, _, inner = module.rpartition(".")  # a method of a class
    return define(outer, f"{inner}.{name}", depth + 1) if outer and module_file(outer) else None


# --- signatures


@cache
def signature(target: str) -> Signature | None:
    """What the class or function with this dotted name takes; None where its source does not say."""
    found = locate(target)
    return _signature(found, 0) if found else None


def _signature(found: Definition, depth: int) -> Signature | None:
    if isinstance(found.node, ast.FunctionDef):
        return _of_function(found.module, found.node, is_method=False)
    if not isinstance(found.node, ast.ClassDef) or depth > DEEPEST:
        return None
    own = next((n for n in found.node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if own is None and is_dataclass(found.node):
        return _of_fields(found)
    if own is None:
        return _inherited(found, depth)
    mine = _of_function(found.module, own, is_method=True)
    uses = list(_uses_of_rest(own))
    if True in uses and (inherited := _inherited(found, depth)):
        return Signature({**inherited.parameters, **mine.parameters}, inherited.is_open or False in uses)
    return mine


def _uses_of_rest(node: ast.FunctionDef) -> Iterator[bool]:
    """Of each use of a constructor's `**kwargs`: are they handed on to the base's constructor, and so options of it?"""
    name = node.args.kwarg.arg if node.args.kwarg else None
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(".__init__")]
    handed_on = [k.value for call in calls for k in call.keywords if k.arg is None]
    for n in ast.walk(node):
        if isinstance(n, ast.Name) and n.id == name:
            yield n in handed_on


def _of_function(module: str, node: ast.FunctionDef, is_method: bool) -> Signature:
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    pairs = [*zip(positional, defaults, strict=True), *zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    found = {a.arg: Parameter(a.arg, module, a.annotation, default) for a, default in pairs[is_method:]}
    return Signature(found, is_open=args.kwarg is not None)


def is_dataclass(node: ast.ClassDef) -> bool:
    """Does a decorator make it one?"""
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _of_fields(found: Definition) -> Signature:
    fields = [n for n in getattr(found.node, "body", ()) if isinstance(n, ast.AnnAssign)]
    named = [(n.target.id, n) for n in fields if isinstance(n.target, ast.Name)]
    return Signature({name: Parameter(name, found.module, n.annotation, n.value) for name, n in named})


def bases(found: Definition) -> list[Definition | None]:
    """The classes that a class is derived from; None for each whose source is not to be found."""
    assert isinstance(found.node, ast.ClassDef)
    return [define(found.module, ast.unparse(base).partition("[")[0]) for base in found.node.bases]


def _inherited(found: Definition, depth: int) -> Signature | None:
    """What the first base takes that says so; nothing where there is none, None where a base is unknown."""
    for base in bases(found):
        if base is None or base.node is None:
            if base is not None and base.dotted in ("typing.Protocol", "typing.Generic", "builtins.object"):
                continue
            return None
        taken = _signature(base, depth + 1)
        if taken is None or taken.parameters or taken.is_open:
            return taken
    return Signature({})
