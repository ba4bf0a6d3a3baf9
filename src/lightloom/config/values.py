"""What the value of an option may be, and what is said about one that it may not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from omegaconf import ListConfig

from lightloom.core.errors import did_you_mean

FLOATS = 10**308  # an integer below it is a float too
LARGEST = 2**31 - 1  # of an integer whose rule knows no upper end: more of anything is a slip


class Rule(Protocol):
    """What a value may be; also: values beyond it (None, "auto")."""

    @property
    def also(self) -> tuple[Any, ...]: ...

    def problem(self, key: str, value: Any) -> str | None:
        """One sentence about what is wrong with `value`, or None."""

    def coerce(self, value: Any) -> Any:
        """What `value` means ('1e-3' -> 0.001), else `value` itself."""

    def expected(self) -> str:
        """The values in words."""


@dataclass(frozen=True)
class Number:
    """An integer or a float in [low, high], without `low` where `above`, without `high` where `below`; or in `also`."""

    type: type
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        """One sentence on a value that is no number of this type and range; None for one that is."""
        if value in self.also:
            return None
        number = self.coerce(value)
        if isinstance(number, bool) or not isinstance(number, int | float):
            return f"{key}={format_value(value)}: expected {self.expected()}."
        if self.type is int and isinstance(number, float):
            return f"{key}={value}: expected {self.expected()}."
        if self.type is int and math.isinf(self.high) and abs(number) > LARGEST:
            return f"{key}={value} is out of range; expected {self.expected()}, {LARGEST} at most."
        return None if self._holds(number) else f"{key}={value} is out of range; expected {self.expected()}."

    def _holds(self, number: float) -> bool:
        if not math.isfinite(number):
            return False
        from_low = self.low < number if self.above else self.low <= number
        return from_low and (number < self.high if self.below else number <= self.high)

    def coerce(self, value: Any) -> Any:
        """The number that `value` means ('1e-3' -> 0.001, 1e3 -> 1000 for an integer), else `value` itself."""
        if value in self.also:
            return value
        number = _number(value) if isinstance(value, str) else value
        if self.type is float and isinstance(number, int) and abs(number) > LARGEST:  # which no tensor takes as it is
            return float(number) if abs(number) < FLOATS else math.inf
        whole = isinstance(number, float) and number.is_integer()
        return int(number) if whole and self.type is int else number

    def expected(self) -> str:
        noun = "an integer" if self.type is int else "a number"
        return _either([noun + self._span(), *map(format_value, self.also)])

    def _span(self) -> str:
        low, high = (f"{x:.15g}" for x in (self.low, self.high))
        if math.isfinite(self.low) and math.isfinite(self.high) and self.above == self.below:
            return f" between {low} and {high}" if self.above else f" from {low} to {high}"
        from_low = f" above {low}" if self.above else f" of at least {low}"
        to_high = f" below {high}" if self.below else f" of at most {high}"
        parts = [from_low] * math.isfinite(self.low) + [to_high] * math.isfinite(self.high)
        return " and".join(parts)


class BatchCount(Number):
    """So many batches (an integer), or that share of them (a float)."""

    def problem(self, key: str, value: Any) -> str | None:
        if isinstance(share := self.coerce(value), float) and (0 < share <= 1 or share == self.low == 0):
            return None
        return super().problem(key, value)

    def coerce(self, value: Any) -> Any:
        return _number(value) if isinstance(value, str) else value

    def expected(self) -> str:
        least = " of at least 1" if self.low else ""
        return f"so many batches (an integer{least}) or a share of them (a float from 0 to 1)"


class Devices(Number):
    """How many, or a list of which."""

    def problem(self, key: str, value: Any) -> str | None:
        if isinstance(value, list | ListConfig) and value:
            return next((p for v in value if (p := Number(int, 0).problem(key, v))), None)
        return super().problem(key, value)


@dataclass(frozen=True)
class OneOf:
    """One of a few words or numbers."""

    words: tuple[Any, ...]
    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        if value in self.also or str(value) in map(str, self.words):
            return None
        hint = did_you_mean(str(value), [word for word in self.words if isinstance(word, str)])
        return f"{key}={format_value(value)}: expected {self.expected()}.{hint}"

    def coerce(self, value: Any) -> Any:
        return next((word for word in self.words if str(word) == str(value)), value)

    def expected(self) -> str:
        shown = [v for v in self.also if v is None or isinstance(v, bool)]
        return ", ".join(map(format_value, [*self.words, *shown]))


@dataclass(frozen=True)
class Text:
    """Words of the form of `pattern`; what that form is, in words. of_mappings: also of a mapping, as it is written."""

    pattern: str
    form: str
    also: tuple[Any, ...] = ()
    of_mappings: bool = False

    def problem(self, key: str, value: Any) -> str | None:
        is_text = isinstance(value, str | int | float | Path) or (self.of_mappings and isinstance(value, Mapping))
        if value in self.also or (is_text and re.fullmatch(self.pattern, str(value))):
            return None
        return f"{key}={format_value(value)}: expected {self.form}."

    def coerce(self, value: Any) -> Any:
        return value

    def expected(self) -> str:
        return self.form


@dataclass(frozen=True)
class Parts:
    """true or false, or which parts of something: a name pattern, or a list of them."""

    form: str
    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        given = list(value) if isinstance(value, list | ListConfig) else [value]
        named = bool(given) and all(isinstance(v, str) and v.strip() for v in given)
        allowed = isinstance(value, bool) or value in self.also or named
        return None if allowed else f"{key}={format_value(value)}: expected {self.form}."

    def coerce(self, value: Any) -> Any:
        return value

    def expected(self) -> str:
        return self.form


@dataclass(frozen=True)
class Word:
    """Any text; a number is text too, as a command line does not say which is meant."""

    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        if value in self.also or isinstance(value, str | int | float | Path):
            return None
        return f"{key}={format_value(value)}: expected {self.expected()}."

    def coerce(self, value: Any) -> Any:
        return value

    def expected(self) -> str:
        return _either(["text", *map(format_value, self.also)])


@dataclass(frozen=True)
class Flag:
    """true or false."""

    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        if isinstance(value, bool) or value in self.also:
            return None
        return f"{key}={format_value(value)}: expected {self.expected()}."

    def coerce(self, value: Any) -> Any:
        return value

    def expected(self) -> str:
        return _either(["true", "false", *map(format_value, self.also)])


@dataclass(frozen=True)
class Items:
    """A list whose items each keep to a rule; of `length`, or of any."""

    each: Rule
    length: int | None = None
    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        if value in self.also:
            return None
        if not isinstance(value, list | tuple | ListConfig) or len(value) != (self.length or len(value)):
            return f"{key}={format_value(value)}: expected {self.expected()}."
        return next((p for v in value if (p := self.each.problem(key, v))), None)

    def coerce(self, value: Any) -> Any:
        return [self.each.coerce(v) for v in value] if isinstance(value, list | tuple | ListConfig) else value

    def expected(self) -> str:
        many = f"a list of {self.length}" if self.length else "a list"
        return _either([f"{many}, each {self.each.expected()}", *map(format_value, self.also)])


@dataclass(frozen=True)
class AnyOf:
    """What one of several rules allows."""

    rules: tuple[Rule, ...]
    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        if value in self.also or self._of(value):
            return None
        return f"{key}={format_value(value)}: expected {self.expected()}."

    def _of(self, value: Any) -> Rule | None:
        return next((rule for rule in self.rules if not rule.problem("", value)), None)

    def coerce(self, value: Any) -> Any:
        found = None if value in self.also else self._of(value)
        return found.coerce(value) if found else value

    def expected(self) -> str:
        return " or ".join([*(rule.expected() for rule in self.rules), *map(format_value, self.also)])


def _either(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def format_value(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(format_value, value))}]" if isinstance(value, list | tuple | ListConfig) else str(value)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
