"""What serve.py asks; `config.rules` reads the annotations. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from lightloom.core.ranges import Count, Natural, Positive


@dataclass(frozen=True)
class Options:
    """host, port: to listen at; 0 is any free port. token: who may ask, null for a new one where others can. ssl:
    `self`, or a folder with cert.pem and key.pem. hosts: names that the server has. label_studio: its address, whose
    pictures may be fetched. most_waiting: pictures that wait. most_live: cameras at a time. most_films: that wait or
    run. most_memory: GB of all loaded models together. keep_hours: of films and what was made of them.
    """

    host: str
    port: Annotated[int, Ge(0), Le(65535)]
    token: str | None
    ssl: str | None
    hosts: Sequence[str]
    label_studio: str | None
    most_waiting: Count
    most_live: Natural
    most_films: Natural
    most_memory: Positive | None
    keep_hours: Positive
    threads: Count | None
