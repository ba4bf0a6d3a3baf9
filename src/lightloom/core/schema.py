"""What a file of foreign origin has to look like, declared once: types, ranges, and which entries there must be.

A rule takes a value and returns None, or a `Fault`: where in it, what is there, what was expected. Types are meant
strictly: `"3"` is no number, and neither is `true`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightloom.core.errors import UserError
from lightloom.core.text import printable

SHOWN = 60  # characters of a value in a message
LARGEST = 2**53  # of a whole number: what JSON's other readers hold exactly


@dataclass(frozen=True)
class Fault:
    """Where in a value something is wrong, what is there, and what was expected."""

    where: str
    value: Any
    expected: str


Rule = Callable[[Any], Fault | None]


def check(value: Any, rule: Rule, path: Path | str, name: str = "") -> Any:
    """The value, where it is as the rule says; else UserError with the file, the entry and what was expected."""
    if fault := rule(value):
        where = f"{name}{fault.where}".lstrip(".") or "its content"
        raise UserError(f"{path}: {where} is {shown(fault.value)}; expected {fault.expected}")
    return value


def shown(value: Any) -> str:
    """A value for a message, short whatever its size."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**SHOWN:
        return "a number of more than 60 digits"  # Python refuses to print the largest
    text = printable(value if not isinstance(value, str) else repr(value[: SHOWN + 1]))
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def anything(value: Any) -> Fault | None:
    """Whatever it is."""
    return None


def number(low: float = -math.inf, high: float = math.inf) -> Rule:
    """A finite number in [low, high]."""
    low_only = f" of at least {low:g}" if math.isinf(high) else f" from {low:g} to {high:g}"
    span = "" if math.isinf(low) and math.isinf(high) else low_only

    def rule(value: Any) -> Fault | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and low <= value <= high and abs(value) < math.inf:
            return None
        return Fault("", value, f"a finite number{span}")

    return rule


def real(value: Any) -> Fault | None:
    """A number, finite or not."""
    return None if isinstance(value, int | float) and not isinstance(value, bool) else Fault("", value, "a number")


def whole(low: int = -LARGEST, high: int = LARGEST) -> Rule:
    """A whole number in [low, high]; 3.0 is one."""
    low_only = f" of at least {low}" if high == LARGEST else f" from {low} to {high}"
    span = low_only if low > -LARGEST else ""

    def rule(value: Any) -> Fault | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and low <= value <= high and value == int(value):
            return None
        return Fault("", value, "a whole number" + span)

    return rule


def text(most: int = 4096) -> Rule:
    """A text that a file can hold: not empty, of `most` characters, without a NUL and halves of characters."""

    def rule(value: Any) -> Fault | None:
        if isinstance(value, str) and 0 < len(value) <= most and "\0" not in value and _is_utf8(value):
            return None
        return Fault("", value, "a text")

    return rule


def nothing(value: Any) -> Fault | None:
    """null."""
    return None if value is None else Fault("", value, "null")


def either(*rules: Rule) -> Rule:
    """As one of these says it."""

    def rule(value: Any) -> Fault | None:
        faults = [one(value) for one in rules]
        if None in faults:
            return None
        deepest = max((f for f in faults if f), key=lambda f: len(f.where))
        expected = " or ".join(f.expected for f in faults if f and not f.where)
        return deepest if deepest.where else Fault("", value, expected)

    return rule


def both(*rules: Rule) -> Rule:
    """As all of these say it."""
    return lambda value: next((fault for one in rules if (fault := one(value))), None)


COUNT = whole(0)
SIDE = whole(0, 1_000_000)  # pixels


def items(each: Rule, least: int = 0, most: int | None = None, multiple: int = 1, of: str = "items") -> Rule:
    """A list of so many, each as the rule says."""
    count = f"{least} " if least == most else f"{least} or more " if least else ""

    def rule(value: Any) -> Fault | None:
        fits = isinstance(value, list) and len(value) >= least and len(value) <= (most or len(value))
        if not fits or len(value) % multiple:
            return Fault("", value, f"a list of {count}{of}{f', {multiple} for each' if multiple > 1 else ''}")
        for i, one in enumerate(value):
            if fault := each(one):
                return Fault(f"[{i}]{fault.where}", fault.value, fault.expected)
        return None

    return rule


def entries(needed: Mapping[str, Rule], known: Mapping[str, Rule]) -> Rule:
    """An object with the `needed` keys, and maybe those `known`; whatever else it has is left alone."""
    every = {**needed, **known}

    def rule(value: Any) -> Fault | None:
        if not isinstance(value, dict):
            return Fault("", value, f"an object with {', '.join(needed or known)}")
        if lacking := [key for key in needed if key not in value]:
            return Fault("", value, f"an object that has {', '.join(lacking)} too")
        for key, own in every.items():
            if key in value and (fault := own(value[key])):
                return Fault(f".{key}{fault.where}", fault.value, fault.expected)
        return None

    return rule


def exactly(needed: Mapping[str, Rule]) -> Rule:
    """An object with these keys and no other."""
    own = entries(needed, {})

    def rule(value: Any) -> Fault | None:
        if fault := own(value):
            return fault
        return None if len(value) == len(needed) else Fault("", value, f"an object with only {', '.join(needed)}")

    return rule


def one_of(*values: Any) -> Rule:
    """One of these values."""

    def rule(value: Any) -> Fault | None:
        is_there = any(type(value) is type(one) and value == one for one in values)
        return None if is_there else Fault("", value, " or ".join(map(repr, values)))

    return rule


def table(keys: Rule, values: Rule) -> Rule:
    """An object of any keys and values that are as these say."""

    def rule(value: Any) -> Fault | None:
        if not isinstance(value, dict):
            return Fault("", value, "an object")
        if fault := next((fault for key in value if (fault := keys(key))), None):
            return Fault("", fault.value, f"keys that are {fault.expected}")
        for key, one in value.items():
            if fault := values(one):
                return Fault(f"[{shown(key)}]{fault.where}", fault.value, fault.expected)
        return None

    return rule


def _is_utf8(value: str) -> bool:
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
