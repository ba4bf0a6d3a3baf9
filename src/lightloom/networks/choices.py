"""Refuse a choice that does not exist."""

from collections.abc import Collection


def one_of(name: str, value: object, choices: Collection[object], setting: str) -> None:
    """Raise ValueError unless `value` is among `choices`."""
    if value not in choices:
        raise ValueError(f"{name} {value} is not one of {', '.join(map(str, choices))}; set {setting}")
