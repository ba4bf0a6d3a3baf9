"""The formats: each is written with facts about the model, and opened again as another program would."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor

from lightloom.config.aliases import PACKAGES, renamed
from lightloom.config.foreign import as_config
from lightloom.config.instantiate import build
from lightloom.config.untrusted import check_plain
from lightloom.core.errors import UserError
from lightloom.engine.checkpoint import check_state, without_weights
from lightloom.engine.trust import build_trusted
from lightloom.exporting.contract import Graph, several

Run = Callable[..., tuple[Tensor, ...]]
OPSET = 18  # of ONNX, for what is traced; the others get the exporter's own
METADATA = "metadata.json"  # the name of the facts in a file of torch.export


@dataclass(frozen=True)
class Format:
    """write(graph, path, facts) and open(path, graph), which gives the file's answers; the libraries that both need.

    program: does the file say how the answers are computed, beside the weights?
    """

    suffix: str
    write: Callable[[Graph, Path, Mapping[str, str]], None]
    open: Callable[[Path, Graph], Run]
    needs: tuple[str, ...] = ()
    program: bool = True


# --- ONNX


def write_onnx(graph: Graph, path: Path, facts: Mapping[str, str]) -> None:
    """One file, weights inside."""
    import onnx

    named: dict[str, Any] = {"input_names": list(graph.inputs), "output_names": list(graph.outputs), "verbose": False}
    example = several(graph.draw(0, graph.example))
    if graph.traced:
        axes = {graph.input: graph.free, **{name: {0: "found"} for name in graph.outputs}}
        with graph.recording():
            torch.onnx.export(graph, example, path, dynamo=False, opset_version=OPSET, dynamic_axes=axes, **named)
    else:
        torch.onnx.export(
            graph, example, path, dynamo=True, dynamic_shapes=_dynamic(graph), external_data=False, **named
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(facts))
    onnx.save(model, path)


def open_onnx(path: Path, graph: Graph) -> Run:
    """Run the file in onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        named = {name: x.numpy() for name, x in zip(graph.inputs, inputs, strict=True)}
        return tuple(map(torch.from_numpy, session.run(None, named)))

    return run


def _dynamic(graph: Graph) -> tuple[dict[int, Any], ...]:
    """Of each input; labels are as many as the first dimension says."""
    free = {i: torch.export.Dim(name) for i, name in graph.free.items()}
    return (free, *({0: free[0]} for _ in graph.labels))


# --- torch.export


def write_torch_export(graph: Graph, path: Path, facts: Mapping[str, str]) -> None:
    """A program that runs without the classes it was made of."""
    program = torch.export.export(graph, several(graph.draw(0, graph.example)), dynamic_shapes=_dynamic(graph))
    torch.export.save(program, path, extra_files={METADATA: json.dumps(dict(facts))})


def open_torch_export(path: Path, graph: Graph) -> Run:
    """Run the program of the file."""
    return torch.export.load(path).module()


# --- safetensors


def write_safetensors(graph: Graph, path: Path, facts: Mapping[str, str]) -> None:
    """The weights by their names in the checkpoint; its header says with which configuration they are a model."""
    from safetensors.torch import save_file

    state = {name: value.detach().clone().contiguous() for name, value in graph.module.state_dict().items()}
    save_file(state, path, metadata=dict(facts))


def open_safetensors(path: Path, graph: Graph) -> Run:
    """Run the module of a file that this process has just written, of a checkpoint that it has found to be trusted."""
    model, state = _read_safetensors(path)
    return type(graph)(_loaded(build(model, "model"), state, path), graph.shape, graph.example)


def load_safetensors(path: Path | str, trust: Sequence[str] = ()) -> pl.LightningModule:
    """The module of an exported file, ready to be evaluated. Raises UserError where the file is no such one.

    trust: packages beside our own whose classes it may name.
    """
    model, state = _read_safetensors(path)
    return _loaded(build_trusted(model, "model", str(path), trust), state, path)


def _read_safetensors(path: Path | str) -> tuple[DictConfig, dict[str, Tensor]]:
    """The configuration of the model, and its weights."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path} is no whole safetensors file ({error}); export it anew.") from error
    if "model" not in facts:
        raise UserError(f"{path}: its header has no lightloom model; use a file that src/export.py wrote.")
    try:
        model, versions = json.loads(facts["model"]), json.loads(facts.get("versions", "{}"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its header is no JSON ({error}); export it anew.") from error
    check_plain(model, str(path))
    if not isinstance(model, dict) or not isinstance(versions, dict):
        raise UserError(f"{path}: its header has no lightloom model; use a file that src/export.py wrote.")
    is_old = not PACKAGES.keys().isdisjoint(versions)
    return as_config(without_weights(renamed(model) if is_old else model)), state


def _loaded(module: Any, state: dict[str, Tensor], path: Path | str) -> pl.LightningModule:
    check_state(module, state, str(path))
    module.load_state_dict(state)
    return module.eval()  # type: ignore[no-any-return]


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", write_onnx, open_onnx, ("onnx", "onnxruntime", "onnxscript")),
    "torch_export": Format(".pt2", write_torch_export, open_torch_export),
    "safetensors": Format(".safetensors", write_safetensors, open_safetensors, ("safetensors",), program=False),
}
