"""The rule of an option, from the annotation of whoever takes it; read from the source, without importing torch."""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import cache
from typing import Any

from lightloom.config.source import DEEPEST, Parameter, define, is_dataclass, is_library, signature
from lightloom.config.values import AnyOf, Flag, Items, Number, OneOf, Rule, Word

PLAIN: dict[str, Rule] = {
    "builtins.int": Number(int),
    "builtins.float": Number(float),
    "builtins.bool": Flag(),
    "builtins.str": Word(),
    "pathlib.Path": Word(),
}
LISTS = ("list", "tuple", "Sequence", "List", "Tuple", "Iterable", "Collection")
BOUNDS = {  # of annotated_types: the fields of a Number that each sets
    "Ge": lambda bound: {"low": bound},
    "Gt": lambda bound: {"low": bound, "above": True},
    "Le": lambda bound: {"high": bound},
    "Lt": lambda bound: {"high": bound, "below": True},
}


@cache
def options_of(target: str) -> tuple[str, ...] | None:
    """The options that a class or function takes; None for a library's, and for one that takes any option."""
    if is_library(target.rpartition(".")[0]):
        return None
    found = signature(target)
    return None if found is None or found.is_open else tuple(found.parameters)


@cache
def option_rule(target: str, option: str) -> Rule | None:
    """What the option of a class or function may be; None where nobody says so."""
    found = signature(target)
    parameter = found.parameters.get(option) if found else None
    return _rule_of(parameter) if parameter else None


@cache
def has_default(target: str, option: str) -> bool:
    """May the option be left out? Of what does not say what it takes, any may."""
    found = signature(target)
    parameter = found.parameters.get(option) if found else None
    return parameter is None or parameter.default is not None


@cache
def may_be_mapping(target: str | None, option: str) -> bool:
    """May an option of a class of ours be a mapping that is no object? Of others, and without a taker, any may."""
    if target is None or options_of(target) is None:
        return True
    found = signature(target)
    parameter = found.parameters.get(option) if found else None
    if parameter is None or parameter.annotation is None:
        return True
    return bool({"dict", "Mapping", "MutableMapping", "Any", "object"} & set(_words(parameter.annotation)))


def _words(annotation: ast.expr) -> list[str]:
    return [n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)]


@cache
def options_class(target: str, option: str) -> str | None:
    """The dataclass whose fields stand below an option: `groups: Mapping[str, Any] | OptimizerGroups | None`."""
    found = signature(target)
    parameter = found.parameters.get(option) if found else None
    if parameter is None or parameter.annotation is None:
        return None
    for part in _alternatives(parameter.annotation):
        defined = define(parameter.module, ast.unparse(part)) if isinstance(part, ast.Name | ast.Attribute) else None
        if defined and isinstance(defined.node, ast.ClassDef) and is_dataclass(defined.node):
            return defined.dotted
    return None


def _alternatives(annotation: ast.expr) -> list[ast.expr]:
    if isinstance(annotation, ast.BinOp):
        return [*_alternatives(annotation.left), *_alternatives(annotation.right)]
    return [annotation]


def _rule_of(parameter: Parameter) -> Rule | None:
    """The annotation's rule; without one a number or a flag by default stays what it is."""
    default = _literal(parameter.default, parameter.module)
    annotation = parameter.annotation or _kind_of(default)
    rule = rule_of(annotation, parameter.module) if annotation else None
    if rule is None or parameter.default is None or default is ...:
        return rule
    if default is None:
        return _or_none(rule)
    given = list(default) if isinstance(default, tuple) else default
    return None if rule.problem("", given) else rule  # an annotation that its own default breaks means something else


def _kind_of(default: Any) -> ast.expr | None:
    """The annotation that a default stands for; an integer may be any number: `def __init__(self, scale=1)`."""
    if isinstance(default, bool):
        return ast.Name("bool")
    return ast.Name("float") if isinstance(default, int | float) else None


# --- annotations


def rule_of(node: ast.expr, module: str, depth: int = 0) -> Rule | None:
    """The rule of an annotation that stands in `module`; None for an annotation that is no plain value's."""
    if depth > DEEPEST:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):  # in quotes
        return rule_of(ast.parse(node.value, mode="eval").body, module, depth + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([node.left, node.right], module, depth)
    if isinstance(node, ast.Subscript):
        return _of_generic(node, module, depth)
    return _of_name(node, module, depth)


def _of_name(node: ast.expr, module: str, depth: int) -> Rule | None:
    found = define(module, ast.unparse(node)) if isinstance(node, ast.Name | ast.Attribute) else None
    if found is None:
        return None
    alias = getattr(found.node, "value", None)  # of Count = Annotated[int, Ge(1)]
    return rule_of(alias, found.module, depth + 1) if alias is not None else PLAIN.get(found.dotted)


def _of_generic(node: ast.Subscript, module: str, depth: int) -> Rule | None:
    found = define(module, ast.unparse(node.value))
    parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    match found.name if found and found.node is None else "":
        case "Literal":
            return _of_literals([_literal(part, module) for part in parts])
        case "Annotated":
            return _bounded(rule_of(parts[0], module, depth + 1), parts[1:], module)
        case "Optional":
            return _union([*parts, ast.Constant(None)], module, depth)
        case "Union":
            return _union(parts, module, depth)
        case name if name in LISTS:
            return _of_list(name, parts, module, depth)
    return None


def _of_literals(words: list[Any]) -> Rule | None:
    plain = tuple(w for w in words if w is not None and not isinstance(w, bool))
    return None if ... in words else OneOf(plain, also=tuple(w for w in words if w not in plain))


def _of_list(name: str, parts: list[ast.expr], module: str, depth: int) -> Rule | None:
    is_fixed = name.lower() == "tuple" and not _is_ellipsis(parts[-1])
    rules = {rule_of(part, module, depth + 1) for part in parts if not _is_ellipsis(part)}
    each = rules.pop()
    return None if rules or each is None else Items(each, length=len(parts) if is_fixed else None)


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _bounded(rule: Rule | None, bounds: list[ast.expr], module: str) -> Rule | None:
    """A number's rule with the bounds of annotated_types; what else stands there is for others."""
    for bound in bounds:
        if isinstance(rule, Number) and isinstance(bound, ast.Call) and bound.args:
            found, value = define(module, ast.unparse(bound.func)), _literal(bound.args[0], module)
            if found and found.module == "annotated_types" and found.name in BOUNDS and value is not ...:
                rule = replace(rule, **BOUNDS[found.name](value))
    return rule


def _union(parts: list[ast.expr], module: str, depth: int) -> Rule | None:
    """What one of the parts allows; None where one of them is no plain value's."""
    plain = [part for part in parts if not (isinstance(part, ast.Constant) and part.value is None)]
    rules = [rule_of(part, module, depth + 1) for part in plain]
    known = [rule for rule in rules if rule is not None]
    if not known or len(known) < len(rules):
        return None
    rule = known[0] if len(set(known)) == 1 else AnyOf(tuple(dict.fromkeys(known)))
    return rule if len(plain) == len(parts) else _or_none(rule)


def _or_none(rule: Rule) -> Rule:
    return rule if None in rule.also else replace(rule, also=(*rule.also, None))  # type: ignore[type-var]


def _literal(node: ast.expr | None, module: str) -> Any:
    """The value that is written there, or that a name there was given; ... for any other expression."""
    if isinstance(node, ast.Name | ast.Attribute):
        found = define(module, ast.unparse(node))
        value = getattr(found.node, "value", None) if found else None
        return ... if value is None else _literal(value, found.module)  # type: ignore[union-attr]
    try:
        return ast.literal_eval(node) if node is not None else ...
    except (ValueError, TypeError):
        return ...
