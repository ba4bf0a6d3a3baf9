"""Where Hydra looks for YAML files: in a project's own folder first, then in those that lightloom brings."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from lightloom.core.places import CONFIG_FOLDERS, CONFIGS


class OwnConfigs(SearchPathPlugin):
    """A project's configs/ before ours, in each composition of this process."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in CONFIG_FOLDERS:
            if folder != CONFIGS:
                search_path.prepend("own", f"file://{folder}", anchor="main")


def register() -> None:
    """Let Hydra know of it, once."""
    Plugins.instance().register(OwnConfigs)
