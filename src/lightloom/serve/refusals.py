"""What is said to whoever is refused: JSON with a code and words, without paths and options; a page to a browser."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from starlette.responses import HTMLResponse, JSONResponse, Response

from lightloom.predict.web import Refused

WORDS = {  # HTTP's own, of Starlette's exceptions
    404: ("not_found", "There is nothing at this address."),
    405: ("method", "This address is not asked in this way."),
}
LATER = {"retry-after": "2"}
UNREAD = (400, 401, 403, 404, 405, 408, 413, 415, 421, 429)  # what the body still has to send is not waited for


def response_of(refused: Refused, request_id: str, page: bool = False) -> Response:
    """The answer; page: for somebody who opens an address in a browser."""
    headers = LATER if refused.status in (429, 503) else {}
    headers = headers | ({"connection": "close"} if refused.status in UNREAD else {})
    if page:
        form = _LOGIN if refused.status == 401 else ""
        text = _PAGE.format(words=escape(refused.words), form=form)
        return HTMLResponse(text, refused.status, headers)
    told = {"error": {"code": refused.name, "message": refused.words, "request": request_id}}
    return JSONResponse(told, refused.status, headers)


def wants_page(method: str, headers: Mapping[str, str]) -> bool:
    """Has somebody opened the address in a browser?"""
    return method == "GET" and "text/html" in headers.get("accept", "")


def of_status(status: int) -> Refused:
    """Of an error that HTTP itself has a number for."""
    name, words = WORDS.get(status, ("refused", "This cannot be answered."))
    return Refused(status, name, words)


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/static/style.css"><title>lightloom</title>
<main><h1>lightloom</h1><p>{words}</p>{form}</main>
"""
_LOGIN = """<form method="get" action="/"><label>token 令牌
<input type="password" name="enter" autocomplete="current-password" autofocus></label><button>OK</button></form>"""
