"""Who predicts with which module: found by convention, one for each option, or one sentence of what there is."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import ROOT, compose, names
from data_of_task import DATA
from omegaconf import DictConfig, OmegaConf

import lightloom.predict
from lightloom.config import compose as config
from lightloom.config import declarations
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.exporting.contract import graphs
from lightloom.predict import choose
from lightloom.predict.contract import Request

PREDICTOR = """
class Predictor:
    ways = {"input": "input=<text>", "prompt": "prompt=<text>"}
    needs = "write"
    lacks = "writes no text"
    formats = ()

    def __init__(self, module, data):
        self.module, self.data = module, data

    @staticmethod
    def accepts(module, request):
        return hasattr(module, "write") and request.data.get("kind") == "letters"

    def predict(self, inputs):
        return self.module.write(inputs)
"""
COMMAND = """
from pathlib import Path

def run(cfg, trained, predictor):
    text = cfg.input if cfg.get("prompt") is None else cfg.prompt + predictor.data["vocabulary"]
    Path(cfg.paths.output_dir, "text.txt").write_text(predictor.predict(text))
"""
INSPECTION = """
def accepts(datamodule):
    return hasattr(datamodule, "letters")

def inspect(datamodule, cfg):
    print(f"{len(datamodule.letters)} letters")
"""


class Writes(pl.LightningModule):
    def write(self, text: str) -> str:
        return text.upper()


@pytest.fixture
def letters(tmp_path, monkeypatch) -> Path:
    """A capability in a folder of its own, added to the package."""
    for name, text in (("predictor", PREDICTOR), ("command", COMMAND), ("inspection", INSPECTION)):
        (tmp_path / "letters").mkdir(exist_ok=True)
        (tmp_path / f"letters/{name}.py").write_text(text)
    monkeypatch.setattr(lightloom.predict, "__path__", [*lightloom.predict.__path__, str(tmp_path)])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("lightloom.predict.letters")]:
        del sys.modules[name]


def command(folder: Path, *overrides: str):
    cfg = config.without_hydra(compose("trainer=cpu", *overrides, config_name="predict"))
    cfg.paths.output_dir = str(folder)
    return cfg


def trained(kind: str | None, **facts: object):
    return OmegaConf.create({"run_name": "mine", "data": {"kind": kind, "name": "x", **facts}})


def test_a_folder_is_enough_to_predict_a_new_kind_of_data(letters):
    cfg, about = command(letters, "input=abc"), trained("letters")
    choose.choose(cfg, about, Writes()).run(cfg, about, Writes())
    assert (letters / "text.txt").read_text() == "ABC"


def test_an_option_of_its_own_is_known_and_the_state_of_its_data_is_at_hand(letters, monkeypatch):
    monkeypatch.setattr(declarations, "PREDICTORS", letters)
    declarations.ways_to_predict.cache_clear()
    try:
        assert config.check("predict", ["prompt=abc"]) == ["++prompt=abc"]
        with pytest.raises(UserError, match="there is no option 'prompt'"):
            config.check("eval", ["prompt=abc"])
        cfg, about = command(letters, "++prompt=abc"), trained("letters", state_sha256="0")
    finally:
        declarations.ways_to_predict.cache_clear()
    cfg.ckpt_path = str(letters / "some.ckpt")
    record = {"config": {"model": {}, "data": {}}, "data": {"vocabulary": "xyz"}}
    torch.save({"state_dict": {}, "lightloom": record}, cfg.ckpt_path)
    choose.choose(cfg, about, Writes()).run(cfg, about, Writes())
    assert (letters / "text.txt").read_text() == "ABCXYZ"


def test_its_words_are_in_the_messages_of_all(letters):
    class Draws(pl.LightningModule):
        latent_dim = 3

        def decode(self, z):
            return z

    with pytest.raises(
        UserError,
        match=r"^input=abc: Draws (?=.*writes no text).*reconstructs nothing.*; say num",
    ):
        choose.choose(command(letters, "input=abc"), trained("image"), Draws())
    with pytest.raises(UserError, match=r"^Say what to predict: input=<text>, or prompt=<text>\.$"):
        choose.choose(command(letters), trained("letters"), Writes())


def test_a_kind_that_nobody_predicts_is_told_what_there_is():
    with pytest.raises(UserError) as caught:
        choose.choose(command(Path(), "input=a.txt"), trained("letters"), Writes())
    assert "\n" not in str(caught.value)
    assert "mine: Writes, trained on data of kind letters, is for none of what" in str(caught.value)
    for one in choose.capabilities():
        assert f"{one.name} ({one.predictor.needs})" in str(caught.value)


def test_a_kind_tells_of_its_data(letters, capsys):
    from lightloom.predict import inspection

    class Data:
        letters = "abc"

    inspection.choose(Data())(Data(), None)
    assert capsys.readouterr().out == "3 letters\n"


def test_data_that_no_kind_knows_has_its_splits_told(capsys):
    from lightloom.predict import inspection

    class Part(list):
        labelled = False

    class Data:
        def split(self, name):
            if name == "test":
                raise UserError("no test part.")
            return Part(range({"train": 1234, "val": 7}[name]))

        def facts(self):
            return {"vocabulary": list(range(100)), "width": None}

    inspection.choose(Data())(Data(), OmegaConf.create({"data": {"name": "mine"}}))
    said = capsys.readouterr().out
    for expected in ("mine", "1,234", "no test part.", "vocabulary", "... (100)"):
        assert expected in said


# --- the shipped models


USES = {
    "boxes": "find",
    "classes": "classify",
    "language": "write",
    "masked_words": "fill",
    "masks": "segment",
    "reconstructions": "reconstruct",
    "rewards": "score",
    "samples": "sample",
    "targets": "estimate",
    "translation": "translate",
    "text_images": "read",
    "text": "classify_texts",
    "episodes": "forward",  # the policy alone
    "nodes": None,  # a graph is more than the one tensor that an exported file takes
}
EXPECTED = {  # by task
    "classification": {"classes"},
    "detection": {"boxes"},
    "generation": {"samples"},
    "conditional_generation": {"samples"},
    "averaged_generation": {"samples"},
    "bidirectional": {"reconstructions", "samples"},
    "representation": {"reconstructions", "samples"},
    "latent_variable": {"reconstructions", "samples"},
    "reconstruction": {"reconstructions"},
    "denoising": {"reconstructions"},
    "signal_reconstruction": set(),
    "segmentation": {"masks"},
    "text_recognition": {"text_images"},
    "text_classification": {"text"},
    "tagging": {"targets"},
    "regression": {"targets"},
    "language_modelling": {"language"},
    "masked_language_modelling": {"masked_words"},
    "supervised_fine_tuning": {"language"},
    "reward_modelling": {"rewards"},
    "preference_optimization": {"language"},
    "node_classification": {"nodes"},
    "control": {"episodes"},
    "translation": {"translation"},
    "reward_maximization": {"language"},
}


@functools.cache
def stated(model: str) -> tuple[str, str]:
    """The task and the class of the module, read from the YAML and from what it builds on."""
    cfg = OmegaConf.load(ROOT / f"configs/model/{model}.yaml")
    own = [v for e in cfg.defaults if isinstance(e, DictConfig) for k, v in e.items() if "/task@_global_" in str(k)]
    parents = [stated(str(Path(model).parent / e)) for e in cfg.defaults if isinstance(e, str) and e != "_self_"]
    return (own or [parents[0][0]])[0], str(cfg._target_) if "_target_" in cfg else parents[0][1]


def one_of_each() -> dict[tuple[str, str], str]:
    """(task, algorithm) -> the model with the shortest name, over all models."""
    found: dict[tuple[str, str], str] = {}
    for model in sorted(names("model"), key=lambda name: (name == "ssd", len(name), name)):  # ssd has 100 MB
        found.setdefault(stated(model), model)
    return found


@pytest.mark.parametrize(("task", "model"), [(task, model) for (task, _), model in one_of_each().items()])
def test_each_algorithm_is_predicted_by_those_of_its_task(task, model):
    """Which hangs on the module's class and the kind of its data, so one model of each stands for all."""
    cfg = config.without_hydra(compose(f"model={model}", *DATA.get(task, ())))
    module = build(cfg.model, "model")
    able = {one.name for one in choose.capabilities() if one.predictor.accepts(module, Request({}, cfg.data))}
    assert able == EXPECTED[task]
    uses = {graph.use for graph in graphs() if graph.accepts(module, cfg.data)}
    assert uses == ({USES[name] for name in able} - {None} if able else {"reconstruct"})


def test_every_model_is_of_a_task_that_is_expected():
    assert {stated(model)[0] for model in names("model")} == set(EXPECTED)
