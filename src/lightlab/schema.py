"""What a value may be, by the name of its key: the same name means the same thing wherever it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig


@dataclass(frozen=True)
class Number:
    """An integer or a float in [low, high]; `open` leaves both ends out. None is allowed where `optional`."""

    type: type
    low: float = -math.inf
    high: float = math.inf
    open: bool = False
    optional: bool = False
    words: tuple[str, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        """One sentence about what is wrong with `value`, or None."""
        if value is None:
            return None if self.optional else f"{key} is empty; expected {self.expected()}."
        if isinstance(value, str) and value in self.words:
            return None
        number = self.coerce(value)
        if not isinstance(number, int | float) or isinstance(number, bool):
            return f"{key}={value}: expected {self.expected()}."
        inside = self.low < number < self.high if self.open else self.low <= number <= self.high
        return None if inside else f"{key}={value} is out of range; expected {self.expected()}."

    def coerce(self, value: Any) -> Any:
        """The number that `value` means ('1e-3' -> 0.001, '10' -> 10); anything else is returned as it is."""
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value in self.words:
            return value
        try:
            number = float(value)
        except ValueError:
            return value
        if self.type is float:
            return number
        return int(number) if number.is_integer() and not (isinstance(value, str) and "." in value) else str(value)

    def expected(self) -> str:
        noun = "an integer" if self.type is int else "a number"
        low, high = (str(int(x)) if math.isfinite(x) and x == int(x) else str(x) for x in (self.low, self.high))
        if math.isfinite(self.low) and math.isfinite(self.high):
            span = f" {'between' if self.open else 'from'} {low} {'and' if self.open else 'to'} {high}"
        elif math.isfinite(self.low):
            span = f" above {low}" if self.open else f" of at least {low}"
        else:
            span = ""
        return noun + span + "".join(f" or {word}" for word in self.words)


COUNT = Number(int, 1)
COUNT_OR_NONE = Number(int, 1, optional=True)
SHARE = Number(float, 0, 1)
POSITIVE = Number(float, 0, open=True)
NOT_NEGATIVE = Number(float, 0)
LIMIT = Number(float, 0, optional=True)

RULES: dict[str, Number] = {
    "seed": Number(int, 0, 2**32 - 1),
    # data
    "num_classes": COUNT_OR_NONE,
    "channels": Number(int, 1, 4),
    "image_size": COUNT,
    "batch_size": COUNT_OR_NONE,
    "eval_batch_size": COUNT,
    "num_workers": Number(int, 0, 256),
    "val_fraction": Number(float, 0, 0.9),
    "crop_padding": Number(int, 0),
    "cutout": Number(int, 0),
    "mixup": NOT_NEGATIVE,
    "cutmix": NOT_NEGATIVE,
    # model
    "dropout": SHARE,
    "drop_connect": Number(float, 0, 0.999),
    "label_smoothing": Number(float, 0, 0.999),
    "depth": COUNT,
    "width": COUNT,
    "patch_size": COUNT,
    # optimizer and schedule
    "lr": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "momentum": Number(float, 0, 0.99999),
    "warmup": SHARE,
    "final": SHARE,
    "rise": SHARE,
    "factor": Number(float, 0, 1, open=True),
    "patience": Number(int, 0),
    # trainer
    "num_nodes": COUNT,
    "devices": Number(int, 1, words=("all", "auto")),
    "max_epochs": Number(int, 1, optional=True),
    "max_steps": Number(int, -1),
    "accumulate_grad_batches": COUNT,
    "gradient_clip_val": Number(float, 0, optional=True),
    "limit_train_batches": LIMIT,
    "limit_val_batches": LIMIT,
    "limit_test_batches": LIMIT,
    "check_val_every_n_epoch": COUNT,
    "log_every_n_steps": COUNT,
    # callbacks
    "decay": SHARE,
    "every_n_minutes": Number(float, 0, open=True, optional=True),
    "every_n_steps": COUNT_OR_NONE,
}


def type_problem(key: str, current: Any, value: Any) -> str | None:
    """Does `value` fit where `current` stands? One sentence, or None. A key with a rule is judged by the rule."""
    leaf = key.rpartition(".")[2]
    if leaf in RULES:
        return RULES[leaf].problem(key, value)
    if current is None or value is None or isinstance(value, str) and "${" in value:
        return None
    if isinstance(current, bool):
        return None if isinstance(value, bool) else f"{key}={value}: expected true or false."
    if isinstance(current, int | float):
        return Number(float if isinstance(current, float) else int).problem(key, value)
    if isinstance(current, ListConfig) and not isinstance(value, list):
        return f"{key}={value}: expected a list such as [{','.join(map(str, current))}]."
    if isinstance(current, DictConfig) and not isinstance(value, dict):
        return f"{key}={value}: expected options, {key}.<option>=<value>; it has {', '.join(map(str, current))}."
    if isinstance(current, str) and isinstance(value, dict | list):
        return f"{key}={value}: expected a single value such as {current}."
    return None
