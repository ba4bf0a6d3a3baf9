"""What an option may be, as the annotation of whoever takes it: `def __init__(self, width: Count, dropout: Share)`.

A command line is judged by these annotations before torch is imported (`config.annotations`); `checked` judges a call
from Python by the same ones.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

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
    found = list(_bounds(hint))
    if value is not None and not all(holds(value, bound) for _, holds, bound in found):
        raise UserError(f"{name} is {value}; expected {' and '.join(words for words, _, _ in found)}.")


def _bounds(hint: Any) -> Iterator[tuple[str, Callable[[Any, Any], bool], Any]]:
    """Each bound in words, as a test and as it is, of `Annotated[...]`, of `Literal[...]` and of a union's parts."""
    if get_origin(hint) is Literal:
        yield ", ".join(map(str, get_args(hint))), lambda value, words: value in words, get_args(hint)
        return
    for bound in getattr(hint, "__metadata__", ()):
        for kind, words, holds in COMPARED:
            if isinstance(bound, kind):
                limit = getattr(bound, kind.__name__.lower())
                yield f"{words} {limit}", holds, limit
    if not hasattr(hint, "__metadata__"):
        for part in get_args(hint):
            yield from _bounds(part)
