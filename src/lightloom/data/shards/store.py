"""Where shards lie: a folder, or an address of fsspec. Either gives files, and parts of files, by name."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

from lightloom.core.documents import read_bytes
from lightloom.core.errors import UserError, check_installed
from lightloom.core.limits import check_plain, reading
from lightloom.core.redaction import redact
from lightloom.core.text import megabytes
from lightloom.ops.network import PATIENCE

LIBRARIES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs"}  # of fsspec, by the address's first word
TRIES, PAUSE = 4, 0.5  # of what fails for a moment; seconds before the second try, doubled from one to the next
TOGETHER = 16  # requests at a time
OPEN = 64  # files that a process keeps open
Span = tuple[str, int, int]  # of a file its name, the first byte, and how many


class Store(Protocol):
    """Files by name; `str` names the place."""

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """These parts of files; fewer bytes than were asked for where a file ends before."""

    def whole(self, name: str, most: int) -> bytes | None:
        """A file of at most so many bytes; None where there is none."""

    def size(self, name: str) -> int | None:
        """The bytes of a file, where it takes no request to know them."""


def open_store(root: str) -> Store:
    """The folder or address that `data.root` names."""
    if "://" not in root:
        return Folder(Path(root))
    scheme = urlsplit(root).scheme
    if scheme not in LIBRARIES:
        raise UserError(
            f"data.root={redact(root)}: shards are read from a folder, or from an address of {', '.join(LIBRARIES)}."
        )
    check_installed(f"data.root={redact(root)}", scheme, LIBRARIES[scheme])
    return Address(root.rstrip("/"))


class Folder:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[str, BinaryIO] = {}

    def __str__(self) -> str:
        return str(self.root)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        return [self._read(*span) for span in spans]

    def whole(self, name: str, most: int) -> bytes | None:
        path = self.root / name
        if not path.exists():
            return None
        return read_bytes(path, most)

    def size(self, name: str) -> int | None:
        path = self.root / name
        if not path.exists():
            raise UserError(f"{path}: there is no such file, but the index names it; copy the shards again.")
        return check_plain(path).st_size

    def _read(self, name: str, first: int, count: int) -> bytes:
        with reading(self.root / name):
            return os.pread(self._file(name).fileno(), count, first)

    def _file(self, name: str) -> BinaryIO:
        """A file that stays open: on file systems of clusters it takes longer to open one than to read a sample."""
        if name not in self._open:
            while len(self._open) >= OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[name] = (self.root / name).open("rb", buffering=0)
        return self._open[name]


class Address:
    """What fsspec reads, by ranges of bytes, several at a time. A request that fails for a moment is made again."""

    def __init__(self, root: str) -> None:
        self.root = root

    def __str__(self) -> str:
        return redact(self.root)

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        found: list[Any] = [None] * len(spans)
        lacking = list(range(len(spans)))
        for attempt in range(TRIES):
            time.sleep(PAUSE * 2 ** (attempt - 1) if attempt else 0)
            for place, got in zip(lacking, self._ranges([spans[i] for i in lacking]), strict=True):
                found[place] = got
            lacking = [i for i in lacking if not isinstance(found[i], bytes)]
            if not lacking or any(isinstance(found[i], FileNotFoundError) for i in lacking):
                break
        if lacking:
            raise self._fault(spans[lacking[0]][0], found[lacking[0]])
        return found

    def whole(self, name: str, most: int) -> bytes | None:
        try:
            return self.read([(name, 0, most)])[0]
        except UserError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def size(self, name: str) -> int | None:
        return None

    def _ranges(self, spans: Sequence[Span]) -> list[Any]:
        """Of each span its bytes, or what went wrong."""
        paths = [f"{self.root}/{name}" for name, _, _ in spans]
        starts, ends = [first for _, first, _ in spans], [first + count for _, first, count in spans]
        return file_system(self.root).cat_ranges(paths, starts, ends, batch_size=TOGETHER, on_error="return")  # type: ignore[no-any-return]

    def _fault(self, name: str, cause: BaseException) -> UserError:
        reason = f"{type(cause).__name__} {cause}".strip()
        error = UserError(
            f"{self}/{name}: could not be read in {TRIES} tries ({redact(reason)[:200]}); check data.root, or wait."
        )
        error.__cause__ = cause
        return error


def file_system(root: str) -> Any:
    """What fsspec has for an address, in this process: it keeps one for each, and none over a fork."""
    import fsspec

    scheme = urlsplit(root).scheme
    options = {"get_client": _client} if scheme in ("http", "https") else {}
    return fsspec.filesystem(scheme, **options)


async def _client(**options: Any) -> Any:
    """A client that heeds the environment's proxies, and waits neither for ever nor for an answer without an end."""
    import aiohttp

    deadline = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=PATIENCE)
    return aiohttp.ClientSession(trust_env=True, timeout=deadline, raise_for_status=_check_answer, **options)


async def _check_answer(answer: Any) -> None:
    """Refuse what is no part of a file, before it is read: it may be the whole of it, or have no end."""
    if answer.status == 404:
        raise FileNotFoundError(str(answer.url))
    answer.raise_for_status()
    asked = answer.request_info.headers["Range"]
    if answer.status != 206:
        raise OSError(f"the server answers a range of bytes with status {answer.status}: it must know HTTP ranges")
    first, last = map(int, asked.removeprefix("bytes=").split("-"))
    if answer.content_length is None or answer.content_length > last - first + 1:
        raise OSError(f"the server answers {asked} with {megabytes(answer.content_length or 0)}")
