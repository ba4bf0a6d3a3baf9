"""Download a checkpoint over http or https, all of it or nothing. Needs no torch."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import zipfile
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    UnknownHandler,
)

from lightloom.core import atomic_io
from lightloom.core.errors import UserError

PATIENCE = 20.0  # seconds without a byte from the network
LIMIT = 2**35  # bytes; an endless answer is cut off
CHUNK = 2**20  # bytes


def fetch(url: str, folder: Path) -> Path:
    """Download a zip file (a checkpoint) from an http or https address into `folder`, unless it is there; its path.

    Raises UserError where it cannot be had whole. Only its checksums are read.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"ckpt_path={url}: only http and https are fetched; give the file itself.")
    name = Path(urlsplit(url).path).name or "checkpoint"
    path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"
    if path.is_file():
        return path
    part = path.with_name(f"{os.getpid()}-{path.name}")  # another process may be fetching the same
    try:
        with _opener().open(url, timeout=PATIENCE) as answer, atomic_io.replacing(part) as file:
            _copy(answer, file, folder)
        if broken := atomic_io.damage(part):
            raise UserError(f"{url}: the file is damaged ({broken}); ask its owner for another.")
        part.replace(path)
    except zipfile.BadZipFile:
        raise UserError(f"{url} is no checkpoint file (no zip archive); give the address of the file itself.") from None
    except HTTPError as error:
        raise UserError(f"{url}: the server answers {error.code} {error.reason}; check the address.") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise UserError(f"{url} could not be fetched ({reason}); fetch it by other means and give the file.") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _opener() -> OpenerDirector:
    """An opener of http and https that refuses every other scheme, in redirections too."""
    opener = OpenerDirector()
    handlers = (ProxyHandler, HTTPHandler, HTTPSHandler, HTTPRedirectHandler, HTTPErrorProcessor)
    for handler in (*handlers, HTTPDefaultErrorHandler, UnknownHandler):
        opener.add_handler(handler())
    return opener


def _copy(answer: http.client.HTTPResponse, file: BinaryIO, folder: Path) -> None:
    """Copy the response to the file; OSError where it ends early or does not fit on the disk."""
    announced, received = answer.length, 0
    room = min(shutil.disk_usage(folder).free, LIMIT)
    if announced is not None and announced > room:
        raise OSError(f"it has {announced:,} bytes, and {folder} has room for {room:,}")
    while chunk := answer.read(CHUNK):
        received += len(chunk)
        if received > room:
            raise OSError(f"it has more than {room:,} bytes")
        file.write(chunk)
    if announced is not None and received != announced:
        raise OSError(f"it ended after {received:,} of {announced:,} bytes")
