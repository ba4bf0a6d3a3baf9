"""Redact logins in addresses and the values of tokens and passwords."""

from __future__ import annotations

import re
from typing import Any

LOGIN = re.compile(r"://[^/\s@]+@")
SECRET = re.compile(
    r"((?:\b|_)(?:token|secret|password|api_?key)['\"]?\s*[:=]\s*)(?!null\b|None\b)[^\s,}]+", re.IGNORECASE
)


def redact(text: str) -> str:
    """Replace logins in addresses and values of tokens and passwords by ***."""
    return SECRET.sub(r"\1***", LOGIN.sub("://***@", text))


def redact_options(node: Any, key: str = "") -> Any:
    """Redact the values of nested options."""
    if isinstance(node, dict):
        return {name: redact_options(child, str(name)) for name, child in node.items()}
    return redact(f"{key}={node}").partition("=")[2] if isinstance(node, str) else node
