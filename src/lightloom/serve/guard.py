"""Who may ask: an ASGI layer around everything, websockets too."""

from __future__ import annotations

import base64
import contextlib
import hmac
import ipaddress
import time
import uuid
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lightloom.predict.web import Refused
from lightloom.serve.refusals import response_of, wants_page

COOKIE = "lightloom_token"
PROTOCOL = "token."  # of a websocket, before the token
OPEN = ("/health", "/static/style.css")  # to anybody
WRONG, WITHIN = 10, 60.0  # wrong tokens of one address in so many seconds
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        b"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """Lets in who has the token, calls by a name that is ours, and comes from no other page.

    token: None lets anybody in. hosts: names beside localhost and addresses. secure: over TLS.
    """

    def __init__(self, app: Any, token: str | None, hosts: Collection[str], secure: bool) -> None:
        self.app, self.token, self.hosts, self.secure = app, token, {host.lower() for host in hosts}, secure
        self._wrong: dict[str, deque[float]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        scope["request_id"] = uuid.uuid4().hex[:12]
        try:
            self._check_place(headers)
            if self.token is not None and scope["path"] not in OPEN:
                if self._enters(scope):
                    return await self._welcome(scope, receive, send)
                self._check_token(scope, headers)
        except Refused as refused:
            return await _refuse(refused, scope, headers, receive, self._with_headers(scope, send))
        await self.app(scope, receive, self._with_headers(scope, send))

    def _check_place(self, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        if not _is_address(name := _name(host)) and name != "localhost" and name not in self.hosts:
            raise Refused(421, "unknown_host", "The server is not known by this name; set hosts= where it is its name.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refused(403, "other_origin", "This was asked by a page of another site, which may not.")

    def _check_token(self, scope: Any, headers: Mapping[str, str]) -> None:
        assert self.token is not None
        given = list(_given(scope, headers))
        if any(_same(one, self.token) for one in given):
            return
        if given:
            self._count_wrong(str((scope.get("client") or ("",))[0]))
        raise Refused(401, "token", "A token is needed: Authorization: Bearer <token>.")

    def _count_wrong(self, address: str) -> None:
        """Refuse for a while who guesses; who has the token is never refused."""
        if len(self._wrong) > 10_000:
            self._wrong.clear()
        now, times = time.monotonic(), self._wrong.setdefault(address, deque(maxlen=WRONG + 1))
        times.append(now)
        if len(times) > WRONG and now - times[0] < WITHIN:
            raise Refused(429, "too_many_tokens", "Too many wrong tokens; try again in a minute.")

    def _enters(self, scope: Any) -> bool:
        """Is it the address with the token that the console shows?"""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return scope["type"] == "http" and scope["path"] == "/" and _same(query.get("enter", [""])[0], self.token or "")

    async def _welcome(self, scope: Any, receive: Any, send: Any) -> None:
        """Keep the token in a cookie, out of the address."""
        safe = "; Secure" if self.secure else ""
        cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000{safe}"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode())]
        send = self._with_headers(scope, send)
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _with_headers(self, scope: Any, send: Any) -> Any:
        own = [*HEADERS, (b"x-request-id", scope["request_id"].encode())]

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message.get("headers", ())}
                extra = [(name, value) for name, value in own if name not in names]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        return sending


async def _refuse(refused: Refused, scope: Any, headers: Mapping[str, str], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    page = wants_page(scope["method"], headers)
    await response_of(refused, scope["request_id"], page)(scope, receive, send)


def _given(scope: Any, headers: Mapping[str, str]) -> Iterator[str]:
    """The tokens that come with it."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield value.strip()
    if scheme.lower() == "basic":  # of Label Studio, whose backends have a user and a password
        with contextlib.suppress(ValueError):
            yield base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        cookies = SimpleCookie()
    if COOKIE in cookies:
        yield cookies[COOKIE].value
    yield from (one.removeprefix(PROTOCOL) for one in scope.get("subprotocols", ()) if one.startswith(PROTOCOL))


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _name(host: str) -> str:
    """Without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """A number names no site, so no other site can point it here."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
