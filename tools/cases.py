"""Cut from a Python file the cases that name something: an entry of a table, else the whole function or assignment.

What uses the name of something that was cut is cut as well, until nothing is left that would miss it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePath
from typing import Any

DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
CHOICE = re.compile(r"(?<![\w.])(\w+)(?:@[\w.]+)?=(\[[\w, ]*\]|\w[\w,]*)(?![\w/])")
ENTRY = re.compile(r"(?<![\w./])(\w+)/(\w+)(?![\w./])")
ALONE = ("model", "data", "task", "experiment")  # groups whose names tests mention by themselves
Span = tuple[int, int]  # bytes of a file


@dataclass(frozen=True)
class Named:
    """Names of what is removed. modules: dotted; choices: (group, name) of configurations; paths: of files."""

    modules: frozenset[str] = frozenset()
    choices: frozenset[tuple[str, str]] = frozenset()
    paths: frozenset[str] = frozenset()

    def joined(self, **more: frozenset[Any]) -> Named:
        return replace(self, **{name: getattr(self, name) | values for name, values in more.items()})

    def has_module(self, dotted: str) -> bool:
        """Is it such a module, or in one?"""
        parts = dotted.split(".")
        return any(".".join(parts[:end]) in self.modules for end in range(1, len(parts) + 1))

    def is_in(self, text: str) -> bool:
        """Does the text ask for a removed thing: model=yolo, model/yolo, lightloom.tracking.video, or yolo alone?"""
        if any(name == text and group in ALONE for group, name in self.choices):
            return True
        if text.endswith(".py") and any(path.endswith(f"/{text}") for path in self.paths):
            return True
        pairs = [(group, n) for group, names in CHOICE.findall(text) for n in re.findall(r"\w+", names)]
        pairs += ENTRY.findall(text)
        return not self.choices.isdisjoint(pairs) or any("." in d and self.has_module(d) for d in DOTTED.findall(text))


def without_cases(source: str, named: Named) -> str | None:
    """The source without what names these; None where no test, or no definition, is left of one that had some."""
    if not _last_words(named).search(source):  # most files, for which nothing is parsed
        return source
    lost: set[str] = set()
    text = source
    while True:
        cut = _Cuts(text, named, lost)
        if not cut.spans:
            break
        lost |= cut.lost
        text = cut.applied()
    return None if text != source and _is_empty(source, text) else text


@cache
def _last_words(named: Named) -> re.Pattern[str]:
    """Finds one of the words with which the names end: what has none names nothing."""
    outermost = [name for name in named.modules if not named.has_module(name.rpartition(".")[0])]
    words = {name.rpartition(".")[2] for name in outermost} | {name for _, name in named.choices}
    words |= {PurePath(path).name for path in named.paths if path.endswith(".py")}
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(words)))})\b" if words else "(?!)")


def _is_empty(before: str, after: str) -> bool:
    had, has = (ast.parse(text).body for text in (before, after))
    if any(_is_test(node) for node in had):
        return not any(_is_test(node) for node in has)
    kinds = (ast.FunctionDef, ast.ClassDef)
    is_script = any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in had)
    needed = [node for node in has if isinstance(node, kinds) and (not is_script or node.name == "main")]
    return any(isinstance(node, kinds) for node in had) and not needed


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


class _Cuts:
    """The spans of one pass over a file, and the names that are no longer defined after it."""

    def __init__(self, text: str, named: Named, lost: set[str]) -> None:
        self.content, self.named = text.encode(), named
        self.starts = [0]
        for line in self.content.splitlines(True):
            self.starts.append(self.starts[-1] + len(line))
        body = ast.parse(text).body
        self.missing = lost - {name for node in body for name in _bound(node)}
        self.spans: dict[Span, bytes] = {}  # what each is replaced by
        self.lost: set[str] = set()
        for node in body:
            self._statement(node)

    def applied(self) -> str:
        content = self.content
        for (start, end), instead in sorted(self.spans.items(), reverse=True):
            content = content[:start] + instead + content[end:]
        return content.decode()

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
            return
        entries: dict[int, tuple[ast.AST, set[int]]] = {}
        for chain in self._hits(node, ()):
            table = _table(chain)
            if table is None:
                self._drop(node)
                return
            for container in (table[0], *_labels(chain, table[0])):
                entries.setdefault(id(container), (container, set()))[1].add(table[1])
        for container, gone in entries.values():
            if len(gone) == len(_elements(container)):
                self._drop(node)
                return
        for container, gone in entries.values():
            self._drop_entries(container, gone)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        gone = [alias for alias in node.names if self._is_gone(node, alias)]
        if not gone:
            return
        self.lost |= {alias.asname or alias.name.partition(".")[0] for alias in gone}
        rest = [alias for alias in node.names if alias not in gone]
        if not rest:
            self.spans[self._span(node)] = b""
            return
        node.names = rest
        self.spans[self._span(node)] = ast.unparse(node).encode() + b"\n"

    def _is_gone(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> bool:
        prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        return self.named.has_module(prefix + alias.name)

    def _hits(self, node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, ...]]:
        """The chain of nodes down to each one that names something; a docstring does not, nor does a compared word."""
        chain = (*above, node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        if self._is_hit(node) and not (isinstance(node, ast.Constant) and _is_compared(above)):
            yield chain
        for child in ast.iter_child_nodes(node):
            yield from self._hits(child, chain)

    def _is_hit(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Constant):
            return isinstance(node.value, str) and self.named.is_in(node.value)
        if isinstance(node, ast.Name | ast.arg):
            return (node.id if isinstance(node, ast.Name) else node.arg) in self.missing
        if isinstance(node, ast.Import | ast.ImportFrom):
            return any(self._is_gone(node, alias) for alias in node.names)
        return False

    # --- spans

    def _drop(self, node: ast.stmt) -> None:
        self.spans[self._span(node)] = b""
        self.lost |= set(_bound(node))

    def _span(self, node: ast.stmt) -> Span:
        """Whole lines, decorators included."""
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in decorators)])
        return self.starts[first - 1], self.starts[node.end_lineno or first]

    def _drop_entries(self, container: ast.AST, gone: set[int]) -> None:
        elements = _elements(container)
        for index in gone:
            first, last = elements[index]
            start, end = self._at(first)[0], self._at(last)[1]
            if after := re.compile(rb"\s*,[ \t]*").match(self.content, end):
                end = after.end()
            if isinstance(container, ast.Dict) and container.keys[index] is None:
                start = self.content.rindex(b"**", 0, start)
            self.spans[start, end] = b""
        rest = [element for index, element in enumerate(elements) if index not in gone]
        if isinstance(container, ast.Tuple) and len(rest) == 1:
            end = self._at(rest[0][1])[1]
            if not re.compile(rb"\s*,").match(self.content, end):
                self.spans[end, end] = b","

    def _at(self, node: Any) -> Span:
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    else:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (name.id for target in targets if target for name in ast.walk(target) if isinstance(name, ast.Name))


def _is_compared(above: tuple[ast.AST, ...]) -> bool:
    """Is it, by itself or in a list of words, a side of a comparison? Such a word asks for nothing."""
    outer = next((node for node in reversed(above) if not isinstance(node, ast.List | ast.Tuple | ast.Set)), None)
    return isinstance(outer, ast.Compare)


def _table(chain: tuple[ast.AST, ...]) -> tuple[ast.AST, int] | None:
    """The outermost table in which the last node of the chain stands, and the number of its entry there."""
    for above, node, below in zip(chain, chain[1:], chain[2:], strict=False):
        if _is_place(above, node) and _is_table(node, above):
            for index, (first, last) in enumerate(_elements(node)):
                if below in (first, last):
                    return node, index
    return None


def _labels(chain: tuple[ast.AST, ...], table: ast.AST) -> Iterator[ast.AST]:
    """The `ids` beside the cases of a parametrized test."""
    call = chain[chain.index(table) - 1]
    for keyword in call.keywords if isinstance(call, ast.Call) else ():
        if keyword.arg == "ids" and isinstance(keyword.value, ast.List):
            yield keyword.value


def _is_place(above: ast.AST, node: ast.AST) -> bool:
    """Where cases stand: the value of an assignment, the second argument of `parametrize`, what a loop goes over."""
    if isinstance(above, ast.Assign | ast.AnnAssign):
        return node is above.value
    if isinstance(above, ast.Call):
        return getattr(above.func, "attr", "") in ("parametrize", "fixture")
    return isinstance(above, ast.For) and node is above.iter


def _is_table(node: ast.AST, above: ast.AST) -> bool:
    """A tuple is one case, such as the options of a command, unless it lists names or is looped over."""
    if isinstance(node, ast.Tuple):
        words = [e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
        return isinstance(above, ast.For) or (len(words) == len(node.elts) and not any("=" in word for word in words))
    return isinstance(node, ast.List | ast.Dict | ast.Set)


def _elements(container: Any) -> list[tuple[ast.AST, ast.AST]]:
    """First and last node of each entry."""
    if isinstance(container, ast.Dict):
        return [(key or value, value) for key, value in zip(container.keys, container.values, strict=True)]
    return [(element, element) for element in container.elts]
