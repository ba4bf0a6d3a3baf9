"""How lines of logs are written: without control characters of foreign names, and without logins and tokens."""

from __future__ import annotations

import logging

from lightloom.core.redaction import redact
from lightloom.core.text import printable

FULL = "%(asctime)s %(levelname)s %(name)s: %(message)s"
BRIEF = "%(message)s"


class LogFormat(logging.Formatter):
    """Of a file (FULL) or of the screen (BRIEF)."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines, of a record."""
        return printable(redact(super().format(record)))
