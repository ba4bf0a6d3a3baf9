"""Launch a task from the command line: help, checks, Hydra, exit codes.

The entry points import nothing but this file at first: `--help` and a misspelt option answer before torch is loaded.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightloom.config.aliases import is_old, modernized_overrides
from lightloom.config.command_line import quote, refuse
from lightloom.core import lock, places, run_dir, watchdog
from lightloom.core.environment import drop_empty, read_dotenv, variable
from lightloom.core.errors import Interrupted, UserError, message_of, not_there
from lightloom.core.redaction import redact, redacted
from lightloom.core.text import printable
from lightloom.engine import rendezvous

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("lightloom")
Task = Callable[[Any], float | None]
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def launch(task: Task, config_name: str) -> None:
    """Run `task(cfg)` for the command line's configuration, or once for each job of a sweep (-m); then exit.

    Exit codes: 0 done, 1 a fault of the program or a lost process, 2 a mistake of the user, 130 interrupted (SIGINT),
    143 terminated (SIGTERM), 129 hung up (SIGHUP).
    """

    def jobs(arguments: Sequence[str]) -> int:
        return max(_run_hydra(task, config_name, *prepared(arguments, config_name)), default=0)

    drop_empty()
    _end_with_launcher()
    _end_with_sweep()
    command(jobs, config_name)


def command(run: Callable[[Sequence[str]], int], config_name: str) -> None:
    """`run(arguments)` with the command line's; then exit with the code that it returns, or that of its error."""
    read_dotenv(places.ROOT)
    drop_empty()
    places.make_importable()
    _listen()
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        from lightloom.cli.help import text

        with contextlib.suppress(BrokenPipeError):  # `--help | head` has seen enough
            print(text(config_name), flush=True)
            return
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        code = run(arguments)
    except UserError as error:
        sys.exit(report_failure(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.exit(code)


def _listen() -> None:
    """Before and after training there is nothing to save: what ends a run leaves at once, SIGUSR1 does nothing."""
    if threading.current_thread() is not threading.main_thread():
        return

    def leave(number: int, frame: Any) -> None:
        raise Interrupted(number)

    for number in watchdog.ending_signals():
        signal.signal(number, leave)
    watchdog.start()
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda number, frame: None)


def _end_with_launcher() -> None:
    """A rank that torchrun or another rank has started ends when that process does, whatever it is doing."""
    if not variable(run_dir.LAUNCHER) and not rendezvous.is_torchrun():
        return
    launcher = int(variable(run_dir.LAUNCHER) or os.getppid())
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_with_sweep() -> None:
    """A trial saves and ends when the sweep that has started it ends, which closes the other end of a pipe."""
    handle = os.environ.pop(run_dir.SWEEP, None)
    if not handle:
        return

    def watch() -> None:
        os.read(int(handle), 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def prepared(arguments: Sequence[str], config_name: str) -> tuple[list[str], DictConfig | None]:
    """As `prepare`; what Hydra cannot compose is the user's mistake."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from lightloom.config import compose

    try:
        return prepare(arguments, config_name)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(compose.brief(error)) from error


def prepare(arguments: Sequence[str], config_name: str) -> tuple[list[str], DictConfig | None]:
    """The arguments that Hydra gets: checked, shorthand written out, a resumed run's own options and folder added.

    And the configuration that a single run has by them, None where Hydra is to compose it.
    """
    from hydra.types import RunMode

    from lightloom.config import compose
    from lightloom.engine.recognised import settle_data

    parsed = _parsed(arguments)
    flags = [a for a in arguments if a not in parsed.overrides]
    overrides = [compose.expand_shorthand(o, config_name) for o in parsed.overrides]
    if config_name != "train":
        _check_there(overrides)
    asks_hydra = parsed.cfg or parsed.info or parsed.shell_completion or parsed.hydra_help
    _check_sweep(overrides, parsed.multirun)
    overrides = settle_data(overrides, config_name, parsed.config_dir, quiet=bool(asks_hydra))
    if not asks_hydra and config_name == "train" and not variable(run_dir.RUN_TIME):
        overrides = _resume(overrides, config_name, parsed.config_dir)
        overrides += [] if parsed.multirun else _named_folder(overrides)
    overrides, cfg = compose.checked(config_name, overrides, parsed.config_dir)
    if not parsed.multirun and cfg is not None and cfg.hydra.mode == RunMode.MULTIRUN:  # as an experiment may say
        flags, parsed.multirun = [*flags, "--multirun"], True
    if not asks_hydra:
        _claim_folder(config_name, overrides, cfg, parsed)
    compose.register_resolvers(config_name)
    is_one_run = not (asks_hydra or parsed.multirun or parsed.config_dir)
    return [*flags, *overrides], cfg if is_one_run else None


def _parsed(arguments: Sequence[str]) -> Any:
    """What the command line says, as Hydra's parser has it; raises UserError where it cannot be read."""
    from lightloom.config.hydra_internals import command_line_parser

    parser = command_line_parser()
    parser.error = refuse  # type: ignore[method-assign]
    parsed = parser.parse_intermixed_args(list(arguments))
    if parsed.resolve and not parsed.cfg:
        refuse("--resolve goes with --cfg")
    return parsed


def _check_there(overrides: list[str]) -> None:
    """Raise UserError where a checkpoint or an input is not there, before anything is loaded or a folder is made."""
    where, given = _given(overrides, "ckpt_path"), _given(overrides, "input")
    if where and where not in ("last", "null") and "${" not in where and "://" not in where:
        run_dir.find_checkpoint(where, Path())
    is_path = given and given != "null" and not set(given) & set("*?[{$") and "://" not in given
    if given and is_path and not given.isdecimal() and not Path(given).expanduser().exists():
        raise not_there("input", given)


def _check_sweep(overrides: list[str], multirun: bool) -> None:
    """Several values need -m, and a sweep starts its runs anew."""
    from lightloom.config import compose

    swept = compose.sweeps(overrides)
    if swept and not multirun:
        raise UserError(f"{swept[0]}: several values make a sweep; write -m {swept[0]}.")
    if multirun and any(o.startswith("ckpt_path=") and o != "ckpt_path=null" for o in overrides):
        raise UserError("ckpt_path=... with -m: a sweep starts its runs anew; resume its runs one by one, without -m.")


def _resume(overrides: list[str], config_name: str, config_dir: str | None) -> list[str]:
    """For ckpt_path=...: the options that the run was started with, then the new ones, and the run's folder."""
    from lightloom.config import compose
    from lightloom.engine.recorded import as_it_was, check_recorded

    where = _given(overrides, "ckpt_path")
    if where in (None, "null", ""):
        return overrides
    rest = [o for o in overrides if not o.startswith("ckpt_path=")]
    begins_anew = _given(rest, "weights_only_init") not in (None, "false", "null")  # a run_name is the new run's
    choices = ("model", "data", "experiment", *(() if begins_anew else ("run_name",)))
    which = [o for o in rest if _key(o) in choices or _key(o).startswith("paths")]
    cfg = compose.compose(config_name, compose.check(config_name, which, config_dir), config_dir)
    chosen = any(_key(o) in choices for o in which)
    checkpoint = run_dir.find_checkpoint(str(where), Path(cfg.paths.log_dir), cfg.run_name if chosen else None)
    run = run_dir.run_of(checkpoint)
    if run is None:
        return [*rest, f"ckpt_path={quote(checkpoint)}"]
    given = {_key(o) for o in rest} | ({"run_name"} if begins_anew else set())
    recorded = as_it_was(_recorded(run), run, config_name, config_dir)
    recorded = [o for o in recorded if _key(o) not in given]
    kept = check_recorded(recorded, rest, config_name, config_dir, str(run / run_dir.OVERRIDES))
    _check_whole(run, kept)
    own_folder = [] if begins_anew else [f"hydra.run.dir={quote(run)}"]
    return [*kept, *rest, f"ckpt_path={quote(checkpoint)}", *own_folder]


def _check_whole(run: Path, kept: list[str]) -> None:
    """Raise UserError where an option was recorded without its login or token, or the folder cannot be named."""
    if lacking := [_key(o) for o in kept if list(redacted([o]))]:
        raise UserError(
            f"{run / run_dir.OVERRIDES} has {', '.join(lacking)} without the login or token that was given; give "
            f"{lacking[0]}=... again, with each ckpt_path=."
        )
    if "${" in str(run):
        raise UserError(f"{run}: Hydra would read the name of this folder as an interpolation; rename it.")


def _recorded(run: Path) -> list[str]:
    """The options that a run was started with, as they are called today."""
    overrides, config = run_dir.recorded_overrides(run), run / run_dir.CONFIG
    was_old = config.is_file() and is_old(config.read_text(encoding="utf-8", errors="replace"))
    return modernized_overrides(overrides) if was_old else overrides


def _given(overrides: list[str], key: str) -> str | None:
    """The value that the command line has for a key, without quotes; the last one counts."""
    values = [o.partition("=")[2].strip("'\"") for o in overrides if o.startswith(f"{key}=")]
    return values[-1] if values else None


def _named_folder(overrides: list[str]) -> list[str]:
    """A run that the command line gives a name has a folder without a time: repeated, the command finds it again."""
    name = _given(overrides, "run_name")
    if name is None or _given(overrides, "hydra.run.dir") is not None:
        return []
    return ["hydra.run.dir='${paths.log_dir}/runs/${run_name}'"]


def _key(override: str) -> str:
    """`+trainer.x=1`, `~trainer.x` and `trainer.x=2` are about the same key."""
    return override.partition("=")[0].lstrip("+~")


def _claim_folder(config_name: str, overrides: list[str], cfg: Any, parsed: Any) -> None:
    """Settle on the run's folder before Hydra does: same on all ranks, never one that another run has.

    cfg: what the overrides make.
    """
    if variable(run_dir.RUN_TIME):
        return
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    given = parsed.multirun or any(o.startswith("hydra.run.dir=") for o in overrides)
    if given or run_dir.rank() != 0 or run_dir.is_slurm_job():
        rendezvous.agree_on_run_time(now)
        return
    from lightloom.config import compose

    for attempt in range(1, 1000):
        name = now if attempt == 1 else f"{now}-{attempt}"
        os.environ[run_dir.RUN_TIME] = name
        compose.register_resolvers(config_name)
        del os.environ[run_dir.RUN_TIME]
        if run_dir.create(Path(cfg.hydra.run.dir)):
            rendezvous.agree_on_run_time(name)
            return


def _run_hydra(task: Task, config_name: str, arguments: list[str], composed: DictConfig | None) -> list[int]:
    """Run Hydra's main; the exit code of each failed job of a sweep. composed: what a single run has, if known."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode

    from lightloom.config import compose
    from lightloom.config.hydra_internals import told

    failures: list[int] = []

    def job(cfg: Any) -> float | None:
        """The task's value; where it fails, its exit code ends a single run, and is kept of one of a sweep (NaN)."""
        try:
            return _one_job(task, cfg)
        except Exception as error:
            code = report_failure(error)
            if variable(run_dir.LAUNCHER):  # of a rank that another has started: it waits, and Python's end may too
                logging.shutdown()
                os._exit(code)
            traceback.clear_frames(error.__traceback__)  # they hold the loaders, whose workers end with them
            gc.collect()
            if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.RUN:
                sys.exit(code)
            failures.append(code)
            return float("nan")

    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv[1:] = arguments
    try:
        with told(composed):
            hydra.main(version_base="1.3", config_path=str(places.CONFIGS), config_name=config_name)(job)()
    except HydraException as error:
        raise UserError(compose.brief(error)) from error
    except OSError as error:
        remedy = "set hydra.run.dir or paths.log_dir=<a folder you may write to>"
        raise UserError(f"cannot create the run folder {error.filename}: {error.strerror}; {remedy}.") from error
    return failures


def _one_job(task: Task, cfg: Any) -> float | None:
    """Run the task on plain, resolved values. Worker processes of DDP repeat this job alone, not the whole sweep."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from lightloom.config import compose

    hydra_cfg = HydraConfig.get()
    overrides, output = list(hydra_cfg.overrides.task), hydra_cfg.runtime.output_dir
    plain = compose.without_hydra(cfg)
    plain.overrides, plain.choices = overrides, dict(hydra_cfg.runtime.choices)
    argv, environment, state = list(sys.argv), dict(os.environ), HydraConfig.instance().cfg
    searched = [f"--config-dir={p.path}" for p in hydra_cfg.runtime.config_sources if p.provider == "command-line"]
    sys.argv[1:] = [*searched, *overrides, f"hydra.run.dir={quote(output)}"]
    HydraConfig.instance().cfg = None
    OmegaConf.set_struct(plain, True)
    try:
        return task(plain)
    finally:
        lock.release()
        sys.argv[:] = argv
        HydraConfig.instance().cfg = state
        _leave_process_group()
        if ranks := sys.modules.get("lightloom.engine.launcher"):
            ranks.wait()
        for name in set(os.environ) - set(environment):
            del os.environ[name]


def _leave_process_group() -> None:
    """So that the next run of a sweep forms its own, also after one that failed."""
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def report_failure(error: BaseException) -> int:
    """Report an error, a message for a user's mistake, the traceback for a fault; the exit code."""
    details = "".join(traceback.format_exception(error))
    in_file = [h for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]
    if in_file:
        record = log.makeRecord("lightloom", logging.ERROR, __file__, 0, details, (), None)
        for handler in in_file:
            handler.handle(record)
    message = message_of(error)
    if run_dir.rank() == 0 or message is None:
        where = f"\nFull traceback: {in_file[0].baseFilename}" if in_file else ""
        said = (
            f"error: {details.rstrip()}" if message is None else "\n".join(f"error: {m}" for m in message.splitlines())
        )
        print(printable(redact(said + where)), file=sys.stderr, flush=True)
    return 1 if message is None else getattr(error, "code", 2)
