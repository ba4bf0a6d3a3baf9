"""What a class says of itself, read from its source before it is imported."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from lightloom.config.source import DEEPEST, Definition, bases, is_library, locate

PREDICTORS = Path(__file__).parents[1] / "predict"


@cache
def ways_to_predict(attribute: str = "ways") -> frozenset[str]:
    """The options that predictors in lightloom/predict write out in their `ways`, or in their `verbatim`."""
    found: set[str] = set()
    for path in PREDICTORS.glob("*/predictor.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found |= _literal_keys(node, attribute)
    return frozenset(found)


def _literal_keys(node: ast.AST, attribute: str) -> set[str]:
    """Of `attribute = {"key": ...}` or `attribute = ("key", ...)`, with an annotation or without."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    value = getattr(node, "value", None)
    if not any(getattr(target, "id", None) == attribute for target in targets):
        return set()
    keys = value.keys if isinstance(value, ast.Dict) else value.elts if isinstance(value, ast.Tuple) else []
    return {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


@cache
def optimizes_manually(target: str) -> bool:
    """Does the LightningModule, or a class it is derived from, set `automatic_optimization = False`?"""
    found = locate(target)
    return found is not None and _sets_false(found, "automatic_optimization", 0)


@cache
def declares(target: str, attribute: str) -> bool:
    """Does the class say `attribute = True` in its body, or its nearest base that says either?

    False for what is no class, is a library's, or is not to be found.
    """
    found = locate(target)
    return found is not None and bool(_stated(found, attribute, 0))


def _stated(found: Definition, attribute: str, depth: int) -> bool | None:
    """What the class states; None where neither it nor a base does."""
    if not isinstance(found.node, ast.ClassDef) or is_library(found.module) or depth > DEEPEST:
        return None
    for node in found.node.body:
        names = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if attribute in [getattr(name, "id", None) for name in names]:
            value = getattr(node, "value", None)
            return isinstance(value, ast.Constant) and value.value is True
    stated = (_stated(base, attribute, depth + 1) for base in bases(found) if base is not None)
    return next((value for value in stated if value is not None), None)


def _sets_false(found: Definition, attribute: str, depth: int) -> bool:
    if not isinstance(found.node, ast.ClassDef) or is_library(found.module) or depth > DEEPEST:
        return False
    if any(_is_false(node, attribute) for node in ast.walk(found.node)):
        return True
    return any(_sets_false(base, attribute, depth + 1) for base in bases(found) if base is not None)


def _is_false(node: ast.AST, attribute: str) -> bool:
    """Is it `attribute = False` or `self.attribute = False`?"""
    if not isinstance(node, ast.Assign) or not (isinstance(node.value, ast.Constant) and node.value.value is False):
        return False
    return any(attribute in (getattr(target, "id", None), getattr(target, "attr", None)) for target in node.targets)
