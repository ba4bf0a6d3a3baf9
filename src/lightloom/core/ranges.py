"""What an option may be, as the annotation of whoever takes it: `def __init__(self, width: Count, dropout: Share)`.

A command line is judged by these annotations before torch is imported (`config.annotations`); `checked` judges a call
from Python by the same ones.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable
from types import UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from lightloom.core.errors import UserError

Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Seed = Annotated[int, Ge(0), Le(4294967295)]  # 32 bits: what the generators of numpy and of torch both take
Workers = Annotated[int, Ge(0), Le(256)]
Share = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]

COMPARED: tuple[tuple[type, str, Callable[[Any, Any], bool]], ...] = (
    (Ge, "at least", operator.ge),
    (Gt, "a number above", operator.gt),
    (Le, "at most", operator.le),
    (Lt, "below", operator.lt),
)
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def checked(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a constructor raise UserError where an argument is outside the range or the choices of its annotation."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        given = signature.bind(*args, **kwargs).arguments
        hints = get_type_hints(function, include_extras=True)
        for name in given.keys() & hints.keys():
            _check(name, given[name], hints[name])
        return function(*args, **kwargs)

    return call


def _check(name: str, value: Any, hint: Any) -> None:
    expected = _lacks(value, hint)
    if expected:
        raise UserError(f"{name} is {value}; expected {expected}.")


def _lacks(value: Any, hint: Any) -> str | None:
    """What the annotation expects of the value, in words, where that is something else; None where it says nothing."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Literal:
        return None if value in parts else ", ".join(map(str, parts))
    if kind is Annotated:
        return _out_of_range(value, hint.__metadata__)
    if kind in (Union, UnionType):
        return _of_no_part(value, parts)
    if isinstance(kind, type) and issubclass(kind, Iterable):
        if isinstance(value, str) or not isinstance(value, Iterable):
            return "a list"
        items = value if isinstance(value, list | tuple) else ()
        return next((expected for one in items for part in parts[:1] if (expected := _lacks(one, part))), None)
    return None


def _of_no_part(value: Any, parts: tuple[Any, ...]) -> str | None:
    """Of a union: None where one part takes the value; a class takes its instances."""
    asked = [_lacks(value, part) for part in parts if not isinstance(part, type)]
    is_instance = any(isinstance(value, part) for part in parts if isinstance(part, type))
    return None if is_instance or None in asked else " or ".join(dict.fromkeys(filter(None, asked))) or None


def _out_of_range(value: Any, bounds: Iterable[Any]) -> str | None:
    """The bounds in words, where the value, of any class, does not hold all of them."""
    words, holds = [], not isinstance(value, str | list | tuple | dict | None)
    for bound in bounds:
        for kind, said, compare in COMPARED:
            if isinstance(bound, kind):
                limit = getattr(bound, kind.__name__.lower())
                words.append(f"{said} {limit}")
                holds = holds and compare(value, limit)
    return None if holds or not words else " and ".join(words)
