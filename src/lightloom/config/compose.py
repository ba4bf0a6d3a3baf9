"""Compose the configuration by Hydra, and check all of it before anything heavy is imported.

Hydra stops at the first mistake and shows its own inside. `check` finds all of them: groups, keys, types, ranges and
kinds. It needs neither torch nor the data, so a typing error answers at once.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, read_write
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException
from yaml import YAMLError

from lightloom.config import habits, null_facts, search_path
from lightloom.config import overrides as keys
from lightloom.config.annotations import options_class, options_of
from lightloom.config.command_line import quote
from lightloom.config.declarations import optimizes_manually, ways_to_predict
from lightloom.config.foreign import literal as hidden
from lightloom.config.hydra_internals import apply_overrides, completed, parse_files_once
from lightloom.config.rules import rule_for
from lightloom.config.values import Text, format_value
from lightloom.core.environment import variable
from lightloom.core.errors import UserError, did_you_mean, raise_all
from lightloom.core.places import CONFIG_FOLDERS, CONFIGS, ROOT
from lightloom.core.run_dir import RUN_TIME

PARTS = {"optimizer": "model", "scheduler": "model", "tokens": "data"}  # groups that choose a part of any such
PUBLISHED = {name: {"model": "published"} for name in ("predict", "serve")}  # which train nothing
PUBLISHED["predict"] |= {"tokens": "num_tokens"}  # how many are written
NEEDED = ("model", "data", "trainer", "paths", "optimizer")  # groups of which a run has exactly one
PLACED = re.compile(r"^ *- /(\w+)(@[\w.]+): ", re.MULTILINE)  # a part in the defaults of a YAML file
UNJUDGED = ("hydra", "sweep.space")  # Hydra judges its own; a space holds what values may be, no values
MAX_COMBINATIONS = 32  # of a sweep's groups that are checked before its first run


search_path.register()
parse_files_once()


def register_resolvers(config_name: str) -> None:
    """Register the resolvers of YAML files.

    `${project_root:}`, `${config_name:}`, `${run_time:}`, `${environment:NAME,default}`, `${twice:...}`; whether the
    model uses manual optimization: `${alternating:}`.
    """
    now = variable(RUN_TIME) or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for name, value in {"project_root": str(ROOT), "config_name": config_name, "run_time": now}.items():
        OmegaConf.register_new_resolver(name, lambda value=value: value, replace=True)
    OmegaConf.register_new_resolver("alternating", lambda _root_: _is_alternating(_root_), replace=True)
    OmegaConf.register_new_resolver("environment", variable, replace=True)
    OmegaConf.register_new_resolver("twice", lambda value: 2 * int(value), replace=True)


def _is_alternating(cfg: DictConfig) -> bool:
    """Does the model's module use manual optimization? Its class says so; a command without a model has none."""
    target = OmegaConf.select(cfg, "model._target_")
    return target is not None and optimizes_manually(str(target))


def compose(config_name: str, overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """The configuration that Hydra would hand to the entry point, outside a Hydra run (checks, tests)."""
    register_resolvers(config_name)
    search = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        cfg = hydra_compose(config_name, [*overrides, *search], return_hydra_config=True)
    settle_output_dir(cfg)
    OmegaConf.set_struct(cfg, False)
    return cfg


def settle_output_dir(cfg: DictConfig) -> None:
    """Make the configuration Hydra's own, and its folder that of a run which begins now."""
    with read_write(cfg.hydra), read_write(cfg.hydra.job), read_write(cfg.hydra.runtime):
        cfg.hydra.job.num, cfg.hydra.runtime.output_dir = 0, "."
    HydraConfig.instance().set_config(cfg)
    with read_write(cfg.hydra), read_write(cfg.hydra.runtime):
        cfg.hydra.runtime.output_dir = cfg.hydra.run.dir


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy with interpolations resolved and Hydra's own part left out, values coerced to their rule's type.

    What hangs on a fact that is null, for only the data knows it, stays an interpolation, and is filled in with it; but
    within the data, which is there before its facts are known, it is null.
    """
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    waiting = [(path, text) for path, text in null_facts.waiting(raw) if path[0] not in ("hydra", "data")]
    for path, _ in waiting:
        null_facts.replace(raw, path, None)
    plain: Any = OmegaConf.to_container(OmegaConf.create(raw), resolve=True)
    plain.pop("hydra", None)
    coerced = hidden(_coerced(plain, ""))
    for path, text in waiting:
        null_facts.replace(coerced, path, text)
    return OmegaConf.create(coerced)


def _coerced(node: Any, key: str, taker: str | None = None) -> Any:
    """Each value that has a rule as the rule's type: '1e-3' becomes 0.001."""
    if isinstance(node, dict):
        below = node.get("_target_") or (options_class(taker, key.rpartition(".")[2]) if taker else None)
        return {k: _coerced(v, f"{key}.{k}", below) for k, v in node.items()}
    rule = rule_for(key.removeprefix("."), taker)
    if rule is None and isinstance(node, list):
        return [_coerced(v, key) for v in node]
    return rule.coerce(node) if rule else node


def expand_shorthand(override: str, config_name: str = "") -> str:
    """`optimizer=sgd` for `optimizer@model.optimizer=sgd`; the same for scheduler and for what a task places.

    Of an entry point that predicts, `model=` is one that is published, and a text is taken as it is typed.
    """
    key, equals, value = override.partition("=")
    group = key.lstrip("+~")
    sign = key[: len(key) - len(group)]
    if config_name == "predict" and group in ways_to_predict("verbatim"):
        value = typed(value)
    known = shorthand() | PUBLISHED.get(config_name, {})
    return sign + known.get(group, group) + equals + value


def typed(text: str) -> str:
    """A text with commas and brackets as one value, unless it is in quotes already, or null."""
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text if is_quoted or text == "null" else quote(text)


@cache
def shorthand() -> dict[str, str]:
    """Group -> `group@place`: of a part of a model or data, and of each `/group@place: choice` in a task's defaults."""
    tasks = (path.read_text(encoding="utf-8") for path in options("task").values())
    placed = {group: group + place for text in tasks for group, place in PLACED.findall(text)}
    return placed | {group: f"{group}@{place}.{group}" for group, place in PARTS.items()}


def check(config_name: str, overrides: Sequence[str], config_dir: str | None = None) -> list[str]:
    """The overrides as Hydra takes them; raises one UserError with every mistake in them and in what they make."""
    return checked(config_name, overrides, config_dir)[0]


def checked(
    config_name: str, overrides: Sequence[str], config_dir: str | None = None
) -> tuple[list[str], DictConfig | None]:
    """As `check`, with the configuration that the overrides make, of a sweep that of one run.

    An option that a constructor of lightloom takes is added where its YAML does not have it (`data.augment.mixup=0.2`),
    and `group=null` leaves a group out.
    """
    if config_dir and not Path(config_dir).is_dir():
        raise UserError(f"--config-dir={config_dir}: there is no such folder; name one with model/, data/, ... in it.")
    lines = [_without_null(config_name, literal(o), config_dir) for o in overrides]
    parsed, problems = parse(lines)
    groups = [o for o in parsed if is_group(o.key_or_group, config_dir)]
    wrong = {id(o): list(_group_problems(config_name, o, config_dir)) for o in groups}
    problems += itertools.chain.from_iterable(wrong.values())
    good = [o for o in groups if not wrong[id(o)]]
    added: set[str] = set()
    cfg: DictConfig | None = None
    for choice in _combinations(good, config_dir):
        found, cfg = _check_values(config_name, choice, [o for o in parsed if o not in groups], config_dir, added)
        problems += found
    raise_all(problems)
    added |= _unknown_to_the_defaults(config_name, good, [o for o in parsed if o not in groups], config_dir)
    lines = [f"++{line}" if line in added else line for line in lines]
    return lines, completed(cfg, parsed, lines) if cfg is not None else None


def _unknown_to_the_defaults(
    config_name: str, groups: list[Override], values: list[Override], config_dir: str | None
) -> set[str]:
    """The overrides that Hydra would refuse: it first composes a sweep over groups without the swept choices."""
    if not any(o.is_sweep_override() for o in groups):
        return set()
    base = compose(config_name, [str(o.input_line) for o in groups if not o.is_sweep_override()], config_dir)
    changed = [o for o in values if not (o.is_delete() or o.is_add() or o.is_force_add())]
    return {str(o.input_line) for o in changed if not keys.exists(base, o.key_or_group)}


def literal(line: str) -> str:
    """The override with its value in quotes where Hydra's grammar has no place for it (é, a second =) as it stands."""
    key, _, value = line.partition("=")
    quoted = f"{key}='{value}'"
    if not value or set(value) & set("'\"()[]{},$") or not parse([line])[1] or parse([quoted])[1]:
        return line
    return quoted


def parse(lines: Sequence[str]) -> tuple[list[Override], list[str]]:
    """Each override as Hydra's grammar reads it, and one sentence about each that it cannot read."""
    parser, parsed, problems = OverridesParser.create(), [], []
    for line in lines:
        key, _, value = line.partition("=")
        try:
            parsed.append(parser.parse_override(line if key else ""))
        except HydraException:
            quoted = f"quote a value with special characters: '{key}=\"{value}\"'"
            remedy = quoted if value else f"write {key.lstrip('-')}=<value>"
            problems.append(f"{line!r} is not of the form key=value; {remedy}.")
    return parsed, problems


def sweeps(lines: Sequence[str]) -> list[str]:
    """The overrides that name several values, to be tried one after the other."""
    return [str(override.input_line) for override in parse(lines)[0] if override.is_sweep_override()]


# --- groups -----------------------------------------------------------------------------------------------------------


def options(group: str, config_dir: str | None = None) -> dict[str, Path]:
    """The names that `group=` takes, with the files that Hydra finds for them, sorted."""
    found = {p.stem: p for root in reversed(_roots(config_dir)) for p in (root / group).glob("*.yaml")}
    return dict(sorted(found.items()))


def _roots(config_dir: str | None) -> list[Path]:
    return [*CONFIG_FOLDERS, *([Path(config_dir)] if config_dir else [])]


def is_group(key: str, config_dir: str | None) -> bool:
    """Is it a folder of YAML files to choose from, and no option?"""
    return key.startswith("hydra/") or any((root / key).is_dir() for root in _roots(config_dir) if key)


@cache
def _defaults(config_name: str) -> dict[str, Any]:
    """The groups of an entry point, with what it chooses where the command line says nothing."""
    cfg: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{config_name}.yaml"))
    chosen = [entry for entry in cfg.get("defaults", []) if isinstance(entry, dict)]
    return {str(k).removeprefix("optional "): v for entry in chosen for k, v in entry.items()}


def _without_null(config_name: str, override: str, config_dir: str | None) -> str:
    """`~group` for `group=null`, which Hydra does not take, unless a run needs the group."""
    key, _, value = override.partition("=")
    group = key.partition("@")[0]
    needed = group in NEEDED and _defaults(config_name).get(group, "") is not None
    return f"~{key}" if value == "null" and not needed and is_group(group, config_dir) else override


def _group_problems(config_name: str, override: Override, config_dir: str | None) -> Iterator[str]:
    """What is wrong with the choice of a group: it is needed, it is not there, or nothing has that name."""
    group, line = override.key_or_group, override.input_line
    if group.startswith("hydra/"):
        return
    known = options(group, config_dir)
    choices = keys.values(override, list(known))
    needs_one = group in NEEDED and _defaults(config_name).get(group, "") is not None
    if override.is_delete() or None in choices:
        if needs_one or not override.is_delete():
            yield f"{line}: a run needs one {group}; choose it with {group}=<name>: {', '.join(known)}."
        return
    if misplaced := _misplaced(config_name, override):
        yield misplaced
        return
    if not choices:
        yield f"{line}: no {group} has such a name. Known: {', '.join(known)}."
    for choice in choices:
        if isinstance(choice, list) and needs_one:
            listed = ",".join(map(str, choice))
            yield f"{line}: a run has one {group}; for one run with each, write -m {group}={listed}."
        else:
            names = choice if isinstance(choice, list) else [choice]
            yield from filter(None, (_unknown_name(group, name, known, config_dir) for name in names))


def _misplaced(config_name: str, override: Override) -> str | None:
    """That an entry point has no choice of this group, or has made it already; None where it may be chosen."""
    group, line, chosen = override.key_or_group, override.input_line, _defaults(config_name)
    if not override.is_add() and override.package is None and group not in chosen:
        return f"{line}: the configuration of {config_name}.py has no choice of {group}; it has {', '.join(chosen)}."
    if override.is_add() and group in chosen:
        return f"{line}: {group} is chosen already; write it without the +."
    return None


def _unknown_name(group: str, name: Any, known: dict[str, Path], config_dir: str | None) -> str | None:
    """That no file of the group has this name, with those that it may have been; names may lie in subfolders."""
    if any((root / group / f"{name}.yaml").is_file() for root in _roots(config_dir)):
        return None
    listed = f"Known: {', '.join(known)}." if known else f"{CONFIGS / group} has none."
    near = habits.choice(group, name) or did_you_mean(str(name), known)
    typed = {own: word for words in PUBLISHED.values() for word, own in words.items()}.get(group)
    if typed:
        return f"{typed}={format_value(name)}: no {typed} of this name predicts untrained.{near} {listed}"
    return f"{group}={format_value(name)}: there is no such {group}.{near} {listed}"


def _combinations(groups: Sequence[Override], config_dir: str | None) -> list[list[str]]:
    """What each run of a sweep chooses; first those that differ from the first run in few choices."""
    choices = []
    for o in groups:
        if o.is_sweep_override():
            names = keys.values(o, list(options(o.key_or_group, config_dir)))
            choices.append([f"{o.get_key_element()}={format_value(name)}" for name in names])
        else:
            choices.append([str(o.input_line)])
    indices = itertools.islice(itertools.product(*(range(len(c)) for c in choices)), 100_000)
    nearest = sorted(indices, key=lambda index: sum(i > 0 for i in index))[:MAX_COMBINATIONS]
    return [[c[i] for c, i in zip(choices, index, strict=True)] for index in nearest]


# --- keys and values --------------------------------------------------------------------------------------------------


def _check_values(
    name: str, groups: list[str], values: list[Override], config_dir: str | None, added: set[str]
) -> tuple[list[str], DictConfig | None]:
    """The problems of one run, and its configuration; notes in `added` the overrides that add an option."""
    try:
        cfg = compose(name, groups, config_dir)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        return [brief(error)], None
    if problems := list(_empty_choices(cfg)):
        return problems, cfg
    OmegaConf.set_readonly(cfg.hydra, False)
    try:
        problems += _apply(cfg, values, added)
        problems += _judged(cfg, config_dir, is_clean=not problems)
    except (HydraException, OmegaConfBaseException) as error:
        problems.append(brief(error))
    return problems, cfg


def _apply(cfg: DictConfig, values: list[Override], added: set[str]) -> Iterator[str]:
    """Change `cfg` by the overrides that have no problem; the problems of the others. Classes come first, for the other
    options are judged by the object that was chosen. A sweep's values are not applied."""
    rest: list[Override] = []
    for override in sorted(values, key=lambda o: not _names_class(o)):
        found = list(keys.problems(cfg, override))
        yield from found
        if not found and _is_plain(override) and not keys.exists(cfg, override.key_or_group):
            added.add(str(override.input_line))
        if found or override.is_sweep_override():
            continue
        if _names_class(override):
            apply_overrides([override], cfg)
        else:
            rest.append(override)
    standing = {o.key_or_group: OmegaConf.select(cfg, o.key_or_group) for o in rest}
    apply_overrides(rest, cfg)
    yield from _no_objects(cfg, {key: node for key, node in standing.items() if isinstance(node, DictConfig)})


def _names_class(override: Override) -> bool:
    return override.key_or_group.endswith("._target_")


def _is_plain(override: Override) -> bool:
    """Is it written without + or ~?"""
    return not (override.is_delete() or override.is_add() or override.is_force_add())


def _judged(cfg: DictConfig, config_dir: str | None, is_clean: bool) -> list[str]:
    """The problems of what was composed. is_clean: the overrides had none, of which those of interpolations may follow.

    Data of a kind that the model does not take is the only problem then: facts that it lacks are no own mistakes.
    """
    unknown = null_facts.waiting(OmegaConf.to_container(cfg))
    judge = _Judge({null_facts.dotted(path) for path, _ in unknown if path[0] != "data"})
    found = [*judge.tree(cfg), *_manual_problems(cfg)]
    return list(_kind_problems(cfg, config_dir)) or found or (judge.asked if is_clean else [])


def _no_objects(cfg: DictConfig, before: Mapping[str, DictConfig]) -> Iterator[str]:
    """Interpolations that turn out to be text or a number where options stood. before: what stood at each key."""
    for key, standing in before.items():
        parent, _, leaf = key.rpartition(".")
        holder = OmegaConf.select(cfg, parent) if parent else cfg
        if not OmegaConf.is_interpolation(holder, leaf) or isinstance(value := holder[leaf], DictConfig | None):
            continue
        yield (
            f"{key}={format_value(value)}: expected options, {key}.<option>=<value>; it has "
            f"{', '.join(map(str, standing))}."
        )


def _empty_choices(cfg: DictConfig) -> Iterator[str]:
    """Models and data sets whose YAML makes no object."""
    for group in ("model", "data"):
        chosen = cfg.hydra.runtime.choices.get(group)
        if chosen is not None and "_target_" not in (cfg.get(group) or {}):
            known = options(f"{group}/base")
            yield (
                f"{group}={chosen}: its YAML makes no {group}, it has no _target_; begin it with `defaults: "
                f"[base/<one of {', '.join(known)}>, _self_]`."
            )


@dataclass
class _Judge:
    """Each value against its rule, each object of lightloom against its constructor; wherever they came from.

    waiting: keys whose values only the data will tell. asked: the problems of interpolated values, which are told of
    where the value stands, if it has a rule there.
    """

    waiting: Set[str]
    asked: list[str] = field(default_factory=list)

    def tree(self, cfg: Any, path: str = "", below: str | None = None) -> Iterator[str]:
        """The problems of a mapping or list at `path`. below: whose options a mapping without a `_target_` holds."""
        taker = str(cfg._target_) if isinstance(cfg, DictConfig) and "_target_" in cfg else below
        yield from _unknown_options(cfg, path, taker)
        names: Any = cfg if isinstance(cfg, DictConfig) else range(len(cfg))
        for key in names:
            where = f"{path}.{key}" if path else str(key)
            if where not in self.waiting and where not in UNJUDGED:
                yield from self._entry(cfg, key, where, taker)

    def _entry(self, cfg: Any, key: Any, where: str, taker: str | None) -> Iterator[str]:
        is_own = not OmegaConf.is_interpolation(cfg, key)
        if OmegaConf.is_missing(cfg, key):
            if is_own:
                yield f"{where} is not set and has no default; give it on the command line: {where}=..."
            return
        try:
            value = cfg[key]
        except InterpolationToMissingValueError:  # said where it is missing
            return
        except OmegaConfBaseException as error:
            yield _unstated_fact(where, error) or brief(error)
            return
        yield from self._value(value, key, where, taker, is_own)
        group = where.rpartition(".")[0]
        if group in keys.OPEN and value is not None and not (isinstance(value, DictConfig) and "_target_" in value):
            yield f"{where} is no object, it has no _target_; perhaps {group}={key} is missing?"

    def _value(self, value: Any, key: Any, where: str, taker: str | None, is_own: bool) -> Iterator[str]:
        rule, is_mapping = rule_for(where, taker), isinstance(value, DictConfig)
        if is_mapping and rule and is_own and "_target_" not in value:
            yield from filter(None, [rule.problem(where, OmegaConf.to_container(value))])
        elif is_mapping or (isinstance(value, ListConfig) and not rule):
            yield from self.tree(value, where, options_class(taker, str(key)) if taker else None)
        elif rule and (found := rule.problem(where, value)):
            if is_own or isinstance(rule, Text):
                yield found
            else:
                self.asked.append(found)


def _unknown_options(cfg: Any, path: str, taker: str | None) -> Iterator[str]:
    """Options that their object does not take, and which are no facts either."""
    if taker is None or (takes := options_of(taker)) is None:
        return
    for key in map(str, cfg):
        if not key.startswith("_") and key not in takes and not keys.is_fact(path, key, taker, takes):
            yield f"{path}.{key}: {taker} has no option {key!r}.{did_you_mean(key, takes, f'{path}.')}"


def _unstated_fact(where: str, error: Exception) -> str | None:
    """What to say where a model asks for a fact that the data does not state; None for any other error."""
    asked = re.search(r"Interpolation key 'data\.([\w.]+)' not found", str(error))
    if asked is None or where.startswith("data."):
        return None
    return (
        f"{where} asks for data.{asked[1]}, a fact that this data does not state; choose data that does, or set "
        f"{where}=<value>."
    )


def _kind_problems(cfg: DictConfig, config_dir: str | None) -> Iterator[str]:
    kind, accepts = cfg.get("data", {}).get("kind"), cfg.get("accepts")
    if accepts and kind and kind not in accepts:
        fitting = [name for name, path in options("data", config_dir).items() if _kind(path) in accepts]
        chosen = cfg.hydra.runtime.choices
        yield (
            f"data={chosen.data} holds {kind} data, but model={chosen.get('model')} is for {cfg.task} and needs "
            f"{' or '.join(accepts)} data; data sets that fit: {', '.join(fitting) or 'none yet'}."
        )


def _manual_problems(cfg: DictConfig) -> Iterator[str]:
    """Options of the Trainer that manual optimization refuses: clipping and accumulation of gradients."""
    if not _is_alternating(cfg):
        return
    clips = "gradient_clip_val" in (options_of(str(cfg.model._target_)) or ())
    if cfg.trainer.get("gradient_clip_val") is not None:
        value = f"gradient_clip_val={cfg.trainer.gradient_clip_val}"
        remedy = f"set model.{value}" if clips else "clip in its training_step"
        yield f"trainer.{value}: this model uses manual optimization, which the Trainer cannot clip; {remedy}."
    if cfg.trainer.get("accumulate_grad_batches", 1) != 1:
        yield (
            f"trainer.accumulate_grad_batches={cfg.trainer.accumulate_grad_batches}: this model uses manual "
            "optimization and takes a step on each batch; "
            f"set data.batch_size={cfg.data.batch_size * cfg.trainer.accumulate_grad_batches}."
        )


def _kind(path: Path) -> str | None:
    """The `kind` of a data set's YAML, its own or of what it builds on, without composing it."""
    cfg: Any = OmegaConf.load(path)
    if "kind" in cfg:
        return cfg.kind
    names = [d.partition("@")[0] for d in cfg.get("defaults", []) if isinstance(d, str) and d != "_self_"]
    names = [name.removeprefix("/data/") for name in names]
    parents = [
        folder / f"{name}.yaml"
        for folder in (path.parent, *(root / "data" for root in CONFIG_FOLDERS))
        for name in names
    ]
    return next((kind for p in parents if p.exists() and (kind := _kind(p))), None)


def brief(error: Exception) -> str:
    """The message of Hydra or OmegaConf, without its internals."""
    if lacking := re.match(r"Could not override '(\w+)@([\w.]+)'\.\s*(?:Did you mean.*? (\w+@[^?]*))?", str(error)):
        group, package, there = lacking.groups()
        remedy = "set " + " or ".join(f"{key}=..." for key in there.split(", ")) if there else "leave it out"
        return f"{group}=...: this model has no {package} to choose; {remedy}."
    if "INTERVAL_SWEEP" in str(error):
        return "interval(...) needs a sweeper that draws from a range; without one list the values: -m <key>=0.1,0.3,1."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    asides = ("To append", "Config search path", "full_key", "object_type", "reference_type")
    kept = itertools.takewhile(lambda line: not line.startswith(asides), lines)
    key = getattr(error, "full_key", None)
    return (f"{key}: " if key else "") + " ".join(kept)[:400].rstrip(".?") + "."
