"""The private names of Hydra that lightloom uses, each under a public name. Seen in hydra-core 1.3.8.

On another version that has them no more, every command ends in one sentence that names the versions which have.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.default_element import InputDefault
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lightloom.core.errors import UserError

try:
    from hydra._internal import defaults_list as defaults_lists
    from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
    from hydra._internal.hydra import Hydra
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra._internal.utils import get_args_parser

    _apply = ConfigLoaderImpl._apply_overrides_to_config
    _choices_so_far = defaults_lists._create_interpolation_map
    _find_mode, _load = Hydra.get_mode, ConfigLoaderImpl.load_configuration
except (ImportError, AttributeError) as error:
    raise UserError(
        f"hydra-core {hydra.__version__} lacks what lightloom uses of it ({error}); pip install 'hydra-core~=1.3.8'."
    ) from error


def command_line_parser() -> argparse.ArgumentParser:
    """Hydra's own: overrides, and flags such as --cfg and --config-dir."""
    return get_args_parser()


def apply_overrides(overrides: Sequence[Override], cfg: DictConfig) -> None:
    """Change, add and delete keys of `cfg` in place. Raises a HydraException where one does not apply."""
    _apply(list(overrides), cfg)


def completed(cfg: DictConfig, overrides: Sequence[Override], lines: Sequence[str]) -> DictConfig:
    """`cfg`, to which `overrides` were applied, with what Hydra itself notes of them, in place.

    lines: the overrides as Hydra would get them.
    """
    OmegaConf.set_readonly(cfg.hydra, False)
    tasks = [override for override in overrides if not override.is_hydra_override()]
    cfg.hydra.overrides.task = [line for o, line in zip(overrides, lines, strict=True) if o in tasks]
    cfg.hydra.overrides.hydra = [line for o, line in zip(overrides, lines, strict=True) if o not in tasks]
    rule = cfg.hydra.job.config.override_dirname
    cfg.hydra.job.override_dirname = get_overrides_dirname(tasks, rule.exclude_keys, rule.item_sep, rule.kv_sep)
    return cfg


@contextmanager
def told(cfg: DictConfig | None) -> Iterator[None]:
    """A command is a sweep where it has -m: Hydra need not compose everything to look for `hydra.mode`.

    cfg: what was composed to be checked, which a single run need not compose once more; None of a sweep.
    """

    def load(self: ConfigLoaderImpl, *args: Any, **options: Any) -> DictConfig:
        if cfg is None:
            return _load(self, *args, **options)
        OmegaConf.set_readonly(cfg.hydra, False)
        OmegaConf.set_struct(cfg, True)
        cfg.hydra.job.num, cfg.hydra.runtime.output_dir = "???", "???"
        cfg.hydra.mode = RunMode.RUN
        cfg.hydra.overrides.hydra.append("hydra.mode=RUN")  # which Hydra adds where it has found none
        return cfg

    Hydra.get_mode = lambda self, config_name, overrides: None  # type: ignore[method-assign]
    ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = _find_mode  # type: ignore[method-assign]
        ConfigLoaderImpl.load_configuration = _load  # type: ignore[method-assign]


_parsed: dict[tuple[str, str, str, str], bytes] = {}  # provider, folder, name and text of a YAML file -> ConfigResult


def parse_files_once() -> None:
    """Let Hydra parse the same text of a YAML file once in a process; of what is parsed it gets copies.

    A resumed run and a sweep compose many times, and parsing takes a quarter of each.
    """
    source = SourcesRegistry.instance().resolve("file")
    parse = source.load_config

    def load_config(self: ConfigSource, config_path: str) -> ConfigResult:
        file = Path(self.path, self._normalize_file_name(config_path))
        if not file.is_file():
            return parse(self, config_path)
        key = (self.provider, self.path, config_path, file.read_text(encoding="utf-8"))
        if key not in _parsed:
            _parsed[key] = pickle.dumps(parse(self, config_path))
        return pickle.loads(_parsed[key])

    source.load_config = load_config  # type: ignore[method-assign]


def _choices_where_asked(overrides: Any, defaults_list: list[InputDefault], self_added: bool) -> DictConfig:
    """The choices so far, if a name among these defaults is to be filled in from them; Hydra makes them for each file.

    They are a third of the time of a composition.
    """
    asked = any(not default.is_self() and default.is_interpolation() for default in defaults_list)
    return _choices_so_far(overrides, defaults_list, self_added) if asked else OmegaConf.create()


defaults_lists._create_interpolation_map = _choices_where_asked
