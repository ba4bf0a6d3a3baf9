"""An exported file gives the model's own answers, at any size that it says may vary; one that does not is not kept."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import shutil
from pathlib import Path
from typing import get_args, get_type_hints

import commands
import numpy as np
import pytest
import torch
from conftest import ROOT, _task, compose, names, written
from data_of_task import DATA
from omegaconf import OmegaConf
from PIL import Image

from lightloom.config import compose as config
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint
from lightloom.exporting import checks, formats, steps
from lightloom.exporting.contract import Graph, several
from lightloom.exporting.formats import FORMATS
from lightloom.exporting.graphs.boxes import Detection
from lightloom.exporting.graphs.boxes import difference as detections_apart
from lightloom.exporting.options import Options

TOLERANCE = 1e-4
PARTS = ("network", "encoder", "generator")


def classes(model: str) -> tuple[str, ...]:
    """Of the algorithm, and of its first network."""
    cfg = written(model)
    return tuple(str(part._target_) for part in (cfg, *(cfg.get(name) for name in PARTS)) if part is not None)


def one_of_each() -> list[str]:
    """For each combination of classes the model with the shortest name."""
    shortest: dict[tuple[str, ...], str] = {}
    for name in sorted(names("model"), key=lambda name: (len(name), name)):
        shortest.setdefault(classes(name), name)
    return sorted(shortest.values())


MODELS = one_of_each()
DETECTORS = [name for name in MODELS if "Detector" in classes(name)[0] and name != "ssd"]  # as ssdlite, but 100 MB

GIVEN = [name for name in DETECTORS if ".rcnn." in classes(name)[1]]  # whose regions come from elsewhere


def task_of(model: str) -> str:
    return _task(ROOT / f"configs/model/{model}.yaml")


def graph_of(model: str, use: str | None = None) -> Graph:
    """Of untrained weights."""
    task = task_of(model)
    cfg = config.without_hydra(compose(f"model={model}", *DATA.get(task, ())))
    torch.manual_seed(0)
    module = build(cfg.model, "model")
    if task == "detection":
        find_something(module.network)
    return steps.choose_graph(OmegaConf.create({"use": use}), cfg, module.eval())


@torch.no_grad()
def find_something(network: torch.nn.Module) -> None:
    """Statistics of a batch and a low threshold: many detections, no two of whose scores are equal by chance."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the mean of all batches, here of one
    target = {"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([1])}
    network.train()(list(torch.rand(4, 3, 64, 64)), [{**target, "masks": torch.ones(1, 64, 64).byte()}] * 4)
    if hasattr(network, "score_thresh"):
        network.score_thresh = 0.001


def difference(graph: Graph, name: str, folder: Path) -> float:
    """Of the file in this format to the model, at sizes that it was not recorded with."""
    path = folder / f"model{FORMATS[name].suffix}"
    steps.write(graph, FORMATS[name], path, {"a": "b"})
    inputs = [graph.draw(i, sizes) for i, sizes in enumerate(graph.sizes())]
    return steps.largest_difference(graph, FORMATS[name].open(path, graph), inputs)


def is_recorded(model: str) -> bool:
    """Detectors have a test of their own; nothing is recorded of what needs the whole graph."""
    return task_of(model) not in ("detection", "node_classification")


@pytest.mark.parametrize("model", filter(is_recorded, MODELS))
def test_each_kind_of_network_is_recorded_for_any_batch(model, tmp_path):
    """By the exporter that its graph names."""
    graph = graph_of(model)
    assert difference(graph, "onnx" if graph.traced else "torch_export", tmp_path) <= TOLERANCE


@pytest.mark.parametrize("model", ["gpt", "bert", "bert_classifier", "text_transformer", "transformer"])
def test_texts_of_any_length_are_refused_by_the_exporter_that_unrolls(model, tmp_path):
    graph = graph_of(model)
    with pytest.raises(UserError, match="texts of one length only; use format=onnx"):
        difference(graph, "torch_export", tmp_path)


@pytest.mark.parametrize(
    "model", [*(n for n in DETECTORS if not n.startswith("bolts_") and n not in GIVEN), "gan", "biggan_small"]
)
def test_onnx_answers_as_the_model_does(model, tmp_path):
    """Detectors also for images that are enlarged and shrunk."""
    graph = graph_of(model)
    assert difference(graph, "onnx", tmp_path) <= 10 * TOLERANCE  # statistics of one batch amplify rounding
    assert all(len(graph(*several(graph.draw(0, sizes)))[0]) for sizes in graph.sizes())


@pytest.mark.parametrize("name", ["onnx", "torch_export"])
@pytest.mark.parametrize("model", GIVEN)
def test_a_detector_of_given_regions_is_refused_in_one_sentence(model, name, tmp_path):
    with pytest.raises(UserError, match=rf"^format={name}: the regions .* format=safetensors .* model=faster_rcnn"):
        difference(graph_of(model), name, tmp_path)


def test_what_a_trace_does_not_hold_is_refused(tmp_path):
    """The YOLO of lightning-bolts computes with the size of the image that it was traced with."""
    found = difference(graph_of("bolts_yolo"), "onnx", tmp_path)
    with pytest.raises(UserError, match="is not kept"):
        steps.check({"random": found}, TOLERANCE, tmp_path / "model.onnx")


def test_a_model_of_two_uses_is_exported_for_either(tmp_path):
    graph = graph_of("vae", "sample")
    assert (graph.input, graph.outputs, graph.shape) == ("latents", ("images",), ("batch", 20))
    assert difference(graph, "torch_export", tmp_path) <= TOLERANCE
    with pytest.raises(UserError, match=r"^use=classify: VAE can reconstruct and sample;"):
        graph_of("vae", "classify")


def test_what_a_format_cannot_say_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"^format=torch_export: .* set format=onnx"):
        difference(graph_of("yolo"), "torch_export", tmp_path)

    class Undecided(Graph):
        outputs = ("answer",)

        def forward(self, x):
            return (x * 2,) if x.sum() > 3 else (x,)

    graph = Undecided(torch.nn.Linear(1, 1), ("batch", 2))
    with pytest.raises(UserError, match=r"^Linear cannot be exported as pt2 \(.*\); format=safetensors keeps its weig"):
        difference(graph, "torch_export", tmp_path)


def test_a_missing_library_is_one_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'^format=onnx needs onnx, .*: \.venv/bin/uv pip install -e "\.\[export\]"\.$'):
        steps.choose_format("onnx")


def test_each_format_may_be_asked_for():
    one_of, none = get_args(get_type_hints(Options)["format"])
    assert get_args(one_of) == tuple(FORMATS)
    assert none is type(None)


# --- how answers are compared


def test_other_values_other_shapes_and_no_numbers_differ():
    x = torch.tensor([1.0, -20.0])
    assert checks.of_values([x], [x]) == 0
    assert checks.of_values([x + 0.5], [x]) == pytest.approx(0.5 / 20)
    assert checks.of_values([x], [x * torch.nan]) == checks.of_values([x * torch.inf], [x]) == math.inf
    assert checks.of_values([x[:1]], [x]) == math.inf


def test_detections_are_compared_whatever_their_order():
    boxes, labels = torch.tensor([[0.0, 0, 10, 20], [5, 5, 9, 100]]), torch.tensor([1, 2])
    scores, masks = torch.tensor([0.5, 0.5]), torch.eye(2).byte()[:, None].repeat(1, 4, 2)
    found = (boxes, labels, scores, masks)
    other = [part.flip(0) for part in found]
    assert detections_apart(other, found) == 0
    assert detections_apart([boxes.flip(0) + torch.tensor([0, 0, 0, 7.0]), *other[1:]], found) == pytest.approx(0.07)
    assert detections_apart([other[0], labels, *other[2:]], found) >= 0.9
    assert detections_apart([*other[:3], masks], found) == 1
    assert detections_apart([part[:1] for part in found], found) >= 0.9  # the second one's nearest is the first
    assert detections_apart([torch.cat([part, part[-1:]]) for part in found], found) == 0
    assert detections_apart([part[:0] for part in found], found) == math.inf
    assert detections_apart([part[:0] for part in found], [part[:0] for part in found]) == 0


# --- the command


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run with averaged weights, exported to each format."""
    logs = tmp_path_factory.mktemp("logs")
    short = ("trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=4")
    commands.run(logs, "model=lenet", "callbacks=ema", "callbacks.ema.decay=0.5", "run_name=mine", *short)
    for name in FORMATS:
        said = commands.run(logs, "ckpt_path=last", f"format={name}", script="export")
        assert "on random inputs" in said
        assert "on real inputs" in said
        assert f"Exported: {logs}/runs/mine/export/mine{FORMATS[name].suffix}" in said
    return logs / "runs/mine"


def test_files_predict_as_the_checkpoint_does(run):
    """The checkpoint's averaged weights, not those of the last step."""
    content = checkpoint.load(run / "checkpoints/best.ckpt")
    state, current = content["state_dict"], content["current_model_state"]
    assert any(not torch.equal(state[key], value) for key, value in current.items() if key in state)
    trained, module = checkpoint.restore(run / "checkpoints/best.ckpt")
    graph = steps.choose_graph(OmegaConf.create({"use": None}), trained, module)
    images = torch.rand(5, 1, 28, 28)
    expected = module.predict_step((images,), 0).detach()
    for chosen in FORMATS.values():
        _, probabilities = chosen.open(run / f"export/mine{chosen.suffix}", graph)(images)
        assert torch.allclose(probabilities, expected, rtol=0, atol=1e-6)


def test_predict_py_says_of_the_file_what_it_says_of_the_checkpoint(run, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)).save(tmp_path / "one.png")
    found = []
    for path in (run, run / "export/mine.onnx"):
        said = commands.run(tmp_path, f"ckpt_path={path}", f"input={tmp_path / 'one.png'}", script="predict")
        assert "trained on digits" in said
        (table,) = (tmp_path / "predict").rglob("predictions.csv")
        found.append(list(csv.reader(table.open(encoding="utf-8")))[1])
        shutil.rmtree(tmp_path / "predict")
    (_, label, probability), (_, again, other) = found
    assert (label, float(probability)) == (again, pytest.approx(float(other), abs=1e-4))


def test_files_say_what_they_are(run):
    import onnx
    from safetensors import safe_open

    with safe_open(run / "export/mine.safetensors", "pt") as file:
        tensors = file.metadata()
    program = {formats.METADATA: ""}
    torch.export.load(run / "export/mine.pt2", extra_files=program)
    properties = {p.key: p.value for p in onnx.load(run / "export/mine.onnx").metadata_props}
    assert tensors == json.loads(program[formats.METADATA]) == properties
    assert json.loads(properties["classes"]) == [str(i) for i in range(10)]
    assert json.loads(properties["input"])["shape"] == ["batch", 1, 28, 28]
    results = json.loads((run / "results.json").read_text())
    assert json.loads(properties["metrics"]) == {k: v for k, v in results.items() if "/" in k}
    assert (properties["task"], properties["network"]) == ("classification", "LeNet")


def test_figures_of_another_checkpoint_are_left_out(run, tmp_path):
    assert steps.metrics_of(run / "checkpoints/best.ckpt")["test/acc"] >= 0
    copy = tmp_path / "alone.ckpt"
    copy.write_bytes((run / "checkpoints/best.ckpt").read_bytes())
    assert steps.metrics_of(copy) == {}


def test_a_file_that_is_not_exact_enough_is_not_kept(run, tmp_path):
    command = commands.start(tmp_path, f"ckpt_path={run}", "tolerance=1e-30", "format=onnx", "seed=3", script="export")
    before = (run / "export/mine.onnx").read_bytes()
    assert command.wait() == 2
    assert "more than tolerance=1e-30; it is not kept" in command.text
    assert sorted(p.name for p in (run / "export").iterdir()) == ["mine.onnx", "mine.pt2", "mine.safetensors"]
    assert (run / "export/mine.onnx").read_bytes() == before


def test_without_its_data_a_file_is_checked_on_random_inputs(run, tmp_path, caplog):
    """Which is said."""
    trained, module = checkpoint.restore(run / "checkpoints/best.ckpt")
    trained.data.root = str(tmp_path / "nowhere")
    reader = {"_target_": "lightloom.data.images.readers.ImageFolder", "root": trained.data.root}
    trained.data.reader = reader | {"channels": trained.data.channels, "image_size": trained.data.image_size}
    cfg = compose("format=safetensors", config_name="export")
    cfg.ckpt_path = str(run / "checkpoints/best.ckpt")
    cfg.paths.data_dir = str(tmp_path)
    with caplog.at_level("WARNING", "lightloom"):
        assert steps.real_inputs(cfg, trained, steps.choose_graph(cfg, trained, module)) == []
    assert "digits is not on this machine: the file is checked on random inputs only" in caplog.text


def test_detectors_say_which_boxes(tmp_path):
    graph = graph_of("mask_rcnn")
    assert isinstance(graph, Detection)
    assert graph.outputs == ("boxes", "labels", "scores", "masks")


# --- weights with their configuration


def test_a_strangers_file_runs_nothing(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "a.safetensors"
    save_file(
        {"x": torch.zeros(1)}, path, metadata={"model": json.dumps({"_target_": "os.system", "command": "false"})}
    )
    with pytest.raises(UserError, match="outside the trusted packages"):
        formats.load_safetensors(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="no lightloom model"):
        formats.load_safetensors(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="no whole safetensors file"):
        formats.load_safetensors(path)
