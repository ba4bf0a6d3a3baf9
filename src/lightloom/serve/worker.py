"""The process with the model: reads what came, asks the model, says what it found.

It is started by the front with the number of an open socket, and ends when the other end is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from lightloom.core import watchdog
from lightloom.core.errors import UserError, message_of
from lightloom.core.log_format import FULL, LogFormat
from lightloom.predict.web import Refused, Stream
from lightloom.serve.engines import Engine, load
from lightloom.serve.messages import LATER, Ask, Ended, Failed, Hello, Refusal

log = logging.getLogger("lightloom")
LARGE = 1_000_000  # bytes of what came, after which memory is given back


class Worker:
    """Answers asks, in batches that the model is given together."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._streams: dict[str, tuple[Stream, Callable[[Any], dict[str, Any]]]] = {}

    def hello(self) -> Hello:
        """What the front has to know of the model."""
        able = {name: web for name, (web, _) in self.engine.able.items()}
        told = {
            "name": self.engine.name,
            "data": self.engine.data,
            "engine": self.engine.engine,
            "able": {
                name: {
                    "title": dict(web.title),
                    "takes": web.takes,
                    "streams": web.streams,
                    "fields": [_told(field) for field in web.fields],
                }
                for name, web in able.items()
            },
        }
        return Hello(told, {name: tuple(web.fields) for name, web in able.items()})

    def answer(self, asks: Sequence[Ask | Ended]) -> list[dict[str, Any] | Refusal | None]:
        """An answer to each, in order."""
        answers: list[Any] = [None] * len(asks)
        read: dict[str, list[tuple[int, Any]]] = {}
        for i, ask in enumerate(asks):
            if isinstance(ask, Ended):
                answers[i] = self._rest(ask.stream)
                continue
            web, _ = self.engine.able[ask.what]
            answers[i] = _refusing(partial(web.read, ask.body, ask.options))
            if not isinstance(answers[i], Refusal):
                read.setdefault(ask.what, []).append((i, answers[i]))
        for what, items in read.items():
            for (i, item), found in zip(items, self._found(what, [item for _, item in items]), strict=True):
                asked: Any = asks[i]
                answers[i] = found
                if not isinstance(found, Refusal):
                    answers[i] = _refusing(partial(self._said, asked, item, found))
        if any(isinstance(ask, Ask) and len(ask.body) > LARGE for ask in asks):
            give_back_memory()
        return answers

    def _found(self, what: str, items: Sequence[Any]) -> Sequence[Any]:
        """Of each item; where the model refuses a batch, of each alone: one that is wrong spoils no other."""
        find = self.engine.able[what][1]
        together = _refusing(partial(find, items))
        if not isinstance(together, Refusal):
            return together
        if len(items) == 1:
            return [together]
        return [found for item in items for found in self._found(what, [item])]

    def _said(self, ask: Ask, item: Any, found: Any) -> Any:
        web, _ = self.engine.able[ask.what]
        if ask.stream is not None:
            if ask.stream not in self._streams:
                stream = web.follow(ask.options, ask.is_film)
                self._streams[ask.stream] = stream, partial(web.say, item, options=ask.options)
            found = self._streams[ask.stream][0].update(found, ask.seconds)
        return LATER if found is None else web.say(item, found, ask.options)

    def _rest(self, name: str) -> dict[str, Any]:
        """What a camera or film still waits for; then it is forgotten. Its pictures are all of one size."""
        stream, say = self._streams.pop(name, (None, None))
        return {"rest": [say(found) for found in stream.flush()] if stream and say else []}


def _refusing(do: Callable[[], Any]) -> Any:
    """What it returns, or the `Refusal` that it ends in: no fault of one ask ends the process."""
    try:
        return do()
    except Refused as refused:
        return Refusal(refused.status, refused.name, refused.words)
    except UserError as error:
        log.warning("refused: %s", error)
        return Refusal(422, "refused", "The model cannot take this input: it is of a size or a form that it refuses.")
    except MemoryError:
        give_back_memory()
        return Refusal(503, "no_memory", "There is no memory for this input now; make it smaller, or try again.")
    except Exception:  # a fault of the program: it is logged and told as 500; other asks get their answers
        log.exception("the model failed")
        return Refusal(500, "failed", "The model failed; the server's log says why.")


def _told(field: Any) -> dict[str, Any]:
    return {"kind": type(field).__name__.lower(), **vars(field), "words": dict(field.words)}


def give_back_memory() -> None:
    """Let the C library return what is free to the system, where it can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def main(handle: int) -> None:
    """Load the model that the front names, say hello, then answer until the front is gone."""
    for number in watchdog.ENDING:  # the front is told too, and ends this one
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the front is gone
        _serve(Connection(handle))


def _serve(front: Connection) -> None:
    cfg = front.recv()
    handler = logging.FileHandler(cfg["log"], encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(LogFormat(FULL))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        worker = Worker(load(cfg))
    except Exception as error:
        log.exception("the model cannot be loaded")
        message = message_of(error)
        front.send(Failed(message or f"{type(error).__name__}: {error}", message is not None))
        return
    give_back_memory()
    front.send(worker.hello())
    while True:
        front.send(worker.answer(front.recv()))


if __name__ == "__main__":
    main(int(sys.argv[1]))
