"""The private names of Hydra that lightloom uses, each under a public name. Seen in hydra-core 1.3.8.

On another version that has them no more, every command ends in one sentence that names the versions which have.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import hydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from lightloom.core.errors import UserError

try:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import get_args_parser

    _apply = ConfigLoaderImpl._apply_overrides_to_config
    _find_mode = Hydra.get_mode
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


@contextmanager
def told_by_flags() -> Iterator[None]:
    """A command is a sweep where it has -m: Hydra need not compose everything once more to look for `hydra.mode`."""
    Hydra.get_mode = lambda self, config_name, overrides: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = _find_mode  # type: ignore[method-assign]
