"""Addresses that other libraries open."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 20.0  # seconds without a byte


@contextmanager
def patience(seconds: float = PATIENCE) -> Iterator[None]:
    """Inside, a library that opens an address without a deadline gives up after `seconds` without a byte."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
