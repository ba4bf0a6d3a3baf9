"""Parse the command line of sweep.py into a plan, checked before the first trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from lightloom.config import compose
from lightloom.config.command_line import quote, refuse
from lightloom.config.hydra_internals import command_line_parser
from lightloom.core.errors import UserError, raise_all
from lightloom.engine.recognised import settle_data
from lightloom.sweeps import folds, space
from lightloom.sweeps.space import Parameter, Values

MAY_CHANGE = ("n_trials", "n_jobs", "launcher", "prefix", "gpus", "submitit", "ray", "timeout_minutes")
OF_ITSELF = ("key", "kind")  # of a parameter: what its option says anyway


@dataclass(frozen=True)
class Plan:
    """A sweep: options that all trials have, parameters that differ, and how to search.

    overrides: of train.py. monitor: the metric that results are compared by, mode: min or max. seed: of the first run
    of each trial. settings: configs/sweep/default.yaml says what there is. folder: of all that the sweep writes.
    """

    name: str
    overrides: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    settings: dict[str, Any]
    monitor: str
    mode: str
    seed: int
    folder: Path
    config_dir: str | None = None

    def identity(self) -> dict[str, Any]:
        """What must be the same when the sweep is continued."""
        described = {p.key: {k: v for k, v in vars(p).items() if v and k not in OF_ITSELF} for p in self.parameters}
        kept = {k: v for k, v in self.settings.items() if k not in (*MAY_CHANGE, "name", "space", "overrides")}
        return {"overrides": sorted(self.overrides), "space": described, "seed": self.seed, **kept}

    def command(self, values: Values, seed: int, run: Path) -> list[str]:
        """The options of train.py for one run."""
        own = [*self.overrides, *space.lines(values), f"hydra.run.dir={quote(str(run))}"]
        return [*([f"--config-dir={self.config_dir}"] if self.config_dir else []), *own, *self.seed_line(values, seed)]

    def seed_line(self, values: Values, seed: int) -> list[str]:
        return [] if "seed" in values else [f"seed={seed}"]

    def seeds(self) -> list[int]:
        return [self.seed + i for i in range(self.settings["seeds"])]

    def grid(self) -> list[Values] | None:
        """Each trial of a grid, None for a search that draws them."""
        return space.grid(self.parameters) if self.settings["sampler"] == "grid" else None


def read(arguments: Sequence[str]) -> Plan:
    """The plan that the command line describes; raises UserError with every mistake in it."""
    parser = command_line_parser()
    parser.error = refuse  # type: ignore[method-assign]
    parsed = parser.parse_intermixed_args(list(arguments))
    flags = [a for a in arguments if a not in (*parsed.overrides, parsed.config_dir)]
    if wrong := [flag for flag in flags if not flag.startswith("--config-dir")]:
        refuse(f"{wrong[0]}: sweep.py takes options, --config-dir and --help only")
    overrides = [part for o in parsed.overrides for part in folds.expanded(o)]
    own = [o for o in overrides if o.partition("=")[0].lstrip("+~").partition(".")[0] == "sweep"]
    given = [compose.expand_shorthand(o) for o in overrides if o not in own]
    given = settle_data(given, "train", parsed.config_dir)
    settings = _settings(own, parsed.config_dir)
    fixed, parameters = _merged(settings, [*given, *folds.options(settings["folds"])])
    return _checked(settings, fixed, parameters, parsed.config_dir)


def _settings(own: list[str], config_dir: str | None) -> dict[str, Any]:
    """What configs/sweep/<name>.yaml and the options sweep.* say."""
    cfg = compose.compose("sweep", compose.check("sweep", own, config_dir), config_dir)
    chosen = cfg.hydra.runtime.choices.sweep
    settings: Any = OmegaConf.to_container(cfg.sweep, resolve=True)
    return {**settings, "name": settings["name"] or chosen, "prefix": settings["prefix"] or []}


def _merged(settings: dict[str, Any], given: list[str]) -> tuple[list[str], list[Parameter]]:
    """(options that all trials have, what differs); the command line goes before the YAML."""
    own = [compose.expand_shorthand(str(o)) for o in settings["overrides"] or []]
    parsed, problems = compose.parse([compose.literal(o) for o in [*own, *given]])
    raise_all(problems)
    last: dict[str, Override] = {o.get_key_element().lstrip("+~"): o for o in parsed}
    in_yaml = {compose.expand_shorthand(str(k)): v for k, v in (settings["space"] or {}).items()}
    parameters = {key: space.parameter(key, spec) for key, spec in in_yaml.items()}
    for key, override in last.items():
        if override.is_sweep_override():
            parameters[key] = space.from_override(override)
        elif key in parameters:
            parameters[key] = Parameter(key, (override.value(),), when=parameters[key].when)
    fixed = [str(o.input_line) for key, o in last.items() if key not in parameters]
    return fixed, list(parameters.values())


def _checked(settings: dict[str, Any], fixed: list[str], parameters: list[Parameter], config_dir: str | None) -> Plan:
    if not parameters:
        raise UserError(
            "there is nothing to try: choose a sweep (sweep=learning_rate), or give an option several values, such as "
            "model.optimizer.lr=tag(log,interval(1e-4,1e-1)) or model=lenet,nin."
        )
    space.check_conditions(parameters)
    raise_all(_conflicts(settings, fixed, parameters))
    cfg: Any = None
    monitor: dict[tuple[str, str], str] = {}
    for point in _choices_of_groups(parameters, config_dir):
        groups = space.lines(point)
        rest = [p for p in parameters if p.key not in point and _may_count(p, point, parameters)]
        swept = [f"{p.key}={','.join(map(space.written, p.samples()))}" for p in rest]
        checked = compose.check("train", [*fixed, *groups, *swept], config_dir)
        cfg = compose.compose("train", checked[: len(fixed) + len(groups)], config_dir)
        monitor.setdefault((cfg.monitor.metric, cfg.monitor.mode), " ".join(groups))
        parameters = [p if p.kind else space.typed(p, cfg) for p in parameters]
    if len(monitor) > 1:
        (one, first), (other, second) = list(monitor.items())[:2]
        raise UserError(
            f"{first} is judged by {one[0]} and {second} by {other[0]}: these cannot be compared; sweep over each."
        )
    if settings["pruner"] != "none" and not _has_csv(cfg):
        raise UserError(f"sweep.pruner={settings['pruner']} reads metrics.csv, which no logger writes; add logger=csv.")
    raise_all(_without_a_step(settings, parameters))
    ((metric, mode),) = monitor
    folder = Path(cfg.paths.log_dir) / "sweeps" / settings["name"]
    return Plan(
        settings["name"], tuple(fixed), tuple(parameters), settings, metric, mode, int(cfg.seed), folder, config_dir
    )


def _conflicts(settings: dict[str, Any], fixed: list[str], parameters: list[Parameter]) -> Iterator[str]:
    names = {o.partition("=")[0].lstrip("+~"): o for o in fixed}
    for key in ("hydra.run.dir", "resume", "run_name"):
        if key in names:
            yield f"{names[key]}: each run of a sweep has a folder of its own below logs/sweeps; leave it out."
    if "ckpt_path" in names and names.get("weights_only_init") != "weights_only_init=true":
        yield f"{names['ckpt_path']}: a sweep starts its runs anew; add weights_only_init=true for its weights."
    if settings["seeds"] > 1 and any(p.key == "seed" for p in parameters):
        yield f"sweep.seeds={settings['seeds']}: the space has seeds of its own; set sweep.seeds=1."
    if settings["sampler"] != "grid" and settings["n_trials"] is None:
        yield f"sweep.n_trials is null: sampler {settings['sampler']} would never end; set sweep.n_trials=20."


def _without_a_step(settings: dict[str, Any], parameters: Sequence[Parameter]) -> Iterator[str]:
    """What a grid cannot list."""
    for p in parameters if settings["sampler"] == "grid" else ():
        try:
            p.grid()
        except UserError as error:
            yield str(error)


def _choices_of_groups(parameters: Sequence[Parameter], config_dir: str | None) -> list[Values]:
    """What can be chosen of the groups in the space: the first of all, and what differs from it in one choice."""
    groups = [p for p in parameters if compose.is_group(p.key.partition("@")[0], config_dir)]
    named = {p.key for p in groups}
    first, *others = space.grid([p for p in groups if set(p.when) <= named])
    near = [point for point in others if sum(point[key] != first[key] for key in point.keys() & first.keys()) <= 1]
    return [first, *near][: compose.MAX_COMBINATIONS]


def _may_count(p: Parameter, point: Values, parameters: Sequence[Parameter]) -> bool:
    """Can the parameter be active beside this choice of groups?"""
    groups = {q.key for q in parameters if q.key in point}
    return all(point[key] in allowed for key, allowed in p.when.items() if key in groups)


def _has_csv(cfg: Any) -> bool:
    return any("CSVLogger" in str(c.get("_target_")) for c in (cfg.get("logger") or {}).values() if c)


def changed(recorded: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The settings in which two plans differ, with both values."""
    return [f"{k}: {recorded.get(k)} -> {now.get(k)}" for k in {**recorded, **now} if recorded.get(k) != now.get(k)]
