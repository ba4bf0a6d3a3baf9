"""What a value may be, by how its key ends: the same name means the same thing wherever it stands."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from lightloom.core.errors import did_you_mean

SOURCE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Number:
    """An integer or a float in [low, high], both ends left out where `open`; or one of the values in `also`."""

    type: type
    low: float = -math.inf
    high: float = math.inf
    open: bool = False
    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        """One sentence about what is wrong with `value`, or None."""
        if value in self.also:
            return None
        number = self.coerce(value)
        if isinstance(number, bool) or not isinstance(number, int | float):
            return f"{key}={format_value(value)}: expected {self.expected()}."
        if self.type is int and isinstance(number, float):
            return f"{key}={value}: expected {self.expected()}."
        inside = self.low < number < self.high if self.open else self.low <= number <= self.high
        return None if inside else f"{key}={value} is out of range; expected {self.expected()}."

    def coerce(self, value: Any) -> Any:
        """The number that `value` means ('1e-3' -> 0.001, 1e3 -> 1000 for an integer), else `value` itself."""
        if value in self.also:
            return value
        number = _number(value) if isinstance(value, str) else value
        whole = isinstance(number, float) and number.is_integer()
        return int(number) if whole and self.type is int else number

    def expected(self) -> str:
        noun = "an integer" if self.type is int else "a number"
        low, high = (f"{x:.15g}" for x in (self.low, self.high))
        span = ""
        if math.isfinite(self.high):
            span = f" between {low} and {high}" if self.open else f" from {low} to {high}"
        elif math.isfinite(self.low):
            span = f" above {low}" if self.open else f" of at least {low}"
        *most, last = [noun + span, *map(format_value, self.also)]
        return f"{', '.join(most)} or {last}" if most else last


class BatchCount(Number):
    """So many batches (an integer), or that share of them (a float)."""

    def problem(self, key: str, value: Any) -> str | None:
        if isinstance(share := self.coerce(value), float) and (0 < share <= 1 or share == self.low == 0):
            return None
        return super().problem(key, value)

    def coerce(self, value: Any) -> Any:
        return _number(value) if isinstance(value, str) else value

    def expected(self) -> str:
        least = " of at least 1" if self.low else ""
        return f"so many batches (an integer{least}) or a share of them (a float from 0 to 1)"


class Devices(Number):
    """How many, or a list of which."""

    def problem(self, key: str, value: Any) -> str | None:
        if isinstance(value, list | ListConfig) and value:
            return next((p for v in value if (p := Number(int, 0).problem(key, v))), None)
        return super().problem(key, value)


@dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]
    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        if value in self.also or str(value) in self.words:
            return None
        known = [*self.words, *(format_value(v) for v in self.also if v is None or isinstance(v, bool))]
        return f"{key}={format_value(value)}: expected {', '.join(known)}.{did_you_mean(str(value), self.words)}"

    def coerce(self, value: Any) -> Any:
        return value


@dataclass(frozen=True)
class Text:
    """Words of the form of `pattern`; what that form is, in words."""

    pattern: str
    form: str
    also: tuple[Any, ...] = ()

    def problem(self, key: str, value: Any) -> str | None:
        if value in self.also or (value is not None and re.fullmatch(self.pattern, str(value))):
            return None
        return f"{key}={format_value(value)}: expected {self.form}."

    def coerce(self, value: Any) -> Any:
        return value


COUNT = Number(int, 1)
SHARE = Number(float, 0, 1)
POSITIVE = Number(float, 0, open=True)
NOT_NEGATIVE = Number(float, 0)
LIMIT = BatchCount(int, 0, also=(None,))
PLACE = Text(".*\\S.*", "a folder")

RULES: dict[str, Number | OneOf | Text] = {
    ".seed": Number(int, 0, 2**32 - 1),
    ".resume": OneOf(("auto", "never", "must")),
    ".run_name": Text(
        r"(?!/)(?!(.*/)?\.\.(/|$)).*\S.*", "a name for the run's folder in logs/runs, such as run_name=first"
    ),
    "sweep.name": Text(r"[\w.-]+", "a name for a folder, such as sweep.name=first", also=(None,)),
    "sweep.sampler": OneOf(("grid", "random", "tpe")),
    "sweep.n_trials": Number(int, 1, also=(None,)),
    "sweep.seeds": COUNT,
    "sweep.pruner": OneOf(("none", "median", "halving")),
    "sweep.prune_after": COUNT,
    "sweep.prune_startup": COUNT,
    "sweep.n_jobs": COUNT,
    "sweep.launcher": OneOf(("local", "submitit")),
    ".split": OneOf(("train", "val", "test"), also=(None,)),
    "paths.data_dir": PLACE,
    "paths.log_dir": PLACE,
    "paths.output_dir": PLACE,
    "hydra.run.dir": PLACE,
    "hydra.sweep.dir": PLACE,
    # data
    ".num_classes": Number(int, 1, also=(None,)),
    ".channels": Number(int, 1, 3),
    ".image_size": COUNT,
    "data.batch_size": COUNT,
    ".batch_size": Number(int, 1, also=(None,)),  # null: as the data says
    ".eval_batch_size": COUNT,
    ".num_workers": Number(int, 0, 256),
    ".val_fraction": Number(float, 0, 0.9),
    "augment.crop_padding": Number(int, 0),
    "augment.cutout": Number(int, 0),
    "augment.flip_order": OneOf(("random", "alternating")),
    "augment.mixup": NOT_NEGATIVE,
    "augment.colour": NOT_NEGATIVE,
    "augment.iou_crop": SHARE,
    "augment.mosaic": SHARE,
    "reader.train_size": COUNT,
    "reader.val_size": COUNT,
    "reader.test_size": COUNT,
    ".max_digits": COUNT,
    ".out_channels": COUNT,
    ".min_score": SHARE,
    ".low_score": SHARE,
    ".format": OneOf(("coco", "voc", "yolo", "csv", "onnx", "torch_export", "safetensors"), also=(None,)),
    ".tolerance": POSITIVE,
    # tracks in a video
    "tracking.overlap": SHARE,
    "tracking.patience": NOT_NEGATIVE,
    "smoothing.lag": Number(int, 0),
    "smoothing.tracking_index": POSITIVE,
    "smoothing.size_index": POSITIVE,
    "smoothing.min_cutoff": POSITIVE,
    "smoothing.d_cutoff": POSITIVE,
    ".max_frames": Number(int, 1, also=(None,)),
    ".seconds": Number(float, 0, open=True, also=(None,)),
    "augment.cutmix": NOT_NEGATIVE,
    # model
    ".dropout": SHARE,
    ".drop_connect": Number(float, 0, 0.999),
    ".label_smoothing": Number(float, 0, 0.999),
    "network.patch_size": COUNT,
    "network.patch": COUNT,
    "network.stride": COUNT,
    ".bias_lr": POSITIVE,
    "model.test_views": OneOf(("none", "flip", "flip_and_shift")),
    "network.activation": OneOf(("gelu", "relu", "silu")),
    ".n_critic": COUNT,
    ".latent_dim": COUNT,
    "generator.width": COUNT,
    "discriminator.width": COUNT,
    "encoder.width": COUNT,
    "decoder.width": COUNT,
    "model.gradient_clip_val": Number(float, 0, open=True, also=(None,)),
    "penalty.weight": NOT_NEGATIVE,
    "constraint.limit": POSITIVE,
    ".gamma": NOT_NEGATIVE,
    ".beta": NOT_NEGATIVE,
    ".code_penalty": NOT_NEGATIVE,
    ".weight_penalty": NOT_NEGATIVE,
    "corruption.level": NOT_NEGATIVE,
    ".iwae_samples": COUNT,
    ".every_n_epochs": COUNT,
    "interpolation.steps": Number(int, 2),
    "interpolation.pairs": COUNT,
    "filmstrip.frames": COUNT,
    "filmstrip.rows": COUNT,
    ".num_images": COUNT,
    "misclassified.per_pair": COUNT,
    "misclassified.most": COUNT,
    "misclassified.side": COUNT,
    ".num_samples": Number(int, 1, also=(None,)),
    ".val_samples": Number(int, 2),
    ".test_samples": Number(int, 2),
    # optimizer and schedule
    ".lr": POSITIVE,
    ".weight_decay": NOT_NEGATIVE,
    "optimizer.momentum": Number(float, 0, 0.99999),
    "scheduler.warmup": SHARE,
    "scheduler.final": SHARE,
    "scheduler.start": SHARE,
    "scheduler.rise": SHARE,
    "scheduler.factor": Number(float, 0, 1, open=True),
    "scheduler.patience": Number(int, 0),
    # trainer
    "trainer.accelerator": OneOf(("auto", "cpu", "gpu", "mps"), also=("cuda",)),
    "trainer.precision": OneOf(
        ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"),
        also=(None, 16, 32, 64, "16", "32", "64", "bf16", "transformer-engine", "transformer-engine-float16"),
    ),
    "trainer.loop": OneOf(("fast", "lightning")),
    "trainer.num_nodes": COUNT,
    "trainer.devices": Devices(int, 1, also=("all", "auto", -1)),
    "trainer.max_epochs": Number(int, 1, also=(-1, None)),
    "trainer.min_epochs": Number(int, 1, also=(None,)),
    "trainer.max_time": Text(r"\d+:\d\d:\d\d:\d\d|\{.*\}", "DD:HH:MM:SS, days to seconds, or null", also=(None,)),
    "trainer.max_steps": Number(int, 1, also=(-1,)),
    "trainer.min_steps": Number(int, 1, also=(None,)),
    "trainer.accumulate_grad_batches": COUNT,
    "trainer.gradient_clip_val": Number(float, 0, also=(None,)),
    "trainer.limit_train_batches": BatchCount(int, 1, also=(None,)),
    "trainer.limit_val_batches": LIMIT,
    "trainer.limit_test_batches": LIMIT,
    "trainer.limit_predict_batches": LIMIT,
    "trainer.overfit_batches": LIMIT,
    "trainer.check_val_every_n_epoch": Number(int, 1, also=(None,)),
    "trainer.log_every_n_steps": Number(int, 0, also=(None,)),
    "trainer.fast_dev_run": Number(int, 1, also=(True, False)),
    "trainer.deterministic": OneOf(("warn",), also=(True, False, None)),
    "trainer.benchmark": OneOf((), also=(True, False, None)),
    # callbacks
    "monitor.mode": OneOf(("min", "max")),
    "augment.crop_mode": OneOf(("constant", "reflect")),
    "model.init": OneOf(("default", "xavier", "he")),
    "model.attention": OneOf(("none", "se", "cbam", "eca")),
    "ema.decay": SHARE,
    "early_stopping.patience": Number(int, 0),
    "preemption.seconds_to_agree": POSITIVE,
    "checkpoint.every_n_minutes": Number(float, 0, open=True, also=(None,)),
    "checkpoint.every_n_steps": Number(int, 1, also=(None,)),
}


@cache
def rule_for(key: str) -> Number | OneOf | Text | None:
    """The rule of the values of a dotted key, or None."""
    return next((rule for ending, rule in RULES.items() if f".{key}".endswith(ending)), None)


def type_problem(key: str, current: Any, value: Any) -> str | None:
    """Does `value` fit where `current` stands? One sentence, or None. A key with a rule is judged by the rule."""
    if isinstance(value, str) and "${" in value:
        return None
    if rule := rule_for(key):
        return rule.problem(key, value)
    if isinstance(current, bool):
        return None if isinstance(value, bool) else f"{key}={format_value(value)}: expected true or false."
    if current is None or value is None:
        return None
    if isinstance(current, int | float):
        return _number_problem(key, [current], value)
    if isinstance(current, ListConfig):
        if not isinstance(value, list):
            return f"{key}={format_value(value)}: expected a list such as {format_value(current)}."
        return next((p for v in value if (p := _number_problem(key, current, v))), None)
    if isinstance(current, DictConfig) and not isinstance(value, dict):
        known = ", ".join(map(str, current))
        return f"{key}={format_value(value)}: expected options, {key}.<option>=<value>; it has {known}."
    return None


def _number_problem(key: str, examples: Any, value: Any) -> str | None:
    """A number where the examples are numbers, an integer where all are."""
    if not examples or not all(isinstance(e, int | float) and not isinstance(e, bool) for e in examples):
        return None
    rule = Number(float if any(isinstance(e, float) for e in examples) else int)
    if isinstance(value, str) or (isinstance(value, float) and rule.type is int):  # only a rule's values are coerced
        return f"{key}={format_value(value)}: expected {rule.expected()}."
    return rule.problem(key, value)


def format_value(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(format_value, value))}]" if isinstance(value, list | ListConfig) else str(value)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@cache
def options_of(target: str) -> tuple[str, ...] | None:
    """The options that a class or function of lightloom takes, read from its source: importing it would load torch.

    None for an object of another package, and for one that takes any option.
    """
    module, _, name = target.rpartition(".")
    file = SOURCE / f"{module.replace('.', '/')}.py"
    if not target.startswith("lightloom.") or not file.is_file():
        return None
    found = _definition(ast.parse(file.read_text(encoding="utf-8")), name)
    if isinstance(found, ast.ClassDef):
        found = _definition(found, "__init__")
    if not isinstance(found, ast.FunctionDef) or found.args.kwarg:
        return None
    return tuple(a.arg for a in (*found.args.args, *found.args.kwonlyargs) if a.arg != "self")


def _definition(node: ast.Module | ast.ClassDef, name: str) -> ast.stmt | None:
    return next((n for n in node.body if getattr(n, "name", None) == name), None)
