"""A camera over a websocket: one picture is with the model, the newest of the others waits, the rest are left out.

A message is a number, four bytes with the largest first, and the bytes of a picture. The answer is JSON with that
number: so the page draws on the picture that it has sent. A text is JSON with `what` and `options`.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from lightloom.predict.web import Refused, options_of
from lightloom.serve.guard import PROTOCOL
from lightloom.serve.inference import LIVE, Inference
from lightloom.serve.measures import Measures
from lightloom.serve.messages import Ask
from lightloom.serve.models import Models

FULL, WRONG, IDLE = 1013, 1003, 60.0  # codes of websockets; seconds without a picture
MOST = 2_000_000  # bytes of a picture
MOST_TEXT = 10_000


@dataclass
class _Camera:
    what: str
    options: dict[str, Any]
    stream: str = field(default_factory=lambda: uuid.uuid4().hex)
    newest: tuple[int, bytes, float] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    last: float = field(default_factory=time.monotonic)


async def serve(socket: WebSocket, models: Models, measures: Measures, most: int) -> None:
    """Until the page closes it. most: cameras at a time."""
    protocols = socket.scope.get("subprotocols", ())
    await socket.accept(next((one for one in protocols if one.startswith(PROTOCOL)), None))
    try:
        async with models.using(socket.query_params.get("model")) as inference:
            await _follow(socket, inference, measures, most)
    except Refused as refused:
        await socket.close(FULL if refused.status == 503 else WRONG, refused.words)


async def _follow(socket: WebSocket, inference: Inference, measures: Measures, most: int) -> None:
    able = {name: one for name, one in inference.hello.model["able"].items() if one["streams"]}
    if measures.cameras() >= most or not able:
        await socket.close(FULL, "too many cameras" if able else "this model follows no camera")
        return
    first = next(iter(able))
    camera = _Camera(first, options_of(inference.hello.fields[first], {}))
    measures.cameras(+1)
    answering = asyncio.create_task(_answer(socket, camera, inference, measures))
    try:
        await _listen(socket, camera, inference, measures)
    finally:
        answering.cancel()
        measures.cameras(-1)
        inference.end(camera.stream)


async def _listen(socket: WebSocket, camera: _Camera, inference: Inference, measures: Measures) -> None:
    """Keep the newest picture."""
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), IDLE)
        except TimeoutError:
            await socket.close(1001, "no picture came for a minute")
            return
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            if not _set(camera, message["text"], inference):
                await socket.close(WRONG, "expected JSON with what and options")
                return
            continue
        body = message.get("bytes") or b""
        if not 4 < len(body) <= MOST:
            await socket.close(WRONG, "expected a number of four bytes and a picture")
            return
        if camera.newest is not None:
            measures.dropped.inc()
        camera.newest = struct.unpack(">I", body[:4])[0], body[4:], time.monotonic()
        camera.news.set()


async def _answer(socket: WebSocket, camera: _Camera, inference: Inference, measures: Measures) -> None:
    """Ask about the newest picture, one after another."""
    while True:
        await camera.news.wait()
        camera.news.clear()
        if camera.newest is None:
            continue
        (number, body, at), camera.newest = camera.newest, None
        seconds, camera.last = max(at - camera.last, 1e-3), at
        ask = Ask(camera.what, body, camera.options, camera.stream, seconds)
        try:
            answer = await inference.ask(ask, LIVE)
        except Refused as refused:
            answer = {"error": {"code": refused.name, "message": refused.words}}
        measures.frames.inc()
        try:
            await socket.send_text(json.dumps({"number": number, **answer}))
        except (WebSocketDisconnect, RuntimeError):
            return
        if camera.newest is not None:
            camera.news.set()


def _set(camera: _Camera, text: str, inference: Inference) -> bool:
    """Take over `what` and `options`; False where they are none."""
    if len(text) > MOST_TEXT:
        return False
    try:
        asked = json.loads(text)
        what = asked.get("what", camera.what)
        given = {str(name): str(value) for name, value in asked.get("options", {}).items()}
        able = inference.hello.model["able"]
        if what not in able or not able[what]["streams"]:
            return False
        options = options_of(inference.hello.fields[what], given)
    except (ValueError, AttributeError, RecursionError, Refused):
        return False
    if (what, options) != (camera.what, camera.options):
        inference.end(camera.stream)
        camera.what, camera.options, camera.stream = what, options, uuid.uuid4().hex
    return True
