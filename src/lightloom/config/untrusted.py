"""What a file holds as a configuration is plain data before anything looks at what it says. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lightloom.config.foreign import plain
from lightloom.core.errors import UserError

DEEPEST, LARGEST = 40, 2_000_000  # of a configuration: levels, and entries


def check_plain(tree: Any, source: str) -> None:
    """Raise UserError where what a file holds as a configuration is not text, numbers, lists and mappings by name."""
    for _ in nodes(tree, source):
        pass


def plain_fact(value: Any, where: str, source: str) -> Any:
    """A value of a file's configuration, plain, that goes into one which is built unseen. UserError for an object."""
    found = plain(value)
    if any("_target_" in node for _, node in nodes(found, source)):
        raise UserError(f"{source}: {where} is an object where a value belongs; it is not built.")
    return found


def nodes(tree: Any, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each mapping, outermost first; UserError for what is no plain data, or too much of it. No recursion: a file may
    nest as deeply as it likes, or hold itself."""
    left: list[tuple[str, Any, int]] = [("", tree, 0)]
    seen = 0
    while left:
        where, node, depth = left.pop()
        seen += 1
        if depth > DEEPEST or seen > LARGEST:
            raise UserError(f"{source}: its configuration is nested too deeply, or too large; it is not built.")
        if isinstance(node, Mapping):
            if strange := next((key for key in node if not isinstance(key, str | int | float | bool)), None):
                raise UserError(f"{source}: the key {strange!r} at {where} is no name; it is not built.")
            yield where, node  # type: ignore[misc]
            children: Any = list(node.items())
        elif isinstance(node, list | tuple):
            children = list(enumerate(node))
        elif node is None or isinstance(node, str | int | float | bool):
            continue
        else:
            raise UserError(f"{source}: what is at {where} is a {type(node).__name__}, no plain data; it is not built.")
        left += [(f"{where}.{key}" if where else str(key), child, depth + 1) for key, child in reversed(children)]
