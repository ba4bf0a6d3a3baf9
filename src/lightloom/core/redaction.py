"""Redact logins in addresses and the values of tokens and passwords, at each exit: files, logs, screens, pages.

What stands in place of a variable of the environment, `${environment:NAME}`, is no secret and stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

HIDDEN = "***"
LOGIN = re.compile(r"://[^\s/'\"]*@")
KNOWN = re.compile(r"\b(?:hf_|gh[pousr]_|github_pat_|glpat-|sk-|xox[abprs]-|AKIA|eyJ)[\w.-]{16,}")  # forms of tokens
_VALUE = r"(?:(?:Bearer|Basic|Token)\s+)?(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s,}&'\"]+)"
_NOTHING = r"['\"]?(?:\$\{|\*\*\*)|(?:null|none|true|false)\b"  # nothing to hide
_NUMBER = r"[-+.\d]+(?:e[-+]?\d+)?(?![\w.-])"
_WORDS = "password|passwd|secret|secret_key|access_key|api_?key|private_key|credentials?|signature"


def _secret(names: str, harmless: str) -> re.Pattern[str]:
    """`name: value`, `name=value` and the like, but for values that are harmless."""
    return re.compile(rf"((?:\b|_)(?:{names})['\"]?\s*[:=]\s*)(?!{harmless}){_VALUE}", re.IGNORECASE)


SECRETS = (
    _secret(_WORDS, _NOTHING),
    _secret("token|authorization|auth", f"{_NOTHING}|{_NUMBER}"),
)  # tokens are counted


def redact(text: str) -> str:
    """Replace logins in addresses and values of tokens and passwords by ***."""
    text = KNOWN.sub(HIDDEN, LOGIN.sub(f"://{HIDDEN}@", text))
    for secret in SECRETS:
        text = secret.sub(rf"\1{HIDDEN}", text)
    return text


def redact_options(node: Any, key: str = "") -> Any:
    """Redact the values of nested options, and names that are addresses with a login."""
    if isinstance(node, dict):
        return {redact_options(name): redact_options(child, str(name)) for name, child in node.items()}
    if isinstance(node, list):
        return [redact_options(child, key) for child in node]
    if isinstance(node, tuple):
        return tuple(redact_options(child, key) for child in node)
    if _is_secret(key, node):
        return HIDDEN
    return redact(node) if isinstance(node, str) else node


def _is_secret(key: str, value: Any) -> bool:
    """Does the name of an option say so? A password may have digits only; the words of a text do not matter."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        return False
    if isinstance(value, str) and "${" in value:
        return False
    said = f"{key}={'x' if isinstance(value, str) else value}"
    return redact(said) != said


def redacted(node: Any, key: str = "") -> Iterator[str]:
    """The dotted keys of nested options of which something was redacted, and which are of no use so."""
    items: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in items:
        yield from redacted(child, f"{key}.{name}" if key else str(name))
    if isinstance(node, str) and HIDDEN in node and redact(node) == node:
        yield key
