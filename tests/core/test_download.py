"""A checkpoint by its address: whole or not at all, plain data or refused. The server is on the loopback address."""

from __future__ import annotations

import contextlib
import http.server
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lightloom.core import download
from lightloom.core.errors import UserError
from lightloom.core.run_dir import find_checkpoint
from lightloom.engine import checkpoint

CONTENT = {"state_dict": {"w": torch.arange(5.0)}, "hyper_parameters": {"model": {}, "data": {"name": "x"}}}


class Touch:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class Handler(http.server.BaseHTTPRequestHandler):
    """/cut ends early, /stuck says nothing, /moved names another scheme, /endless never ends; the rest are files."""

    folder: Path
    asked: list[str]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        if self.path == "/stuck":
            self.server.stop.wait(10)  # type: ignore[attr-defined]
            return
        if self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while True:
                    self.wfile.write(bytes(2**16))
            return
        file = self.folder / ("good.ckpt" if self.path == "/cut" else self.path.strip("/"))
        if not file.is_file():
            self.send_error(404)
            return
        whole = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(10**15 if self.path == "/huge.ckpt" else len(whole)))
        self.end_headers()
        self.wfile.write(whole[:1000] if self.path == "/cut" else whole)


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[str]:
    """The address; what lies in tmp_path/served is behind it."""
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    monkeypatch.setenv("no_proxy", "*")
    folder = tmp_path / "served"
    checkpoint.save(CONTENT, folder / "good.ckpt")
    torch.save({**CONTENT, "evil": Touch(tmp_path / "ran")}, folder / "evil.ckpt")
    whole = bytearray((folder / "good.ckpt").read_bytes())
    whole[whole.find(torch.arange(5.0).numpy().tobytes()) + 9] ^= 1
    (folder / "damaged.ckpt").write_bytes(whole)
    (folder / "page.html").write_text("<html>no checkpoint</html>")
    (folder / "huge.ckpt").write_bytes(b"x")
    handler = type("Own", (Handler,), {"folder": folder, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.stop = threading.Event()  # type: ignore[attr-defined]
        running.asked = handler.asked  # type: ignore[attr-defined]
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.stop.set()  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


def test_it_is_fetched_once_and_loaded_as_any_other(server, tmp_path):
    first = find_checkpoint(f"{server}/good.ckpt", tmp_path / "logs")
    assert torch.equal(checkpoint.load(first)["state_dict"]["w"], torch.arange(5.0))
    (tmp_path / "served" / "good.ckpt").unlink()
    assert find_checkpoint(f"{server}/good.ckpt", tmp_path / "logs") == first
    assert [p.name for p in first.parent.iterdir()] == [first.name]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("none.ckpt", "the server answers 404"),
        ("cut", "it ended after 1,000 of"),
        ("stuck", "timed out"),
        ("moved", "is not allowed"),
        ("page.html", "is no checkpoint file"),
        ("damaged.ckpt", "fails its checksum"),
        ("huge.ckpt", "has room for"),
        ("endless", "it has more than"),
    ],
)
def test_what_cannot_be_had_whole_is_one_message_and_leaves_nothing(server, tmp_path, monkeypatch, path, says):
    monkeypatch.setattr(download, "LIMIT", 2**22)
    with pytest.raises(UserError, match=says) as refused:
        find_checkpoint(f"{server}/{path}", tmp_path / "logs")
    assert f"{server}/{path}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not [*(tmp_path / "logs").rglob("*.*")]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x.ckpt", "file:///etc/passwd", "s3://bucket/x.ckpt"])
def test_other_schemes_are_refused(url, tmp_path):
    with pytest.raises(UserError, match="only http and https"):
        find_checkpoint(url, tmp_path)


def test_a_server_that_is_not_there_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(UserError, match=r"could not be fetched \(.*refused"):
        find_checkpoint("http://127.0.0.1:9/x.ckpt", tmp_path)


@pytest.mark.parametrize("force", [None, "1"])
def test_a_pickled_object_by_its_address_is_refused_and_not_run(server, tmp_path, monkeypatch, force):
    if force:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
    path = find_checkpoint(f"{server}/evil.ckpt", tmp_path / "logs")
    for load in (checkpoint.load, checkpoint.restore, checkpoint.SafeCheckpointIO().load_checkpoint):
        with pytest.raises(UserError, match="cannot be loaded as plain data"):
            load(path)
    assert zipfile.is_zipfile(path)
    assert not (tmp_path / "ran").exists()
