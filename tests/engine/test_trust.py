"""What `trust` opens: what the named packages define, not what can be reached through them."""

import ast
import contextlib
import copy
import functools
import importlib
import inspect
import json
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from security import quoted, table

from lightloom.config import compose
from lightloom.config.instantiate import import_target
from lightloom.core import schema
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint, evaluate, train, trust
from lightloom.engine.trust import check_trusted

SOURCE = """
import json
from os import system
from torch import nn

class Net(nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

def make():
    return Net()

def _hidden():
    return Net()
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    name = f"their_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def asks(target, trusted=()):
    check_trusted(OmegaConf.create({"part": {"_target_": target}}), "from.ckpt", trusted)


def test_what_a_trusted_package_defines_is_built(package):
    for name in ("Net", "make", "nn.Linear"):
        asks(f"{package}.{name}", [package])
        asks(f"{package}.{name}", package)  # trust=their_package, without brackets


@pytest.mark.parametrize("name", ["system", "json.codecs.open", "json.loads", "nn.Module.__init__", "_hidden", "No"])
def test_what_it_only_leads_to_is_not(package, name):
    with pytest.raises(UserError, match="not built"):
        asks(f"{package}.{name}", [package])


def test_a_part_of_a_name_is_not_the_name(package):
    with pytest.raises(UserError, match=f"say trust=.{package}"):
        asks(f"{package}.Net", f"{package}_and_more")


def test_a_file_trusts_nobody_in_its_users_name():
    extractor = "lightloom.predict.classes.features.TrainedFeatures"
    for claimed in (["evil"], "evil"):
        claims = OmegaConf.create({"part": {"_target_": extractor, "trust": claimed}})
        with pytest.raises(UserError, match="which only you can"):
            check_trusted(claims, "from.ckpt", ["mine"])
    check_trusted(OmegaConf.create({"part": {"_target_": extractor, "trust": ["mine"]}}), "from.ckpt", ["mine"])


@pytest.mark.parametrize("group", ["callbacks", "data", "extractor", "model", "optimizer", "scheduler", "task"])
def test_every_preset_passes(group):
    """As it stands in its file; tests/config/test_configs.py asks it of what is composed."""
    for name, path in compose.options(group).items():
        check_trusted({**OmegaConf.to_container(OmegaConf.load(path)), "trust": None}, name)


# --- what a file's values go into


OPENS = {"_target_": "builtins.open", "mode": "w"}


@pytest.mark.parametrize("name", ["digits", "digit_scenes", "signals"])
def test_a_fact_is_no_object(name, tmp_path):
    """`data=` names another set, which takes over from the checkpoint what its class says."""
    model = {"digits": "lenet", "digit_scenes": "yolo", "signals": "signal_ae"}[name]
    cfg = compose.without_hydra(compose.compose("train", [f"model={model}", f"data={name}"]))
    declared = import_target(cfg.data._target_)
    taken = [f for f in (*getattr(declared, "adopts", ()), *getattr(declared, "splits_by", ())) if f in cfg.data]
    for fact in taken:
        trained = cfg.copy()
        trained.data[fact] = {**OPENS, "file": str(tmp_path / "ran")}
        asked = OmegaConf.create({"ckpt_path": "evil.ckpt", "data": cfg.data, "batch_size": None, "num_workers": 0})
        with pytest.raises(UserError):
            evaluate.swapped_data(asked, trained)
    assert taken or name == "signals"
    assert not (tmp_path / "ran").exists()


def test_what_a_run_began_with_is_no_object(tmp_path):
    """A run's config.yaml says what `last` meant when it began."""
    options = ["model=gan", "extractor@callbacks.quality.extractor=classifier"]
    cfg = compose.without_hydra(compose.compose("train", [*options, "callbacks.quality.extractor.checkpoint=last"]))
    extractor = {**cfg.callbacks.quality.extractor, "checkpoint": {**OPENS, "file": str(tmp_path / "ran")}}
    begun = {"callbacks": {"quality": {"extractor": extractor}}}
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(begun)))
    train.settle_options(cfg, tmp_path)
    assert isinstance(cfg.callbacks.quality.extractor.checkpoint, str)


def test_no_hook_puts_an_object_into_a_run(tmp_path, monkeypatch):
    """Whatever a class makes of what was recorded: `settle_options` of somebody's own."""
    hook = staticmethod(lambda options, begun, cfg: options.update({"value": begun["value"]}))
    monkeypatch.setattr(torch.nn.Identity, "settle_options", hook, raising=False)
    (tmp_path / "config.yaml").write_text("part: {value: {_target_: os.system, command: x}}\n")
    with pytest.raises(UserError, match=r"part\.value is an object where a value belongs"):
        train.settle_options(OmegaConf.create({"part": {"_target_": "torch.nn.Identity"}}), tmp_path)


PLACE = {"current": {"ready": 1, "processed": 1}}
BATCHES = {"is_last_batch": True, "current": {"ready": 2}, "total": {"ready": 2}}
CONTENT = {
    "epoch": 0,
    "global_step": 2,
    "loops": {"fit_loop": {"epoch_progress": PLACE, "epoch_loop.batch_progress": BATCHES}},
}


def paths(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys of each value in a mapping of mappings."""
    for key in node if isinstance(node, dict) else ():
        yield (*path, key)
        yield from paths(node[key], (*path, key))


def test_where_a_run_was_is_believed_only_as_numbers(tmp_path):
    """Each value that says so left out, or of another type."""
    schema.check(CONTENT, checkpoint.PLACE, tmp_path)
    for *above, key in paths(CONTENT):
        for strange in (..., None, -1, "1", 1.5, [], {}, float("nan")):
            content = copy.deepcopy(CONTENT)
            node = functools.reduce(lambda inner, name: inner[name], above, content)
            node[key] = strange
            if strange is ...:
                del node[key]
            with pytest.raises(UserError):
                schema.check(content, checkpoint.PLACE, tmp_path)


# --- what the gate lets through


def parts(package: str) -> dict[str, Any]:
    """All that a file may have built of the modules below a package, by its name."""
    found = {}
    for module in [importlib.import_module(package), *modules(package)]:
        own = [(n, o) for n, o in vars(module).items() if getattr(o, "__module__", "") == module.__name__]
        found.update(
            {f"{module.__name__}.{name}": o for name, o in own if trust.is_part(o, f"{module.__name__}.{name}")}
        )
    return found


def modules(package: str) -> Iterator[Any]:
    """Those below a package that import; what needs a library that is not here cannot be built either."""
    for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.", onerror=lambda _: None):
        if not any(part.startswith("_") for part in info.name.split(".")):
            with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
                yield importlib.import_module(info.name)


def takes_text(parameter: inspect.Parameter) -> bool:
    """May it be any text, or does it say nothing? Of a Literal it may be one of a few words."""
    if parameter.annotation is parameter.empty:
        return True
    words = re.sub(r"Literal\[[^]]*\]", "", str(parameter.annotation))
    return re.search(r"\bstr\b|\bPath\b|\bAny\b|\bobject\b", words) is not None


def test_what_ours_do_with_text_is_said_in_the_docs():
    """Each option of each part of lightloom that takes any text: what it means stands in docs/security.md."""
    asked = {n for part in parts("lightloom").values() for n, p in trust.parameters(part).items() if takes_text(p)}
    told = {name for row in table("Options that take text") for name in re.findall(r"`(\w+)`", row[0])}
    assert asked == told


@pytest.mark.parametrize("package", [place.rstrip(".") for place in trust.BASES if not place.startswith("lightloom.")])
def test_nothing_of_a_library_reaches_outside(package):
    """A path, an address or a module's name is refused where a file gives it, whatever the option is called."""
    found = parts(package)
    assert found
    for name, part in found.items():
        said = {n: str(p.annotation) for n, p in trust.parameters(part).items()}
        reaching = [n for n, words in said.items() if re.search(r"\b(Path|PathLike|_PATH|IO|ModuleType)\b", words)]
        reaching += [n for n in said if re.search("path|file|url|dir|module_name", n.lower()) and "str" in said[n]]
        assert set(trust.options_outside(part, dict.fromkeys(reaching, "x"))) == set(reaching), name


def test_only_few_functions_of_libraries_are_parts():
    """Each is looked at by hand: see FUNCTIONS."""
    assert trust.FUNCTIONS == ("timm.optim.create_optimizer_v2",)
    for name, part in {
        n: o for p in ("torch.nn", "timm.layers", "torchvision.ops") for n, o in parts(p).items()
    }.items():
        assert isinstance(part, type), name


# --- who builds


BUILDERS = {"build", "build_datamodule", "build_trusted", "instantiate", "import_target", "import_module", "__import__"}
BUILDERS |= {"get_class", "get_method", "get_object", "get_static_method"}


def test_every_place_that_builds_or_imports_by_name_is_in_the_docs():
    """Each call in src/ that makes an object of a name: where the name comes from stands in docs/security.md."""
    found: set[tuple[str, str]] = set()
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = getattr(node, "func", None)
            name = getattr(called, "attr", getattr(called, "id", ""))
            if isinstance(node, ast.Call) and name in BUILDERS:
                found.add((file.relative_to(ROOT / "src").as_posix().removeprefix("lightloom/"), name))
    rows = table("Where objects are made of names")
    assert found == {(path.strip("`"), name) for path, names, *_ in rows for name in quoted(names)}


READERS = re.compile(
    r"torch(\.export|\.hub|\.jit)?\.load|(json|yaml|pickle|np|onnx|OmegaConf)\.(safe_|full_)?loads?|safe_open|.*Unpickler"
    r"|np\.(loadtxt|genfromtxt|fromfile|memmap)|csv\.(reader|DictReader)|cells\.(rows|dicts)|JournalFileBackend|urlopen"
    r"|ElementTree\.(fromstring|parse|iterparse|XML)|(Image|av|gzip|zipfile|tarfile)\.(open|decompress|ZipFile)"
    r"|tarfile.TarInfo.frombuf|(.*\.)?read_(json|yaml|xml|text|bytes)|onnxruntime\.InferenceSession|.*opener\(\)\.open"
)


def test_every_reader_of_files_is_in_the_docs():
    """Each file of src/ that parses what it has not written itself; docs/security.md says how it is bounded."""
    found = set()
    for file in sorted((ROOT / "src").rglob("*.py")):
        calls = [n for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
        if any(READERS.fullmatch(ast.unparse(call.func)) for call in calls):
            found.add(file.relative_to(ROOT / "src/lightloom").as_posix())
    assert found == {path for row in table("Readers of files") for path in quoted(row[0])}


# --- who hands it on


def test_a_safetensors_file_of_a_trusted_package_is_loaded(package, tmp_path):
    from safetensors.torch import save_file

    from lightloom.exporting.formats import load_safetensors

    path = tmp_path / "x.safetensors"
    weights = torch.nn.Linear(2, 2).state_dict(prefix="layer.")
    save_file(weights, path, metadata={"model": json.dumps({"_target_": f"{package}.Net"})})
    with pytest.raises(UserError, match=rf"say trust=\[{package}\]"):
        load_safetensors(path)
    loaded = load_safetensors(path, trust=[package]).state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_an_extractors_checkpoint_gets_the_commands_trust(package, tmp_path):
    from conftest import compose as composed

    from lightloom.predict.classes.features import TrainedFeatures

    options = ("model=gan", "extractor@callbacks.quality.extractor=classifier", f"trust=[{package}]")
    assert composed(*options, "callbacks.quality.extractor.checkpoint=x").callbacks.quality.extractor.trust == [package]
    path, weights = tmp_path / "x.ckpt", torch.nn.Linear(2, 2).state_dict(prefix="layer.")
    config = {"model": {"_target_": f"{package}.Net"}, "data": {"name": "x"}}
    checkpoint.save({"state_dict": weights, "global_step": 1, "lightloom": {"config": config, "data": {}}}, path)
    with pytest.raises(UserError, match=rf"say trust=\[{package}\]"):
        TrainedFeatures(str(path), "net", str(tmp_path))
    with pytest.raises(UserError, match="its model is a Net, no LightningModule"):
        TrainedFeatures(str(path), "net", str(tmp_path), trust=[package])
