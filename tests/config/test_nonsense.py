"""Overrides that no one can mean, made of every key of a configuration: each is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import compose
from omegaconf import DictConfig, ListConfig, OmegaConf

from lightloom.config import compose as config
from lightloom.config import overrides
from lightloom.config.annotations import may_be_mapping
from lightloom.config.rules import rule_for

CHOICES = {
    "train": (
        "model=lenet",
        "model=gan",
        "model=yolo data=digit_scenes",
        "data=image_folder trainer=ddp_cpu scheduler=plateau",
    ),
    "eval": ("",),
    "predict": ("",),
    "export": ("",),
    "sweep": ("",),
}
HUGE = 999999999999999999999


def keys(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each dotted key with its value, those of Hydra aside; values that are interpolations as they resolve."""
    for key in node if isinstance(node, DictConfig) else ():
        where = f"{path}.{key}" if path else str(key)
        if where == "hydra" or OmegaConf.is_missing(node, key):
            continue
        yield where, node[key]
        yield from keys(node[key], where)


def nonsense(key: str, value: Any, taker: str | None) -> Iterator[str]:
    if not isinstance(value, DictConfig):
        yield f"+{key}.extra=null"
        yield f"+{key}.extra={{}}"
    if value is not None or not may_be_mapping(taker, key.rpartition(".")[2]):
        yield f"{key}={{}}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from (f"{key}={wrong}" for wrong in ("inf", "nan", "[]", f"-{HUGE}"))
        rule = rule_for(key, taker)
        yield from (f"{key}={wrong}" for wrong in (HUGE, "1e30") if getattr(rule, "type", type(value)) is int)
    elif isinstance(value, str) and taker is None and not key.startswith("sweep.submitit"):  # which knows best
        yield f"{key}=[a,b]"
    elif isinstance(value, ListConfig):
        yield from (f"{key}=3", f"{key}=true")
    if "." not in key and isinstance(value, DictConfig | ListConfig):
        yield f"{key}=null"
    if "." not in key or key.endswith(("._target_", "._partial_")) or key == "data.kind":
        yield f"~{key}"


@pytest.mark.parametrize(("name", "choice"), [(name, choice) for name in CHOICES for choice in CHOICES[name]])
def test_nonsense_is_refused(name, choice):
    cfg = compose(*choice.split(), config_name=name)
    taken, tried = [], 0
    for key, value in keys(cfg):
        if config.is_group(key, None):
            continue
        for line in nonsense(key, value, overrides.taker_of(cfg, key)):
            (override,), problems = config.parse([line])
            said = [*problems, *overrides.problems(cfg, override)]
            tried += 1
            taken += [line] if not said or any("\n" in one for one in said) else []
    assert not taken
    assert tried > len(cfg)


def test_what_may_be_left_out_may():
    """Objects of callbacks and loggers, and options that have a default in their constructor."""
    config.check("train", ["model=lenet", "~callbacks.misclassified", "~logger.csv", "~model.network.norm"])
    config.check("train", ["model=lenet", "~trainer.max_epochs", "~data.augment.flip", "callbacks.misclassified=null"])


def test_a_yaml_file_is_judged_as_a_line_is(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.yaml").write_text(
        "defaults: [digits, _self_]\nclasses: {}\nbatch_size: 999999999999999999999\n"
    )
    with pytest.raises(config.UserError) as caught:
        config.check("train", ["data=mine"], str(tmp_path))
    assert {line.partition("=")[0] for line in str(caught.value).splitlines()} == {"data.batch_size", "data.classes"}
