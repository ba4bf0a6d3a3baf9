"""The border between OmegaConf and text that comes from files, folders and people: there it is a value, no language.

OmegaConf reads `${...}` as an interpolation and `???` as a value that is missing. `literal` puts such a text behind a
resolver that gives it back as it is; nothing else in the package hands foreign text to OmegaConf.
"""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

MISSING = "???"
RESOLVER = "literal_text"


def literal(value: Any) -> Any:
    """Plain data as a configuration in which no text is an interpolation, or missing."""
    if isinstance(value, dict):
        return {key: literal(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [literal(child) for child in value]
    return _hidden(value) if isinstance(value, str) and ("${" in value or value == MISSING) else value


def as_config(value: Any) -> Any:
    """Plain data as a DictConfig or ListConfig that holds it as it is."""
    return OmegaConf.create(literal(value))


def plain(cfg: Any) -> Any:
    """Dictionaries, lists and values only, with every interpolation resolved."""
    return OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg


def _hidden(text: str) -> str:
    return f"${{{RESOLVER}:x{text.encode('utf-8', 'surrogatepass').hex()}}}"


def _shown(code: str) -> str:
    return bytes.fromhex(code[1:]).decode("utf-8", "surrogatepass")


OmegaConf.register_new_resolver(RESOLVER, _shown, replace=True)
