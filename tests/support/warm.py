"""What the server of commands (`commands.py`) loads before it forks: libraries, and the caches of one composed command.

Nothing is computed here, and no thread is started; a command then begins with what else it would import and read for
longer than it trains.
"""

import atexit
import gc
import importlib
import os
import pkgutil
import sys
from pathlib import Path

import matplotlib.pyplot  # noqa: F401
import timm  # noqa: F401
import torch.utils.tensorboard  # noqa: F401
import torchvision.models.detection  # noqa: F401

import lightloom
from lightloom.cli.launch import prepared
from lightloom.reporting import render

for module in pkgutil.walk_packages(lightloom.__path__, "lightloom."):
    importlib.import_module(module.name)
prepared([], "train")
for template in render.TEMPLATES.glob("*.jinja"):
    render.environment(render.TEMPLATES, is_markdown=".md" in template.name).get_template(template.name)
os.fsync = lambda descriptor: None  # as in conftest.py
sys.path.remove(str(Path(__file__).parent))
gc.freeze()  # no fork looks through all that again
atexit.register(gc.unfreeze)  # libraries complain of what is left at the end
