"""Write the best trial's options to configs/experiment, so that `experiment=best_<name>` repeats its first run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from lightloom.config import compose
from lightloom.config.values import format_value
from lightloom.core import atomic_io, places
from lightloom.core.errors import UserError
from lightloom.core.redaction import redact_options
from lightloom.sweeps import space
from lightloom.sweeps.plan import Plan

REPLACES = "  - override "  # of a line in a defaults list


def path_of(plan: Plan) -> Path:
    """Where it is written: among the experiments, those of --config-dir where that is given."""
    root = Path(plan.config_dir) if plan.config_dir else (places.OWN or places.CONFIGS)
    return root / "experiment" / f"best_{plan.name}.yaml"


def check_free(plan: Plan) -> None:
    """Raise UserError where another file has the name: only what this sweep has written there is replaced."""
    path = path_of(plan)
    written = (plan.folder / path.name, _older(plan))  # the older one where the last command was killed between the two
    if path.is_file() and not any(own.is_file() and own.read_bytes() == path.read_bytes() for own in written):
        raise UserError(
            f"{path} is there, and not as this sweep has written it; rename it, or choose another sweep.name=<name>."
        )


def write(plan: Plan, values: space.Values, about: str) -> Path:
    """Write the file, and a copy in the sweep's folder; what it says of the trial is `about`."""
    path, content = path_of(plan), text(plan, values, about)
    check_free(plan)
    with atomic_io.replacing(plan.folder / path.name, older=_older(plan)) as own:
        own.write(content.encode())
    atomic_io.write_text(path, content)
    _older(plan).unlink(missing_ok=True)
    return path


def _older(plan: Plan) -> Path:
    return plan.folder / f"previous_{path_of(plan).name}"


def text(plan: Plan, values: space.Values, about: str) -> str:
    """The experiment: the groups that were chosen, then the values."""
    lines = [*plan.overrides, *space.lines(values), *([f"seed={plan.seed}"] if plan.seed else [])]
    parsed, _ = compose.parse([compose.literal(line) for line in lines])
    groups = [o for o in parsed if compose.is_group(o.key_or_group, plan.config_dir)]
    options = [o for o in parsed if o not in groups]
    unsaid = [o for o in parsed if o.key_or_group == "debug" or (o in options and o.is_delete())]
    head = ["# @package _global_", f"# Best of sweep {plan.name}: {about}."]
    head += [f"# No file can say: {' '.join(str(o.input_line) for o in unsaid)}"] if unsaid else []
    defaults = _defaults([o for o in groups if o not in unsaid])
    return "\n".join([*head, *defaults, "", _yaml([o for o in options if o not in unsaid])])


def _defaults(groups: Sequence[Override]) -> list[str]:
    """The defaults list: what the experiment is built on, itself, then the choices that it replaces."""
    chosen = [line for override in groups for line in _chosen(override)]
    replaced = [line for line in chosen if line.startswith(REPLACES)]
    return ["defaults:", *(line for line in chosen if line not in replaced), "  - _self_", *replaced]


def _yaml(options: Sequence[Override]) -> str:
    """The values of single options, nested; a login or a token is left out."""
    nested: dict[str, Any] = {}
    for override in options:
        _put(nested, override.key_or_group.split("."), override.value())
    return OmegaConf.to_yaml(OmegaConf.create(redact_options(nested))) if nested else ""


def _put(node: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        node = node.setdefault(key, {})
    node[keys[-1]] = value


def _chosen(override: Override) -> list[str]:
    """The lines of the defaults list for the choice of a group. Another experiment is what this one builds on."""
    value = None if override.is_delete() else override.value()
    if override.key_or_group == "experiment":
        return [f"  - {name}" for name in (value if isinstance(value, list) else [value]) if name]
    return [f"{REPLACES}/{override.get_key_element().lstrip('+~')}: {format_value(value)}"]
