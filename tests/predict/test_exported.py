"""predict.py asks a file that export.py has written, and believes what it says of itself only as far as it is plain."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from omegaconf import OmegaConf
from onnx import TensorProto, helper

from lightloom.core.errors import UserError
from lightloom.modules.protocols import Detects, Generates, GeneratesByClass, Reconstructs, classifies
from lightloom.ops.rng import latents
from lightloom.predict import exported

ABOUT = {
    "use": "classify",
    "run_name": "mine",
    "data": "shapes",
    "outputs": json.dumps(["logits", "probabilities"]),
    "facts": json.dumps({"kind": "image", "classes": ["circle", "square"], "channels": 1, "image_size": 2}),
    "input": json.dumps({"shape": ["batch", 1, 2, 2]}),
}


def written(folder: Path, about: dict[str, str]) -> Path:
    """A file whose answers are twice and thrice its input."""
    names = json.loads(ABOUT["outputs"])
    nodes = [helper.make_node("Mul", ["images", f"by_{i}"], [name]) for i, name in enumerate(names, start=2)]
    values = [helper.make_tensor(f"by_{i}", TensorProto.FLOAT, [], [float(i)]) for i in (2, 3)]
    shape = ["batch", 1, 2, 2]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("images", *names)]
    graph = helper.make_graph(nodes, "twice", ends[:1], ends[1:], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, about)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def restored(path: Path):
    return exported.restore(OmegaConf.create({"ckpt_path": str(path)}))


def test_the_file_says_all_that_is_needed(tmp_path):
    trained, module = restored(written(tmp_path, ABOUT))
    assert (trained.run_name, trained.data.name, list(trained.data.classes)) == ("mine", "shapes", ["circle", "square"])
    images = torch.rand(3, 1, 2, 2)
    assert torch.equal(module.predict_step((images,), 0), images * 3)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("use", None, "its metadata has no use"),
        ("use", "run", r"it is for 'run'; predict.py asks find, classify"),
        ("facts", "{", "facts in its metadata is no JSON"),
        ("facts", '{"classes": {"_target_": "os.system"}}', "is an object where a value belongs"),
        ("facts", '{"classes": [1]}', r"facts\['classes'\]\[0\] is 1; expected a text"),
        ("outputs", '"probabilities"', "outputs is 'probabilities'; expected a list"),
        ("input", '{"shape": [0]}', r"input.shape\[0\] is 0"),
    ],
)
def test_what_it_says_is_checked(name, value, said, tmp_path):
    about = {key: text for key, text in {**ABOUT, name: value}.items() if text is not None}
    with pytest.raises(UserError, match=said):
        restored(written(tmp_path, about))


def by_class(folder: Path, classes: list[str] | None) -> Path:
    """A file that makes the latents, times the label, as images (batch, 2)."""
    nodes = [
        helper.make_node("Cast", ["labels"], ["factors"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["factors", "axis"], ["column"]),
        helper.make_node("Mul", ["latents", "column"], ["images"]),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    latents = helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", 2])
    labels = helper.make_tensor_value_info("labels", TensorProto.INT64, ["batch"])
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "times", [latents, labels], [images], [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    facts = json.dumps({"kind": "image", "classes": classes})
    said = {
        "use": "sample",
        "outputs": '["images"]',
        "facts": facts,
        "input": '{"shape": ["batch", 2], "labels": ["labels"]}',
    }
    helper.set_model_props(model, {**ABOUT, **said})
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_a_file_with_labels_makes_images_by_class(tmp_path):
    """Those that are asked for; else each latent's own, of all the same share."""
    _, module = restored(by_class(tmp_path, ["a", "b", "c"]))
    assert isinstance(module, GeneratesByClass)
    z = latents(0, 600, 2)
    assert torch.equal(module.decode(z, torch.full((600,), 2)), z * 2)
    drawn = module.classes_of(z)
    assert torch.equal(module.decode(z), z * drawn[:, None])
    assert (drawn.bincount(minlength=3) / 600 - 1 / 3).abs().max() < 0.06
    with pytest.raises(UserError, match="takes labels, but names no classes"):
        restored(by_class(tmp_path, None))


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path):
    (tmp_path / "model.onnx").write_bytes(np.random.default_rng(0).bytes(100))
    for path, said in ((tmp_path / "model.onnx", "is no whole ONNX file"), (tmp_path / "gone.onnx", "no such file")):
        with pytest.raises(UserError, match=said) as error:
            restored(path)
        assert "\n" not in str(error.value)


def test_each_use_is_one_that_predict_py_knows():
    able = {
        "classify": classifies,
        "find": lambda module: isinstance(module, Detects),
        "reconstruct": lambda module: isinstance(module, Reconstructs),
        "sample": lambda module: isinstance(module, Generates),
    }
    for use, kind in exported.uses().items():
        module = kind(None, {"outputs": [], "input": {"shape": ["batch", 7]}})
        assert [name for name, accepts in able.items() if accepts(module)] == [use.removesuffix("_texts")]
