"""Files as export.py writes them, of graphs that say what they were given: no model has to be trained for them."""

import json
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

SIDE = 6.0  # pixels, of the box around what is bright


def classifier(folder: Path, side: int = 8) -> Path:
    """The probabilities of `dark` and `bright` are of the mean of an image of one channel."""
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["bright"], keepdims=0),
        helper.make_node("Sub", ["one", "bright"], ["dark"]),
        helper.make_node("Unsqueeze", ["dark", "last"], ["first"]),
        helper.make_node("Unsqueeze", ["bright", "last"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["probabilities"], axis=1),
    ]
    values = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
    ]
    shape: list[Any] = ["batch", 1, side, side]
    outputs = {"probabilities": ["batch", 2]}
    facts = {"kind": "image", "classes": ["dark", "bright"], "channels": 1, "image_size": side}
    return _written(folder / "classifier.onnx", "classify", "images", shape, nodes, values, outputs, facts)


def detector(folder: Path) -> Path:
    """A box of SIDE pixels, at the top, whose left is the brightest column of an image; `light`, with score 0.9."""
    nodes = [
        helper.make_node("ReduceMax", ["image", "axes"], ["columns"], keepdims=0),
        helper.make_node("ArgMax", ["columns"], ["place"], axis=0, keepdims=1),
        helper.make_node("Cast", ["place"], ["left"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["left", "moves"], ["moved"]),
        helper.make_node("Add", ["moved", "corners"], ["boxes"]),
        helper.make_node("Identity", ["label"], ["labels"]),
        helper.make_node("Identity", ["score"], ["scores"]),
    ]
    values = [
        helper.make_tensor("axes", TensorProto.INT64, [2], [0, 1]),
        helper.make_tensor("moves", TensorProto.FLOAT, [1, 4], [1.0, 0.0, 1.0, 0.0]),
        helper.make_tensor("corners", TensorProto.FLOAT, [1, 4], [0.0, 0.0, SIDE, SIDE]),
        helper.make_tensor("label", TensorProto.INT64, [1], [1]),
        helper.make_tensor("score", TensorProto.FLOAT, [1], [0.9]),
    ]
    outputs = {"boxes": ["found", 4], "labels": ["found"], "scores": ["found"]}
    facts = {"kind": "detection", "classes": ["light"], "channels": 3, "num_classes": 1}
    shape: list[Any] = [3, "height", "width"]
    return _written(folder / "detector.onnx", "find", "image", shape, nodes, values, outputs, facts)


def segmenter(folder: Path, side: int = 32) -> Path:
    """A pixel is of `light` where an image of three channels is bright, else of `dark`."""
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["bright"], keepdims=1),
        helper.make_node("Sub", ["one", "bright"], ["dark"]),
        helper.make_node("Concat", ["dark", "bright"], ["logits"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["masks"], axis=1, keepdims=0),
    ]
    values = [
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
    ]
    shape: list[Any] = ["batch", 3, "height", "width"]
    outputs = {"logits": ["batch", 2, "height", "width"], "masks": ["batch", "height", "width"]}
    facts = {"kind": "segmentation", "classes": ["dark", "light"], "channels": 3, "image_size": side}
    return _written(folder / "segmenter.onnx", "segment", "images", shape, nodes, values, outputs, facts)


def _written(
    path: Path,
    use: str,
    given: str,
    shape: list[Any],
    nodes: list[Any],
    values: list[Any],
    outputs: dict[str, list[Any]],
    facts: dict[str, Any],
) -> Path:
    kinds = {"labels": TensorProto.INT64, "masks": TensorProto.INT64}
    begin = helper.make_tensor_value_info(given, TensorProto.FLOAT, shape)
    ends = [
        helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), sizes)
        for name, sizes in outputs.items()
    ]
    graph = helper.make_graph(nodes, use, [begin], ends, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    about = {"outputs": list(outputs), "facts": facts, "input": {"shape": shape}}
    told = {"use": use, "run_name": path.stem, "data": "lights"}
    helper.set_model_props(model, told | {name: json.dumps(value) for name, value in about.items()})
    onnx.save(model, path)
    return path
