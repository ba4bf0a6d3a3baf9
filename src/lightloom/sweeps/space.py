"""Search spaces: choices and ranges of options, from plain data or the grammar of the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig

from lightloom.config import overrides as keys
from lightloom.config.command_line import quote
from lightloom.config.rules import rule_for
from lightloom.config.values import Number, format_value
from lightloom.core.errors import UserError, did_you_mean

FIELDS = ("choices", "low", "high", "log", "step", "when")
Values = dict[str, Any]


@dataclass(frozen=True)
class Parameter:
    """An option that a sweep varies: one of `choices`, or a number in [low, high].

    log: drawn evenly on a logarithmic scale. step: between two values; None: any. when: other parameters and the
    values of theirs with which this one counts; without them the option keeps its default. kind: int or float where
    the option's own rule says so.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    kind: type | None = None

    @property
    def name(self) -> str:
        """The option as one writes it: optimizer for optimizer@model.optimizer."""
        return self.key.partition("@")[0]

    @property
    def is_integer(self) -> bool:
        """The option takes nothing else, or both ends are written so and it does not take other numbers."""
        written_so = all(isinstance(x, int) for x in (self.low, self.high))
        return self.kind is int or (self.kind is not float and written_so)

    def counts(self, values: Values) -> bool:
        """Is it to be chosen, where these are the values of the parameters before it?"""
        return all(key in values and values[key] in allowed for key, allowed in self.when.items())

    def samples(self) -> list[Any]:
        """Each value that is to be looked at: the choices, or both ends."""
        return list(self.choices) or [self.low, self.high]

    def grid(self) -> list[Any]:
        """Each value of a grid; UserError for a range without a step."""
        if self.choices:
            return list(self.choices)
        step = self.step or (1 if self.is_integer and not self.log else None)
        if step is None:
            raise UserError(
                f"sweep.space {self.key}: a grid needs choices or a step; add step: ... or set sweep.sampler=random."
            )
        count = math.floor((self.high - self.low) / step * (1 + 1e-12)) + 1
        return [self.low + i * step for i in range(count)]

    def suggest(self, trial: Any) -> Any:
        """The value that an Optuna trial has or draws. Choices go by their text: Optuna keeps no lists."""
        if self.choices:
            by_text = {format_value(choice): choice for choice in self.choices}
            return by_text[trial.suggest_categorical(self.key, list(by_text))]
        if self.is_integer:
            step = int(self.step or 1)
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log, step=step)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log, step=self.step)


def parameter(key: str, spec: Any) -> Parameter:
    """The parameter that a sweep's YAML describes; UserError where it cannot be one."""
    where = f"sweep.space {key}"
    if not isinstance(spec, Mapping):
        raise UserError(f"{where}: expected {{choices: [...]}} or {{low: ..., high: ...}}, found {format_value(spec)}.")
    for name in spec:
        if name not in FIELDS:
            raise UserError(
                f"{where}: there is no {name!r}.{did_you_mean(str(name), FIELDS)} Known: {', '.join(FIELDS)}."
            )
    when = {k: tuple(v) if isinstance(v, list) else (v,) for k, v in (spec.get("when") or {}).items()}
    if "choices" in spec:
        return Parameter(key, _choices(where, spec["choices"]), when=when)
    low, high = (_number(where, name, spec.get(name)) for name in ("low", "high"))
    found = Parameter(key, (), low, high, bool(spec.get("log")), spec.get("step"), when)
    _check_range(where, found)
    return found


def typed(p: Parameter, cfg: DictConfig) -> Parameter:
    """The parameter with the kind of number that its option takes in this configuration of train.py."""
    return replace(p, kind=getattr(rule_for(p.key, keys.taker_of(cfg, p.key)), "type", None))


def _choices(where: str, choices: Any) -> tuple[Any, ...]:
    if not isinstance(choices, list) or not choices:
        raise UserError(f"{where}: choices={format_value(choices)}; expected a list of values, choices: [a, b].")
    if len({format_value(choice) for choice in choices}) < len(choices):
        raise UserError(f"{where}: choices={format_value(choices)} has a value twice; leave one out.")
    return tuple(choices)


def _number(where: str, name: str, value: Any) -> Any:
    number = Number(float).coerce(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise UserError(f"{where}: {name}={format_value(value)}; expected a number, or choices: [...].")
    return number


def _check_range(where: str, p: Parameter) -> None:
    span = f"{where}: from {format_value(p.low)} to {format_value(p.high)}"
    if p.low >= p.high:
        raise UserError(f"{span}; expected low below high.")
    if p.log and p.low <= 0:
        raise UserError(f"{span} on a logarithmic scale; expected low above 0, or log: false.")
    if p.step is not None and (p.log or _number(where, "step", p.step) <= 0):
        raise UserError(f"{span}, step {format_value(p.step)}; expected a step above 0 and no log.")


def from_override(override: Override) -> Parameter:
    """The parameter that `key=a,b`, `key=range(...)` or `key=tag(log, interval(...))` describes."""
    key, value = override.get_key_element().lstrip("+"), override.value()
    if not isinstance(value, IntervalSweep):
        return Parameter(key, _choices(f"sweep.space {key}", keys.values(override)))
    convert: Any = int if "int" in value.tags else float
    return parameter(key, {"low": convert(value.start), "high": convert(value.end), "log": "log" in value.tags})


def check_conditions(parameters: Sequence[Parameter]) -> None:
    """Raise UserError where `when` names no parameter before its own, or a value that it never has."""
    known: dict[str, Parameter] = {}
    for p in parameters:
        for key, allowed in p.when.items():
            if key not in known:
                names = ", ".join(known) or "none"
                raise UserError(f"sweep.space {p.key}: when names {key}, no parameter before it; there are {names}.")
            wrong = [v for v in allowed if v not in known[key].choices]
            if wrong and len(known[key].choices) > 1:  # not one that the command line has settled
                listed = format_value(list(known[key].choices))
                raise UserError(
                    f"sweep.space {p.key}: {key} is never {format_value(wrong[0])}; expected one of {listed}."
                )
        known[p.key] = p


def grid(parameters: Sequence[Parameter]) -> list[Values]:
    """Each combination once, the last parameter varying fastest; without those that do not count."""
    points: list[Values] = [{}]
    for p in parameters:
        points = [
            {**point, **({p.key: value} if counts else {})}
            for point in points
            for counts in [p.counts(point)]
            for value in (p.grid() if counts else [None])
        ]
    return points


def suggest(trial: Any, parameters: Sequence[Parameter]) -> Values:
    """The values of a trial: those it has already, or new ones."""
    values: Values = {}
    for p in parameters:
        if p.counts(values):
            values[p.key] = p.suggest(trial)
    return values


def stored(values: Values, parameters: Sequence[Parameter]) -> Values:
    """The values as Optuna keeps them."""
    by_key = {p.key: p for p in parameters}
    return {key: format_value(value) if by_key[key].choices else value for key, value in values.items()}


def lines(values: Values) -> list[str]:
    """The values as options of the command line."""
    return [f"{key}={written(value)}" for key, value in values.items()]


def written(value: Any) -> str:
    """A value in the grammar of the command line."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, str) and not re.fullmatch(r"[\w./+-]+", value):
        return quote(value)
    return format_value(value)
