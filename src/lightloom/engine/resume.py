"""Where a command begins: at the first step, at the newest whole checkpoint of its run, or at one that it names."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightloom.callbacks.run.rng import position
from lightloom.config.declarations import declares
from lightloom.config.diff import MACHINE_KEYS, PATH_KEYS, differences, distinct, format_change, matches
from lightloom.config.foreign import plain
from lightloom.config.instantiate import import_target
from lightloom.core import atomic_io, run_dir, schema
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint as checkpoints
from lightloom.engine.rendezvous import agree

log = logging.getLogger("lightloom")
SHOWN = 6  # differences that a message names

# What may change in a run that is continued, as patterns of keys; a * stands for dots too.
ONLY_ASKED = ("data_changed", "test", "doctor", "preflight", "tags", "trust", "*.trust")
LOADING = ("data.num_workers", "data.worker_timeout", "data.download")
LENGTH = ("trainer.max_*", "trainer.min_*")
WATCHING = (
    "trainer.loop",  # each has the other's bits
    *("trainer.limit_test_batches", "trainer.log_every_n_steps", "trainer.profiler", "trainer.enable_*"),
    *("trainer.num_sanity_val_steps", "trainer.strategy.timeout*", "callbacks.*.every_n_*", "callbacks.*.test_*"),
)
HARMLESS = (
    *MACHINE_KEYS,
    *ONLY_ASKED,
    *PATH_KEYS,
    *LOADING,
    *LENGTH,
    *WATCHING,
)
# What may change too, and changes the order of sums: the run goes on, but is not the same bit for bit.
ROUNDING = (
    *("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy*"),
    *("trainer.benchmark", "trainer.deterministic", "model.compile", "data.eval_batch_size"),
)


@dataclass(frozen=True)
class Start:
    """The checkpoint that training begins with, or none, and what the run already has to show.

    weights_only: only its weights are taken, all (True) or those of parts (`partial_init`). results: of a run that has
    nothing left to train.
    """

    path: Path | None = None
    content: dict[str, Any] = field(default_factory=dict)
    weights_only: bool | str | list[str] = False
    results: dict[str, Any] | None = None


def find(cfg: DictConfig) -> Start:
    """Where this command's run begins. Raises UserError where the run cannot be continued as the command says.

    The checkpoints in the run's own folder go before `ckpt_path`, so that the same command, repeated, continues.
    """
    run = Path(cfg.paths.output_dir)
    named = Path(cfg.ckpt_path) if cfg.ckpt_path else None
    chosen = _choose(run, named, cfg) if run_dir.rank() == 0 or run_dir.is_slurm_job() else None
    found = agree(run_dir.RESUMED, str(chosen or ""))
    if not found:
        check_random_weights(cfg)
        return Start()
    path = Path(found)
    content = checkpoints.load(path)
    if cfg.weights_only_init and run_dir.run_of(path) != run.resolve():
        schema.check(content, checkpoints.WHEN, path)
        return Start(path, content, weights_only=plain(cfg.weights_only_init))
    schema.check(content, checkpoints.PLACE, path)
    check_same(content["config"], plain(cfg), path)
    check_length(content, cfg, path)
    cfg.ckpt_path = found
    was_asked_for = path == named and not cfg.weights_only_init
    return Start(path, content, results=None if was_asked_for else _results(run, content, cfg))


def check_random_weights(cfg: DictConfig) -> None:
    """Raise UserError where a module that `begins_with` weights of another run is given none.

    weights_only_init=false says that none are meant; of a dry run nothing is kept.
    """
    model = import_target(str(cfg.model._target_))
    asked = cfg.weights_only_init is None and not cfg.trainer.fast_dev_run
    if asked and (weights := getattr(model, "begins_with", None)):
        raise UserError(
            f"{model.__name__} would begin with random weights; set {weights}, or weights_only_init=false to mean them."
        )


def _choose(run: Path, named: Path | None, cfg: DictConfig) -> Path | None:
    """The checkpoint of this run that was named, its newest whole one, or that of another run that was named."""
    if cfg.resume == "never" and run_dir.rank() == 0 and holds_a_run(run):
        raise UserError(f"resume=never: {run} holds a run already; choose another run_name, or set resume=auto.")
    is_own = named is not None and run_dir.run_of(named) == run.resolve() and not cfg.weights_only_init
    path = named if is_own else newest_whole(run / run_dir.CHECKPOINTS) or named
    if path is None and cfg.resume == "must":
        raise UserError(
            f"resume=must: {run} has no checkpoint to continue from; give the run_name of one that has, or "
            "resume=auto to begin it."
        )
    if path is None and cfg.weights_only_init:
        raise UserError("weights_only_init=true: no weights to begin with; name a checkpoint: ckpt_path=...")
    return path


def holds_a_run(run: Path) -> bool:
    """Has a run begun to train in this folder?"""
    return (run / run_dir.CONFIG).exists() or any((run / run_dir.CHECKPOINTS).glob("*.ckpt"))


def newest_whole(where: Path) -> Path | None:
    """last.ckpt, or where it is damaged the newest of the others, under that name; None where there is none.

    Warns of each damaged one, and puts a damaged last.ckpt aside. Raises UserError where all are damaged.
    """
    last = where / run_dir.LAST
    steps: dict[Path, int] = {}
    problems: dict[Path, str] = {}
    for path in (last, where / run_dir.PREVIOUS, where / run_dir.BEST):
        if last in steps or not path.is_file():
            continue
        try:
            steps[path] = schema.check(checkpoints.load(path), checkpoints.WHEN, path)["global_step"]
        except UserError as error:
            problems[path] = str(error).partition(";")[0]
    if problems and not steps:
        raise UserError(
            f"{where} has no whole checkpoint ({'; '.join(problems.values())}); begin anew with another run_name, or "
            "remove the folder."
        )
    newest = max(steps, key=lambda path: steps[path], default=None)
    for problem in problems.values():
        log.warning("%s; continuing from %s, step %d.", problem, newest, steps[newest] if newest else 0)
    if newest in (None, last) or run_dir.rank() != 0:
        return newest
    if last in problems:
        last.replace(last.with_name(f"damaged-{last.name}"))
    atomic_io.keep(newest, last)  # or the damaged one would be kept as the previous one
    return last


# --- what may change --------------------------------------------------------------------------------------------------


def check_same(recorded: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Raise UserError where the run in the checkpoint was trained with other options; warn where it only rounds so.

    Options that a class of ours has got since are taken to have been what the class has by itself.
    """
    changed = differences(_completed(recorded, now), now)
    harmless = (*HARMLESS, *_showing(recorded, now))
    grave = distinct([c for c in changed if not matches(c[0], (*harmless, *ROUNDING))])
    if grave:
        more = f" and {len(grave) - SHOWN} more" if len(grave) > SHOWN else ""
        raise UserError(
            f"{path} was trained with other options: {', '.join(map(format_change, grave[:SHOWN]))}{more}. Give the "
            "recorded ones to continue it; for a run of its own choose a new run_name, with ckpt_path=... "
            "weights_only_init=true to begin it with these weights."
        )
    rounding = distinct([c for c in changed if matches(c[0], ROUNDING) and not matches(c[0], harmless)])
    if rounding:
        listed = ", ".join(map(format_change, rounding[:SHOWN]))
        log.warning("Continuing with %s: the same run, but no longer bit for bit.", listed)
    length = distinct([c for c in changed if matches(c[0], LENGTH)])
    if length:
        log.info("Continuing with %s; a schedule follows the new length.", ", ".join(map(format_change, length)))
    log.debug("changed since the checkpoint: %s", ", ".join(map(format_change, distinct(changed))) or "nothing")


def _completed(recorded: Any, now: Any) -> Any:
    """The record with the options that objects of ours lack there, as far as their classes state a default."""
    if not (isinstance(recorded, dict) and isinstance(now, dict)):
        return recorded
    target = str(now.get("_target_"))
    ours = target.startswith("lightloom.") and recorded.get("_target_") == target
    stated = inspect.signature(import_target(target)).parameters if ours else {}
    own = {name: p.default for name, p in stated.items() if p.default is not p.empty and name in now}
    return own | {name: _completed(value, now.get(name)) for name, value in recorded.items()}


def _showing(recorded: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The keys of callbacks that only show things, before and now where they are there, as their classes say."""
    before, after = recorded.get("callbacks") or {}, now.get("callbacks") or {}
    there = {name: [c[name] for c in (before, after) if c.get(name)] for name in {**before, **after}}
    return [f"callbacks.{name}.*" for name, options in there.items() if all(map(_only_shows, options))]


def _only_shows(options: Any) -> bool:
    """By the class's source: what a checkpoint names is not imported."""
    return isinstance(options, dict) and declares(str(options.get("_target_")), "only_shows")


def check_same_data(start: Start, run: Path, now: dict[str, dict[str, Any]], accept: bool = False) -> None:
    """Raise UserError where a split has other items than the checkpoint was trained on, as far as both are known.

    now: what identifies each split (`contract.describe`). accept: warn of it instead, with the same figures. What
    cannot be compared is told in one line: a checkpoint of a version that did not record it, or recorded other marks.
    """
    then = start.content.get("splits") or _splits_at_first(run)
    changed = [_change(split, then[split], now[split]) for split in now if split in then]
    problems = ", ".join(filter(None, changed))
    if problems and accept:
        log.warning("Continuing on other data, as data_changed=accept says: %s.", problems)
    elif problems:
        raise UserError(
            f"{start.path}: the data is not what the run was trained on ({problems}); bring that data back, set "
            "data_changed=accept to go on with this, or begin another run with another run_name, and "
            "weights_only_init=true to keep the weights."
        )
    if gone := [f"{split} ({then[split].get('count')} items)" for split in then if split not in now]:
        log.warning("%s knows of %s, which is not there or not asked for now.", start.path, " and ".join(gone))
    untold = [split for split in now if split not in then or then[split].get("of") != now[split].get("of")]
    if untold and not problems:
        log.warning(
            "%s does not say of %s what is compared now, so that the data may be other data than before; from the next "
            "checkpoint on it is known.",
            start.path,
            " and ".join(untold),
        )


def _splits_at_first(run: Path) -> dict[str, dict[str, Any]]:
    """As run.json has them of the run's first start; none where it has none."""
    data = (run_dir.starts(run) or [{}])[0].get("data")
    found = data.get("splits") if isinstance(data, dict) else None
    items = found.items() if isinstance(found, dict) else ()
    return {name: split for name, split in items if isinstance(split, dict)}


def _change(split: str, then: dict[str, Any], now: dict[str, Any]) -> str | None:
    """`train: 80 items (1f0c2d3e) then, 79 (a9b8c7d6) now, by their ...`; None where it is the same, or not known.

    A count says it whatever else is known: of large sets the marks say of how many items they are.
    """
    is_other = then.get("sha256") != now.get("sha256") and then.get("of") == now.get("of")
    if not is_other and then.get("count", now.get("count")) == now.get("count"):
        return None
    figures = [f"{told.get('count')} items ({str(told.get('sha256'))[:8]})" for told in (then, now)]
    return f"{split}: {figures[0]} then, {figures[1]} now, by their {now.get('of') or 'number'}"


# --- how far it is ----------------------------------------------------------------------------------------------------


def check_length(content: dict[str, Any], cfg: DictConfig, path: Path) -> None:
    """Raise UserError where the run is to end before the checkpoint."""
    epochs, _ = position(content["loops"]["fit_loop"])
    for key, done in (("max_epochs", epochs), ("max_steps", content["global_step"])):
        limit = cfg.trainer.get(key)
        if limit not in (None, -1) and limit < done:
            raise UserError(f"trainer.{key}={limit}: {path} has {done} behind it; set trainer.{key}={done} or more.")


def _results(run: Path, content: dict[str, Any], cfg: DictConfig) -> dict[str, Any] | None:
    """What the run came to, where it ended at this checkpoint and is not to be longer now."""
    results = run_dir.figures(run, run_dir.ENDED)
    changed = [key for key, *_ in differences(content["config"], plain(cfg)) if matches(key, LENGTH)]
    return results if results.get("steps") == content["global_step"] and not changed else None
