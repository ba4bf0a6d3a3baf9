"""Which values wait for a fact of the data that is null in the YAML, because only the data knows it.

By itself (`${data.vocab_size}`), in a list, within a text, handed to a resolver, or through other keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]  # of keys and of places in lists, from the root
REFERENCE = re.compile(r"\$\{\s*([^\s:${}]+)\s*\}")  # of another key, wherever it stands in a text


def waiting(raw: Any) -> Iterator[tuple[Path, str]]:
    """(path, text) of each interpolation that cannot be resolved yet. raw: the configuration, plain and unresolved."""
    yield from _below(raw, (), raw, ())


def replace(raw: Any, path: Path, value: Any) -> None:
    """Put a value in a place of a plain configuration."""
    for part in path[:-1]:
        raw = raw[part]
    raw[path[-1]] = value


def dotted(path: Path) -> str:
    """The path as the key that a command line has for it."""
    return ".".join(map(str, path))


def _below(node: Any, path: Path, raw: Any, seen: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    items: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        if isinstance(child, str) and _waits(child, path, raw, seen):
            yield (*path, key), child
        yield from _below(child, (*path, key), raw, seen)


def _waits(text: str, home: Path, raw: Any, seen: tuple[str, ...]) -> bool:
    """Does a text that stands in the object at `home` hang on such a fact? seen: texts that led here, against rings."""
    if text in seen:
        return False
    return any(_is_null_fact(_absolute(asked, home), raw, (*seen, text)) for asked in REFERENCE.findall(text))


def _absolute(asked: str, home: Path) -> Path:
    """The path that a reference means: a dot in front is its own object, each other one the object around it."""
    parts = asked.replace("[", ".").replace("]", "")
    name = parts.lstrip(".")
    up = len(parts) - len(name)
    return (*(home[: len(home) + 1 - up] if up else ()), *name.split("."))


def _is_null_fact(path: Path, raw: Any, seen: tuple[str, ...]) -> bool:
    node = raw
    for place, part in enumerate(path):
        if isinstance(node, str):  # on the way is an interpolation of its own
            return _waits(node, path[: place - 1], raw, seen)
        try:
            node = node[int(part) if isinstance(node, list) else part]
        except (KeyError, IndexError, TypeError, ValueError):  # Hydra says what is wrong with a key that is not there
            return False
    if isinstance(node, str):
        return _waits(node, path[:-1], raw, seen)
    return any(True for _ in _below(node, path, raw, seen)) or (node is None and path[0] == "data")
