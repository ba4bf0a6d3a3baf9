"""Templates of pages and cards, and figures as a person reads them."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lightloom.config.values import format_value
from lightloom.core.places import spoken
from lightloom.core.redaction import redact
from lightloom.core.text import printable
from lightloom.reporting.markdown import code, escaped, fenced

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, folder: Path = TEMPLATES, **values: Any) -> str:
    """A template of a folder with these values, each escaped for HTML, or for Markdown where the template's name has
    `.md`.
    """
    return environment(folder, is_markdown=".md" in template).get_template(template).render(**values)


@cache
def environment(folder: Path, is_markdown: bool) -> Environment:
    """What compiles the templates of a folder, each once, and knows how a figure, an option and a link are written."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=not is_markdown,
        finalize=escaped if is_markdown else _visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "figure": figure,
        "duration": duration,
        "option": option,
        "link": link,
        "code": code,
        "fenced": fenced,
        "spoken": spoken,
    }
    return made


def _visible(value: Any) -> Any:
    """What is put into a page: text without control characters, and without logins and tokens."""
    return printable(redact(value)) if type(value) is str else value


def link(name: str) -> str:
    """The address of a file beside the page, whatever its name is: no other address, and no script."""
    return quote(os.fsencode(name))


def figure(value: Any) -> str:
    """Four digits of a measure; a count in full."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) >= 1000):
        return f"{value:,.0f}"
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """`12.3 s`, `5 min 2 s`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def option(value: Any) -> str:
    """A value of the configuration, cut where it is long."""
    text = format_value(value) if not isinstance(value, dict) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
