"""Compare two configurations option by option. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from lightloom.config.values import format_value
from lightloom.core.redaction import redact_options

Change = tuple[str, Any, Any]  # key, value before, value now

# Where a run lies, not what it is; a * stands for dots too.
MACHINE_KEYS = ("run_name", "ckpt_path", "resume", "weights_only_init", "paths.*", "logger*")
PATH_KEYS = ("*.root", "*.dirpath", "*.cache_dir", "*.log_dir", "*.data_dir", "*.save_dir", "trainer.default_root_dir")


def differences(recorded: Any, now: Any) -> list[Change]:
    """(key, recorded value, value now) of the options that differ.

    Objects that were replaced come first, then the options nearest to the root. Of logins and tokens nothing is seen.
    """
    before, after = leaves(redact_options(recorded)), leaves(redact_options(now))
    found = [(k, before.get(k), after.get(k)) for k in {**before, **after} if before.get(k) != after.get(k)]
    return sorted(found, key=lambda c: (not c[0].endswith("_target_"), c[0].count("."), c[0]))


def distinct(changes: list[Change]) -> list[Change]:
    """For a message: of one value that stands in several places, the first. To be judged, each place counts."""
    first = {(key.rpartition(".")[2], repr(old), repr(new)): key for key, old, new in reversed(changes)}
    return [(key, old, new) for key, old, new in changes if first[key.rpartition(".")[2], repr(old), repr(new)] == key]


def leaves(node: Any) -> dict[str, Any]:
    """The values of a configuration by their dotted keys; a list is one value, what is empty is left out."""
    return dict(_leaves(node, ""))


def _leaves(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for name, child in node.items():
            yield from _leaves(child, f"{key}.{name}" if key else str(name))
    elif node not in (None, {}):
        yield key, list(node) if isinstance(node, list | tuple) else node


def matches(key: str, patterns: tuple[str, ...]) -> bool:
    """Does a dotted key match one of the patterns, in which * stands for any characters?"""
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def format_change(change: Change) -> str:
    """`key: old -> new`, for a message."""
    key, old, new = change
    return f"{key}: {format_value(old)} -> {format_value(new)}"
