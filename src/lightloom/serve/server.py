"""Start the process with the model, then the front, and end both in order."""

from __future__ import annotations

import logging
import secrets
import socket
from pathlib import Path
from typing import Any

from lightloom.config.foreign import plain
from lightloom.core.errors import UserError, check_installed
from lightloom.core.log_format import FULL, LogFormat
from lightloom.core.run_dir import LOG
from lightloom.core.screen import say
from lightloom.serve.models import Models

log = logging.getLogger("lightloom")
HERE = ("127.0.0.1", "localhost", "::1")
SHORTEST = 16  # characters of a token
MOST_AT_ONCE = 256  # connections
GRACE = 6  # seconds for those who are being answered, at the end


def run(config: Any) -> None:
    """Serve until a signal ends it. config: of serve.py."""
    cfg = plain(config)
    check_installed("serve.py", "serve", "fastapi", "uvicorn", "websockets", "prometheus_client")
    import uvicorn

    from lightloom.serve.app import front
    from lightloom.serve.guard import Guard
    from lightloom.serve.live import MOST

    folder = Path(cfg["paths"]["output_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    cfg["log"] = str(folder / LOG)
    _start_log(cfg["log"])
    token = _token(cfg)
    certificate = _certificate(cfg)
    listening = _listen(cfg["host"], cfg["port"])
    models = Models(cfg)
    try:
        app = Guard(front(cfg, models), token, cfg["hosts"], secure=bool(certificate))
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="websockets-sansio",
                ws_max_size=MOST + 4,
                limit_concurrency=MOST_AT_ONCE,
                timeout_graceful_shutdown=GRACE,
                **certificate,
            )
        )
        _say_where(cfg, listening, token, bool(certificate), models)
        server.run(sockets=[listening])
    finally:
        models.close()


def _start_log(path: str) -> None:
    """What happens goes to the run's log, without logins and tokens."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(LogFormat(FULL))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    log.disabled = False  # Hydra disables the loggers that it finds


def _token(cfg: dict[str, Any]) -> str | None:
    token = cfg["token"]
    if token is None:
        return None if cfg["host"] in HERE else secrets.token_urlsafe(24)
    if len(str(token)) < SHORTEST or not str(token).isascii() or not all(c.isalnum() or c in "-_." for c in str(token)):
        raise UserError(
            f"token= has {len(str(token))} characters; expected {SHORTEST} or more, of letters, digits, - _ and dots."
        )
    return str(token)


def _certificate(cfg: dict[str, Any]) -> dict[str, Any]:
    """uvicorn's options for TLS."""
    if cfg["ssl"] is None:
        return {}
    from lightloom.serve import tls

    return tls.files(cfg["ssl"], Path(cfg["paths"]["log_dir"]) / "serve", cfg["hosts"])


def _listen(host: str, port: int) -> socket.socket:
    """Bound before the model is loaded: a port that is taken is said at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, so that asyncio sends at once
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(MOST_AT_ONCE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no address"
        raise UserError(f"host={host} port={port}: cannot listen there ({reason}); set port=<another>.") from error
    return listening


def _say_where(cfg: dict[str, Any], listening: socket.socket, token: str | None, is_safe: bool, models: Models) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    model = models.loaded[models.first].hello.model
    log.info("%s of %s, on %s", model["name"], model["data"], model["engine"])
    say(f"{model['name']}, trained on {model['data']}: {', '.join(model['able'])}, on {model['engine']}.")
    if others := len(models.all()) - 1:
        say(f"And {others} more from {cfg['paths']['log_dir']}/runs, each loaded when it is asked for.")
    entry = f"?enter={token}" if token and cfg["token"] is None else ""  # of one that nobody knows yet
    say(f"{'https' if is_safe else 'http'}://{shown}:{port}/{entry}")
    if not is_safe and cfg["host"] not in HERE:
        say("Without ssl= the token is sent as it is, and browsers give no camera but to this machine.")
