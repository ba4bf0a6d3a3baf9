"""What the front and the process with the model send each other. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LATER: Mapping[str, Any] = {"later": True}


@dataclass(frozen=True)
class Ask:
    """One input. what: the capability. stream: of the camera or film that it is a picture of, `seconds` after the one
    before. The answer is LATER where it is that of no picture yet.
    """

    what: str
    body: bytes
    options: Mapping[str, Any]
    stream: str | None = None
    seconds: float = 0.0
    is_film: bool = False


@dataclass(frozen=True)
class Ended:
    """A camera or film is over: what is known of it may be forgotten. The answers that were waited for come back."""

    stream: str


@dataclass(frozen=True)
class Refusal:
    """As `Refused`, which is an exception."""

    status: int
    name: str
    words: str


@dataclass(frozen=True)
class Hello:
    """The model is loaded. model: as /api/v1/models tells it. fields: of each capability, to read a query by."""

    model: Mapping[str, Any]
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """The model could not be loaded: a mistake of the user's, or what else it was."""

    message: str
    is_mistake: bool
