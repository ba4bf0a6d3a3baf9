"""A model as serve.py has it, asked in this process."""

import json
from pathlib import Path
from typing import Any

from conftest import compose

from lightloom.config.foreign import plain
from lightloom.predict.web import options_of
from lightloom.serve import engines


def loaded(path: Path) -> engines.Engine:
    """Of a checkpoint, a run or an exported file."""
    parts = compose("trainer=cpu", config_name="serve")
    own = {part: plain(parts[part]) for part in ("trainer", "paths")}
    return engines.load({"ckpt_path": str(path), "threads": 1, "trust": [], **own})


def said(engine: engines.Engine, what: str, body: bytes, **query: str) -> dict[str, Any]:
    """The answer, as it goes out, whether it was asked alone or with another."""
    web, find = engine.able[what]
    options = options_of(web.fields, query)
    item = web.read(body, options)
    answers = [json.dumps(web.say(item, found, options)) for found in find([item, item])]
    assert answers[0] == answers[1]
    return json.loads(answers[0])
