"""Bodies of requests: bounded in size, in time, and all together in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from lightloom.predict.web import Refused

MOST_PICTURE = 20_000_000  # bytes
MOST_FILM = 500_000_000  # bytes
PATIENCE, SLOWEST = 30.0, 10_000  # seconds, and bytes a second after them


class Budget:
    """Bytes that all pictures together may have while they are read and wait."""

    def __init__(self, most: int = 100_000_000) -> None:
        self.most, self.taken = most, 0

    @contextmanager
    def share(self) -> Iterator[list[int]]:
        """A list to which sizes are added; they are given back in the end."""
        sizes: list[int] = []
        try:
            yield sizes
        finally:
            self.taken -= sum(sizes)

    def take(self, sizes: list[int], size: int) -> None:
        """Refused where there is no more."""
        if self.taken + size > self.most:
            raise Refused(429, "busy", "Too much is being sent at once; try again in a few seconds.")
        self.taken += size
        sizes.append(size)


async def chunks(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body, piece by piece; Refused where it is too large or too slow."""
    stated = request.headers.get("content-length", "")
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise Refused(415, "multipart", "Send the bytes of the file as they are, not as a form.")
    if stated.isdecimal() and int(stated) > most:
        raise Refused(413, "too_large", f"It has more than {most // 10**6} MB; send a smaller one.")
    started, size = time.monotonic(), 0
    stream = request.stream().__aiter__()
    while True:
        left = started + PATIENCE + size / SLOWEST - time.monotonic()
        try:
            chunk = await asyncio.wait_for(anext(stream), max(left, 0.001))
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(408, "too_slow", "The body came too slowly, and was given up.") from None
        except ClientDisconnect:
            raise Refused(400, "left", "The body ended before its time.") from None
        size += len(chunk)
        if size > most:
            raise Refused(413, "too_large", f"It has more than {most // 10**6} MB; send a smaller one.")
        yield chunk


async def picture(request: Request, budget: Budget, sizes: list[int]) -> bytes:
    """The whole body of a picture."""
    parts = []
    async for chunk in chunks(request, MOST_PICTURE):
        budget.take(sizes, len(chunk))
        parts.append(chunk)
    return b"".join(parts)
