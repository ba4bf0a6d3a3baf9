"""Templates of pages and cards, and figures as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lightloom.config.values import format_value

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, filters: Mapping[str, Any] = MappingProxyType({}), **values: Any) -> str:
    """A template of this folder with these values, which are escaped. filters: beside those that all templates have."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "duration": duration, "option": option, **filters}
    return environment.get_template(template).render(**values)


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
