"""What an option may be, as the annotation of whoever takes it: `def __init__(self, width: Count, dropout: Share)`.

A command line is judged by these annotations before torch is imported (`config.annotations`); `checked` judges a call
from Python by the same ones.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from lightloom.core.errors import raise_all

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
CONTAINERS: dict[type, str] = {Sequence: "a list", Mapping: "a mapping, {name: value}"}
INTEGER = "an integer"
Bound = tuple[str, Callable[[Any, Any], bool], Any]  # in words, as a test, and as it is
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def checked(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a constructor raise UserError where an argument is outside the range or the choices of its annotation."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        given = signature.bind(*args, **kwargs).arguments
        raise_all(problems(given, get_type_hints(function, include_extras=True)))
        return function(*args, **kwargs)

    return call


def problems(given: Mapping[str, Any], hints: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each value, or part of a list or mapping, that its annotation does not allow.

    hints: as `get_type_hints(..., include_extras=True)` has them.
    """
    for name in (name for name in given if name in hints and given[name] is not None):
        wanted = _container(hints[name])
        if wanted is not None and not _is_a(given[name], wanted):
            yield f"{name} is {given[name]}; expected {CONTAINERS[wanted]}."
            continue
        for key, value in _entries(name, given[name]):
            said = [_expected(value, list(_bounds(part))) for part in _parts(hints[name])]
            if all(said):
                yield f"{key} is {value}; expected {' or '.join(dict.fromkeys(said))}."


def _expected(value: Any, bounds: Sequence[Bound]) -> str:
    """What the bounds allow, in words; empty where the value is allowed."""
    broken = [words for words, holds, limit in bounds if not holds(value, limit)]
    all_words = [words for words, *_ in bounds if words != INTEGER or INTEGER in broken]
    return " and ".join(all_words) if broken else ""


def _parts(hint: Any) -> list[Any]:
    """Those of a union, None aside; or the annotation itself."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [part for part in parts if part is not NoneType]


def _container(hint: Any) -> type | None:
    """Sequence or Mapping, where the annotation allows nothing else but None."""
    origins = {get_origin(part) for part in _parts(hint)}
    return next((kind for kind in CONTAINERS if origins == {kind}), None)


def _is_a(value: Any, kind: type) -> bool:
    """A tensor or a tuple will do for a Sequence; text is no list of letters."""
    return isinstance(value, Mapping) if kind is Mapping else isinstance(value, Iterable) and not isinstance(value, str)


def _entries(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"{name}.{key}", entry) for key, entry in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from ((f"{name}[{i}]", entry) for i, entry in enumerate(value))
    else:
        yield name, value


def _is_integer(value: Any, limit: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _compares(compare: Callable[[Any, Any], bool], value: Any, limit: Any) -> bool:
    """Text and flags are no numbers."""
    return not isinstance(value, str | bool) and compare(value, limit)


def _bounds(hint: Any) -> Iterator[Bound]:
    """Each bound in words, as a test and as it is, of `Annotated[...]`, of `Literal[...]` and of a union's parts."""
    if get_origin(hint) is Literal:
        yield ", ".join(map(str, get_args(hint))), lambda value, words: value in words, get_args(hint)
        return
    if getattr(hint, "__origin__", None) is int:
        yield INTEGER, _is_integer, None
    for bound in getattr(hint, "__metadata__", ()):
        for kind, words, holds in COMPARED:
            if isinstance(bound, kind):
                limit = getattr(bound, kind.__name__.lower())
                yield f"{words} {limit}", functools.partial(_compares, holds), limit
    if not hasattr(hint, "__metadata__"):
        for part in get_args(hint):
            yield from _bounds(part)
