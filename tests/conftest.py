"""What tests share: the command line as a process, a composed configuration, the names in a group, the data sets."""

import atexit
import functools
import gc
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from speed import fast, is_slow

from lightloom.config import compose as config
from lightloom.core.errors import UserError

ROOT = Path(__file__).parents[1]
os.fsync = lambda descriptor: None  # no test cuts the power, and a run flushes often for more time than it trains
for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:  # by nohup or a shell's &, and so in each process that a test starts
        signal.signal(number, usual)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out slow tests, and most cases of those with many")


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and is_slow(item):
        item.add_marker("slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("fast"):
        kept = fast(items)
        config.hook.pytest_deselected(items=list({*items} - {*kept}))
        items[:] = kept


def pytest_collection_finish() -> None:
    gc.freeze()  # thousands of tests and all modules, which each full collection would look through
    atexit.register(gc.unfreeze)  # libraries complain of what is left at the end


def names(group: str) -> list[str]:
    """What `group=` takes: `model`, `data`, ..."""
    return list(config.options(group))


def models_for(task: str) -> list[str]:
    """The models of a task, read from their YAML files and what these build on."""
    return [name for name in names("model") if _task(ROOT / f"configs/model/{name}.yaml") == task]


def fits(model: str, data: str) -> bool:
    """Does the model's task accept the kind of this data set?"""
    task = _task(ROOT / f"configs/model/{model}.yaml")
    accepts = _accepts(task) if task else []
    return not accepts or kind_of(data) in accepts


@functools.cache
def kind_of(data: str) -> str | None:
    return config._kind(ROOT / f"configs/data/{data}.yaml")


def data_of(kind: str) -> list[str]:
    """The data sets of a kind, read from their YAML files and what these build on."""
    return [name for name in names("data") if kind_of(name) == kind]


@functools.cache
def written(model: str) -> DictConfig:
    """A model's YAML with those that it builds on, unresolved; without what its task brings."""
    cfg = OmegaConf.load(ROOT / f"configs/model/{model}.yaml")
    parents = [str(Path(model).parent / e) for e in cfg.defaults if isinstance(e, str) and e != "_self_"]
    return OmegaConf.merge(*map(written, parents), cfg)  # type: ignore[return-value]


@functools.cache
def _accepts(task: str) -> list[str]:
    cfg = OmegaConf.load(ROOT / f"configs/task/{task}.yaml")
    parents = [entry for entry in cfg.get("defaults", []) if entry != "_self_" and isinstance(entry, str)]
    return cfg.get("accepts") or (_accepts(parents[0]) if parents else [])


@functools.cache
def _task(model: Path) -> str | None:
    """None of a plain LightningModule, whose file chooses none."""
    entries = OmegaConf.load(model).get("defaults", [])
    own = [v for e in entries if isinstance(e, DictConfig) for k, v in e.items() if "/task@_global_" in str(k)]
    parents = [entry for entry in entries if isinstance(entry, str) and entry != "_self_"]
    return own[0] if own else _task(model.parent / f"{parents[0]}.yaml") if parents else None


def in_turn(models: list[str], data: list[str], bundled: str) -> list[tuple[str, str]]:
    """Each model on the data set that is always here, and on one of the others, which take turns until each had one.

    All combinations would be the product of both; what they have in common, a model's shapes and a data set's facts,
    one partner of each shows.
    """
    others = [name for name in data if name != bundled]
    turns = range(max(len(models), len(others)))
    pairs = [(models[i % len(models)], others[i % len(others)]) for i in turns]
    return sorted([*pairs, *((model, bundled) for model in models)])


IMAGE_DATA = data_of("image")


def compose(*overrides: str, config_name: str = "train") -> DictConfig:
    """The configuration of these overrides, shorthand included, as an entry point would get it; no sweep."""
    config.register_resolvers(config_name)
    cfg: DictConfig = pickle.loads(_composed(config_name, overrides))
    config.settle_output_dir(cfg)
    return cfg


@functools.lru_cache(maxsize=200)
def _composed(config_name: str, overrides: tuple[str, ...]) -> bytes:
    """What the checks compose, which tests/config/test_compose.py compares with what Hydra does; 20 times as slow."""
    return pickle.dumps(config.checked(config_name, [config.expand_shorthand(o) for o in overrides])[1])


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Leave the variables as they were: a run's, such as LOCAL_RANK, would tell the next what it is."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() | before.keys():
        if name not in before:
            del os.environ[name]
        elif os.environ.get(name) != before[name]:
            os.environ[name] = before[name]


@pytest.fixture
def run_cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """python [flags] src/<script>.py <args> on one CPU core, runs in tmp_path; the process with its text."""

    def run(
        *args: str, script: str = "train", env: dict[str, str] | None = None, flags: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        own = {"LIGHTLOOM_LOG_DIR": str(tmp_path), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        inherited = {k: v for k, v in os.environ.items() if k != "LIGHTLOOM_RUN_TIME"}
        command = [sys.executable, *flags, str(ROOT / "src" / f"{script}.py"), *args]
        return subprocess.run(command, env=inherited | own | (env or {}), capture_output=True, text=True, timeout=600)

    return run


def real(name: str) -> Path:
    """A file or folder of the real data; the test is skipped where this machine has not got it."""
    where = Path(os.environ.get("LIGHTLOOM_DATA_DIR", "/nowhere")) / name
    if not where.exists():
        pytest.skip(f"no {name} in LIGHTLOOM_DATA_DIR")  # reason: data sets are not part of the repository
    return where


def at_hand(datamodule: Any) -> Any:
    """The datamodule; the test is skipped where its data is not here, which its fixture has told from a fault."""
    if isinstance(datamodule, UserError):
        pytest.skip(f"not on this machine: {datamodule}")  # reason: the set's folder does not exist
    return datamodule


def _noise(height: int, width: int):
    import torch

    return torch.randint(256, (height, width, 3), dtype=torch.uint8).numpy()


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory) -> Path:
    """Eight colour pictures of two classes."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures") / "image_folder"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for i in range(8):
            pixels = _noise(70, 90)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def kaggle(tmp_path_factory) -> Path:
    """Kaggle's layout with 16 pictures."""
    from PIL import Image

    root = tmp_path_factory.mktemp("kaggle") / "kaggle_cifar10"
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        for i in range(1, 17):
            pixels = _noise(32, 32)
            Image.fromarray(pixels).save(root / split / f"{i}.png")
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    rows = [f"{i},{classes[i % 10]}" for i in range(1, 17)]
    (root / "trainLabels.csv").write_text("\n".join(["id,label", *rows]) + "\n")
    return root


@pytest.fixture(scope="module")
def datamodules(image_folder, kaggle):
    """name -> its datamodule's configuration and datamodule, read once; None where the data is not on this machine."""
    roots = {
        "image_folder": [f"data.root={image_folder}", "data.image_size=64"],
        "kaggle_cifar10": [f"data.root={kaggle}"],
    }
    from lightloom.engine import train

    found: dict = {}

    def get(name: str):
        if name not in found:
            overrides = [*roots.get(name, []), "data.batch_size=4", "data.num_workers=0", "data.val_fraction=0.2"]
            cfg = config.without_hydra(config.compose("train", [f"data={name}", *overrides]))
            try:
                found[name] = overrides, train.build_data(cfg)[1]
            except UserError as error:
                if Path(cfg.data.root).exists():
                    raise  # the data is here: no reason to skip
                found[name] = overrides, error
        return found[name]

    return get
