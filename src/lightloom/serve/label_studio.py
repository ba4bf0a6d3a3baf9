"""A backend for Label Studio: its tasks' pictures are predicted, in its own form.

Label Studio sends addresses of pictures. Only those of the one that `label_studio=` names are fetched, with its key: a
request cannot have the server fetch anything else.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from lightloom.core.environment import variable
from lightloom.predict.web import Refused
from lightloom.serve.bodies import MOST_PICTURE

KEY = "LABEL_STUDIO_API_KEY"
PATIENCE = 20.0  # seconds for a picture
MOST_TASKS = 100  # in a request
TAG = re.compile(r"<(RectangleLabels|Choices)\b([^>]*)>")
ATTRIBUTE = re.compile(r"\b(name|toName)\s*=\s*[\"']([^\"']*)[\"']")
Answer = Mapping[str, Any]


def read(body: bytes) -> tuple[list[Mapping[str, Any]], dict[str, tuple[str, str]]]:
    """The data of each task, and for each control of the labelling its name and that of what it labels."""
    try:
        asked = json.loads(body)
        tasks = [task["data"] for task in asked["tasks"]]
        config = str(asked.get("label_config") or "")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(422, "no_tasks", "Expected what Label Studio sends: JSON with tasks and label_config.") from error
    if len(tasks) > MOST_TASKS or not all(isinstance(task, dict) for task in tasks):
        raise Refused(422, "no_tasks", f"Expected {MOST_TASKS} tasks at most, each with its data.")
    controls: dict[str, tuple[str, str]] = {}
    for tag, text in TAG.findall(config):
        names = dict(ATTRIBUTE.findall(text))
        controls.setdefault(tag, (names.get("name", "label"), names.get("toName", "image")))
    return tasks, controls


async def picture(task: Mapping[str, Any], home: str | None) -> bytes:
    """The picture of a task: in its data, or at an address of Label Studio's."""
    address = next((text for text in task.values() if isinstance(text, str) and _is_place(text)), None)
    if address is None:
        raise Refused(422, "no_picture", "A task has no picture that can be fetched.")
    if address.startswith("data:"):
        try:
            return base64.b64decode(address.partition(",")[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refused(422, "no_picture", "The picture in a task is not whole.") from error
    if home is None:
        raise Refused(422, "no_home", "The server does not know where Label Studio is; start it with label_studio=.")
    place = urljoin(home, address)
    if urlsplit(place)[:2] != urlsplit(home)[:2]:
        raise Refused(422, "other_home", "A picture lies elsewhere than in Label Studio; it is not fetched.")
    return await asyncio.to_thread(_fetch, place)


def _is_place(text: str) -> bool:
    return text.startswith(("data:image/", "/", "http://", "https://"))


class _Stays(HTTPRedirectHandler):
    """Goes nowhere else."""

    def redirect_request(self, *given: Any, **more: Any) -> None:
        return None


def _fetch(place: str) -> bytes:
    headers = {"Authorization": f"Token {key}"} if (key := variable(KEY)) else {}
    try:
        with build_opener(_Stays).open(Request(place, headers=headers), timeout=PATIENCE) as found:
            body: bytes = found.read(MOST_PICTURE + 1)
    except (URLError, OSError, ValueError) as error:
        raise Refused(502, "not_fetched", "Label Studio does not give the picture of a task.") from error
    if len(body) > MOST_PICTURE:
        raise Refused(413, "too_large", f"A picture has more than {MOST_PICTURE // 10**6} MB.")
    return body


def result(answer: Answer, controls: Mapping[str, tuple[str, str]], model: str) -> dict[str, Any]:
    """What was found in one task, as Label Studio has it: by the names in the answer."""
    regions = [one for name, regions_of in REGIONS.items() if name in answer for one in regions_of(answer, controls)]
    scores = [one["score"] for one in regions]
    return {"result": regions, "score": sum(scores) / len(scores) if scores else 0.0, "model_version": model}


def _rectangles(answer: Answer, controls: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    width, height = answer["size"]
    name, to_name = controls.get("RectangleLabels", ("label", "image"))
    found = []
    for box in answer["boxes"]:
        left, top, right, bottom = box["box"]
        place = {"x": 100 * left / width, "y": 100 * top / height}
        place |= {"width": 100 * (right - left) / width, "height": 100 * (bottom - top) / height}
        found.append(
            {
                "type": "rectanglelabels",
                "from_name": name,
                "to_name": to_name,
                "original_width": width,
                "original_height": height,
                "value": {**place, "rotation": 0, "rectanglelabels": [box["name"]]},
                "score": box["score"],
            }
        )
    return found


def _choice(answer: Answer, controls: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """The most probable class, where the labelling has choices."""
    if "Choices" not in controls or not answer["bars"]:
        return []
    name, to_name = controls["Choices"]
    best = max(answer["bars"], key=lambda bar: bar["value"])
    value = {"choices": [best["name"]]}
    return [{"type": "choices", "from_name": name, "to_name": to_name, "value": value, "score": best["value"]}]


REGIONS: Mapping[str, Callable[..., list[dict[str, Any]]]] = {"boxes": _rectangles, "bars": _choice}
