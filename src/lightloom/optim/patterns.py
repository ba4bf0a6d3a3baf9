"""Patterns of parameter names: `backbone`, `network.layer1.*.conv2`, `bias`.

A pattern is one part of a dotted name or several in a row, each with the wildcards of a shell (`*`, `?`, `[ab]`), which
stop at a dot. It matches a name that has these parts anywhere, so `backbone` means all that is below a `backbone`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from lightloom.core.errors import did_you_mean


def reach(pattern: str, name: str) -> int:
    """The number of parts of `name` up to the end of the pattern's last match; 0 where it does not match."""
    parts, wanted = name.split("."), pattern.split(".")
    for end in range(len(parts), len(wanted) - 1, -1):
        if all(map(fnmatchcase, parts[end - len(wanted) : end], wanted)):
            return end
    return 0


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns does."""
    return any(reach(pattern, name) for pattern in patterns)


def most_specific(patterns: Iterable[str], name: str) -> str | None:
    """Of the patterns that match, the one that reaches deepest into the name; of these, the one with more letters."""
    found = [(reach(pattern, name), len(pattern.replace("*", "")), pattern) for pattern in patterns]
    return max(found)[-1] if found and max(found)[0] else None


def unmatched(patterns: Iterable[str], names: Collection[str], where: str) -> Iterator[str]:
    """One sentence for each pattern that matches none of the names, with those that are near to it."""
    for pattern in patterns:
        if not any(reach(pattern, name) for name in names):
            known = {word: None for name in names for word in _words(name)}
            hint = did_you_mean(pattern, known) or f" Names begin with {', '.join(_beginnings(names))}."
            yield f"{where}: {pattern!r} matches no parameter of the model.{hint}"


def _words(name: str) -> Iterator[str]:
    """Each part of a name, and all that it begins with: what a pattern may be meant to be."""
    parts = name.split(".")
    yield from parts
    yield from (".".join(parts[:end]) for end in range(2, len(parts) + 1))


def _beginnings(names: Iterable[str], most: int = 6) -> list[str]:
    """The first two parts of the names, each once."""
    return list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))[:most]
