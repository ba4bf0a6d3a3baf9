"""Which models can be exported to which format, how long it takes, and how far the file is from the model.

python benchmarks/exporting.py [model ...] [format ...]: untrained models of configs/model on small images; by
default all of them, as ONNX and as torch.export, one line each. Untrained detectors find nothing, or boxes with equal
scores of which chance decides; tests/exporting/test_export.py has them find something.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from lightloom.config import compose
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.exporting import steps
from lightloom.exporting.contract import Graph
from lightloom.exporting.formats import FORMATS

DATA = {"detection": ("digit_scenes", "data.image_size=64"), "signal": ("signals",), "image": ("digits",)}
SMALLEST = {"inception_v3": ("data.image_size=75",)}  # pixels, of networks that need more than the data's


def graph_of(model: str) -> tuple[DictConfig, Graph]:
    """An untrained model on data that fits, as export.py has it."""
    for data, *sizes in DATA.values():
        overrides = [f"model={model}", f"data={data}", *sizes, *SMALLEST.get(model, ())]
        try:
            checked = compose.check("train", overrides)
        except UserError:
            continue
        cfg = compose.without_hydra(compose.compose("train", checked))
        torch.manual_seed(0)
        module = build(cfg.model, "model").eval()
        return cfg, steps.choose_graph(OmegaConf.create({"use": None}), cfg, module)
    raise UserError(f"no data fits model={model}")


def exported(graph: Graph, name: str, folder: Path) -> tuple[Path, float]:
    """The file, and its largest difference to the model on random inputs."""
    path = folder / f"model{FORMATS[name].suffix}"
    steps.write(graph, FORMATS[name], path, {})
    inputs = [graph.draw(i, sizes) for i, sizes in enumerate(graph.sizes())]
    return path, steps.largest_difference(graph, FORMATS[name].open(path, graph), inputs)


def main() -> None:
    logging.disable()
    warnings.simplefilter("ignore")
    models = [name for name in sys.argv[1:] if name not in FORMATS] or list(compose.options("model"))
    formats = [name for name in sys.argv[1:] if name in FORMATS] or ["onnx", "torch_export"]
    for model in models:
        graph = graph_of(model)[1]
        for name in formats:
            started = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    path, difference = exported(graph, name, Path(folder))
                    said = f"{difference:.1e}  {path.stat().st_size / 1e6:7.2f} MB"
                except UserError as error:
                    said = str(error)
            print(f"{model:16} {name:13} {time.process_time() - started:6.1f} s  {said}", flush=True)


if __name__ == "__main__":
    main()
