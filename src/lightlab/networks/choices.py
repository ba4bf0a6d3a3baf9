"""What is said about a choice that does not exist."""

import difflib
from collections.abc import Collection
from typing import Any


def one_of(name: str, value: Any, choices: Collection[Any], setting: str) -> None:
    """Raise ValueError unless `value` is among `choices`."""
    if value not in choices:
        raise ValueError(f"{name} {value} is not one of {', '.join(map(str, choices))}; set {setting}")


def did_you_mean(value: str, choices: Collection[str]) -> str:
    """A question that offers the three choices spelled most like `value`."""
    return f"did you mean {', '.join(difflib.get_close_matches(value, choices, n=3, cutoff=0))}?"
