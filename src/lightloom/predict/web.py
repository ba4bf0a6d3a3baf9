"""How a capability is asked over a network: `Web` in the `web.py` of its folder. Needs no torch.

A page is made of what a `Web` says of itself: what it takes, its fields, its words in each language. It is drawn by the
names in its answer: `boxes`, `bars`, `overlay`, `pictures`, `figures`, `text`. So a new capability needs no page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lightloom.core.discovery import discover
from lightloom.core.errors import UserError

Words = Mapping[str, str]  # language (en, zh) -> text
LANGUAGES = ("en", "zh")
Takes = Literal["picture", "text", "nothing"]


class Refused(UserError):
    """What came over the network cannot be answered. status: of HTTP; name: for programs; words: without paths."""

    def __init__(self, status: int, name: str, words: str) -> None:
        super().__init__(words)
        self.status, self.name, self.words = status, name, words


@dataclass(frozen=True)
class Number:
    """A slider from low to high, both included."""

    name: str
    words: Words
    low: float
    high: float
    step: float
    default: float

    def read(self, text: str) -> float:
        """The value that a query has."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not self.low <= value <= self.high:
            raise Refused(422, "bad_field", f"{self.name}: expected a number from {self.low:g} to {self.high:g}.")
        return value


@dataclass(frozen=True)
class Choice:
    """One of some names. said: of those that a page calls otherwise, in each language."""

    name: str
    words: Words
    choices: tuple[str, ...]
    default: str
    said: Mapping[str, Words] = field(default_factory=dict)

    def read(self, text: str) -> str:
        """The value that a query has."""
        if text not in self.choices:
            raise Refused(422, "bad_field", f"{self.name}: expected one of the {len(self.choices)} names it has.")
        return text


Field = Number | Choice
Predict = Callable[..., Any]  # the predictor's `predict`, arrays for tensors; by=: another of its methods
Answers = Callable[..., Mapping[str, Any]]  # an exported file's answers by name, to its inputs


class Stream(Protocol):
    """What is known of one camera or film from picture to picture."""

    def update(self, found: Any, seconds: float) -> Any:
        """What was found, followed and steadied, in this picture or in one before it; None where none is ready yet.

        seconds: since the picture before.
        """
        ...

    def flush(self) -> Sequence[Any]:
        """Of the pictures that are still waited for, at the end."""
        ...


class Alone:
    """Each picture for itself."""

    def update(self, found: Any, seconds: float) -> Any:
        """As it was found."""
        return found

    def flush(self) -> Sequence[Any]:
        """Nothing is waited for."""
        return ()


class Web(Protocol):
    """A class that has these names; it inherits from nothing. Arrays are numpy's.

    use: of an exported file, see `exporting`. title: for people. streams: can it follow a camera and a film?
    """

    use: str
    title: Words
    takes: Takes
    streams: bool
    fields: Sequence[Field]

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """facts: of the data that the model was trained with. UserError where they are too few."""
        ...

    def read(self, body: bytes, options: Mapping[str, Any]) -> Any:
        """What the model is given, of what came; Refused where it is none."""
        ...

    def by_predictor(self, predict: Predict, items: Sequence[Any]) -> Sequence[Any]:
        """What is found in each item, by the predictor of its folder."""
        ...

    def by_file(self, answers: Answers, items: Sequence[Any]) -> Sequence[Any]:
        """The same, by an exported file."""
        ...

    def follow(self, options: Mapping[str, Any], is_film: bool) -> Stream:
        """For a new camera, which is answered at once, or film; asked only where it `streams`."""
        ...

    def say(self, item: Any, found: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """The answer, as JSON has it."""
        ...


def options_of(fields: Sequence[Field], query: Mapping[str, str]) -> dict[str, Any]:
    """Each field's value; Refused for one that is out of its range, or a name that no field has."""
    known = {field.name for field in fields}
    if not known.issuperset(query):
        listed = ", ".join(sorted(known)) or "none"
        raise Refused(422, "bad_field", f"There is a field that the model does not have; it has {listed}.")
    return {field.name: field.read(query[field.name]) if field.name in query else field.default for field in fields}


def webs() -> dict[str, type[Web]]:
    """Capability -> how it is asked, of each folder that has a `web.py`."""
    return {module.__name__.split(".")[-2]: module.Web for module in discover("lightloom.predict", "*/web.py")}
