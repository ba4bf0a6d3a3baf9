"""Servers that answer badly, late or without an end, and workers that die, hang or raise: each wait has a deadline."""

from __future__ import annotations

import os
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attacks.watch import Baits, Case
from torch.utils.data import Dataset

from lightloom.core import download
from lightloom.core.errors import UserError
from lightloom.data.loading import loader

PATIENCE = 0.5  # seconds, in place of the command's
HERE = frozenset({"socket.connect", "socket.getaddrinfo", "urllib.Request"})  # what a download is for
FORKS = frozenset({"os.fork", "socket.connect"})  # of the processes among themselves

ANSWERS: tuple[bytes, ...] = (
    b"", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nPK",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nPK", b"HTTP/1.1 999 No\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n",
    b"\0" * 500,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc", b"nonsense\r\n" * 20,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", b"HTTP/1.1 404 Not Found\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: \r\n\r\n",
    b"HTTP/1.1 301 Moved\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", b"A: b\r\n" * 200,
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b", b"HTTP/1.1 500 \xff\xfe\r\n\r\n",
    b"HTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 9\r\n\r\nPK\3\4", b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
)  # fmt: skip


class Server:
    """Answers each connection with these bytes, then closes it, or says no more."""

    def __init__(self, answer: bytes, silent: bool) -> None:
        self.answer, self.silent, self.open = answer, silent, list[socket.socket]()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}/a.ckpt"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
                client.recv(4096)
                client.sendall(self.answer)
            except OSError:
                return
            self.open.append(client)
            if not self.silent:
                client.close()

    def close(self) -> None:
        for one in (self.socket, *self.open):
            one.close()


def fetched(server: Server) -> object:
    """A checkpoint by its address."""
    download.PATIENCE, before = PATIENCE, download.PATIENCE
    try:
        with tempfile.TemporaryDirectory() as folder:
            return download.fetch(server.address, Path(folder))
    finally:
        download.PATIENCE = before
        server.close()


def servers(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """An address whose server closes, is silent, lies about lengths, or leads elsewhere."""
    for i in range(count):
        server = Server(ANSWERS[i % len(ANSWERS)], silent=chance.random() < 0.5)
        what = f"{ANSWERS[i % len(ANSWERS)][:50]!r} silent={server.silent}"
        yield Case(what, partial(fetched, server), allowed=HERE)


class Items(Dataset[Any]):
    """Of which one ends badly."""

    def __init__(self, way: str, at: int) -> None:
        self.way, self.at = way, at

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: Any) -> torch.Tensor:
        places = index[0].tolist() if isinstance(index, tuple) else [int(index)]
        if self.at in places:
            acts = {
                "exit": lambda: os._exit(3), "kill": lambda: os.kill(os.getpid(), 9), "hang": lambda: time.sleep(8),
                "raise": self._raise, "user": self._user,
            }  # fmt: skip
            acts[self.way]()
        return torch.zeros(len(places))

    def _raise(self) -> None:
        raise UserError("item is damaged")

    def _user(self) -> None:
        raise OSError(28, "No space left on device")


def loaded(items: Items) -> object:
    """All batches of two workers, with a deadline of seconds."""
    order = [(torch.arange(first, first + 4), torch.arange(4)) for first in range(0, 16, 4)]
    return sum(1 for _ in loader(items, order, 2, 0, 2.0))  # type: ignore[arg-type]


def workers(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """A loader's worker that dies, is killed, hangs, or raises, at an item."""
    ways = ("exit", "kill", "hang", "raise", "user")
    for i in range(count):
        way, at = ways[i % len(ways)], chance.randrange(16)
        yield Case(f"{way} at {at}", partial(loaded, Items(way, at)), allowed=FORKS)


KINDS = {"servers that do not answer": servers, "workers that end or hang": workers}
