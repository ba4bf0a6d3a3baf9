"""A server of files on the loopback address that knows ranges of bytes, notes what is asked, and fails when told."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Served:
    """address; asked: (file, first byte, how many) of each request; fails: how many of the next get the status; ranges:
    whether the server knows them; cut: bytes that each answer lacks.
    """

    address: str = ""
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    fails: int = 0
    status: int = 503
    ranges: bool = True
    cut: int = 0


class Handler(http.server.BaseHTTPRequestHandler):
    folder: Path
    served: Served
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        file, served = self.folder / self.path.strip("/"), self.served
        if served.fails > 0 or not file.is_file():
            served.fails -= 1
            self._answer(served.status if file.is_file() else 404, b"no")
            return
        content, asked = file.read_bytes(), self.headers["Range"]
        if not served.ranges or asked is None:
            self._answer(200, content)
            return
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        served.asked.append((file.name, first, last - first + 1))
        part = content[first : last + 1]
        self._answer(206 if part else 416, part[: len(part) - served.cut])

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """The folder's files, until the end."""
    served = Served()
    handler = type("Own", (Handler,), {"folder": folder, "served": served})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=[0.01])
        thread.start()
        served.address = f"http://127.0.0.1:{running.server_address[1]}"
        try:
            yield served
        finally:
            running.shutdown()
            thread.join()
