"""What `export.py` does with a checkpoint, step by step."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor

from lightloom.config.foreign import plain
from lightloom.core import run_dir, schema
from lightloom.core.errors import UserError, check_installed
from lightloom.core.text import file_name, megabytes
from lightloom.data import contract
from lightloom.engine import checkpoint as checkpoints
from lightloom.engine import evaluate
from lightloom.engine.trust import check_trusted
from lightloom.exporting.contract import Graph, Input, graphs, several
from lightloom.exporting.formats import FORMATS, Format, Run

log = logging.getLogger("lightloom")
FOLDER = "export"  # in a run's folder


def choose_format(name: str) -> Format:
    """The format of that name; UserError where there is none, or its libraries are not installed."""
    if name not in FORMATS:
        raise UserError(f"format={name}: expected {', '.join(FORMATS)}.")
    check_installed(f"format={name}", "export", *FORMATS[name].needs)
    return FORMATS[name]


def choose_graph(cfg: DictConfig, trained: DictConfig, module: pl.LightningModule) -> Graph:
    """What is exported of the module, in single precision: the first of its uses, or the one that `use=` names."""
    check_trusted(trained.data, str(cfg.get("ckpt_path")), cfg.get("trust") or ())  # it draws examples
    known = graphs()
    uses = {graph.use: graph for graph in known if graph.accepts(module, trained.data)}
    name = type(module).__name__
    if not uses:
        offers = ", ".join(f"{graph.use} ({graph.needs})" for graph in known)
        kind = trained.data.get("kind") or "unknown"
        raise UserError(
            f"{trained.run_name}: {name}, trained on data of kind {kind}, does none of what export.py records: "
            f"{offers}; give it one of these, or write a graph in src/lightloom/exporting/graphs."
        )
    if cfg.use is not None and cfg.use not in uses:
        raise UserError(f"use={cfg.use}: {name} can {' and '.join(uses)}; say one of these, or leave it out.")
    graph = uses[cfg.use] if cfg.use else next(iter(uses.values()))
    return graph.of(module.float(), trained.data)


def export(cfg: DictConfig, trained: DictConfig, graph: Graph, chosen: Format) -> Path:
    """Write the file, ask it the inputs and keep it where its answers are the model's. Returns its path."""
    path = place(cfg, trained) / f"{file_name(trained.run_name)}{f'-{cfg.use}' if cfg.use else ''}{chosen.suffix}"
    random: list[Input] = [graph.draw(cfg.seed + i, sizes) for i, sizes in enumerate(graph.sizes())]
    inputs = {"random": random}
    if real := real_inputs(cfg, trained, graph):
        check_shapes(graph, real, trained.data.name)
        inputs["real"] = [*real]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".saving-{path.name}")
    try:
        write(graph, chosen, temporary, facts(cfg, trained, graph))
        run = chosen.open(temporary, graph)
        found = {kind: largest_difference(graph, run, given) for kind, given in inputs.items()}
        check(found, cfg.tolerance, path)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    told = ", ".join(f"{value:.1e} on {kind} inputs" for kind, value in found.items())
    log.info("Largest difference to the model: %s (at most %g).", told, cfg.tolerance)
    if remark := graph.remark(x for given in inputs.values() for x in given):
        log.warning("%s", remark)
    shape = ", ".join(map(str, graph.shape))
    log.info(
        "%s (%s), %s, to %s: %s",
        graph.input,
        shape,
        graph.meaning,
        ", ".join(graph.outputs),
        megabytes(path.stat().st_size),
    )
    log.info("Exported: %s", path)
    return path


@torch.inference_mode()
def largest_difference(graph: Graph, run: Run, inputs: Iterable[Input]) -> float:
    """Over all inputs and answers; infinite where an answer is of another shape, or is not a number."""
    return max(graph.difference(tuple(run(*several(x))), graph(*several(x))) for x in inputs)


def write(graph: Graph, chosen: Format, path: Path, about: Mapping[str, str]) -> None:
    """The file; UserError where the format has no way to say what the model does."""
    name = next(name for name, one in FORMATS.items() if one is chosen)
    if name in graph.refused:
        raise UserError(f"format={name}: {graph.refused[name]}.")
    try:
        with torch.no_grad():
            chosen.write(graph, path, about)
    except (UserError, OSError):
        raise
    except Exception as error:  # the exporters raise what they please
        name = type(getattr(graph.module, "network", graph.module)).__name__
        reason = " ".join((str(error).strip() or type(error).__name__).splitlines()[0].split())[:200]
        raise UserError(
            f"{name} cannot be exported as {path.suffix.removeprefix('.')} ({reason}); format=safetensors keeps its "
            f"weights."
        ) from error


def check_shapes(graph: Graph, inputs: Iterable[Tensor], name: str) -> None:
    """Raise UserError where the data's own batches are of another shape than what is exported."""
    for x in inputs:
        sizes = tuple(x.shape)
        if len(sizes) != len(graph.shape) or any(
            i not in graph.free and sizes[i] != n for i, n in enumerate(graph.shape)
        ):
            shape = ", ".join(map(str, graph.shape))
            raise UserError(
                f"The batches of {name} are {sizes}, but the example that the file is made from is ({shape}); let "
                f"example() of the data, or example_input_array of the module, be as a batch is."
            )


def check(differences: Mapping[str, float], tolerance: float, path: Path) -> None:
    """Raise UserError where an answer of the file is not the model's."""
    for kind, value in differences.items():
        if not value <= tolerance:
            raise UserError(
                f"{path}: on {kind} inputs its answers differ from the model's by {value:.1e}, more than "
                f"tolerance={tolerance:g}; it is not kept. Try another format, or a larger tolerance if that will do."
            )


def place(cfg: DictConfig, trained: DictConfig) -> Path:
    """`export` in the run's folder, or this command's own folder for a checkpoint on its own."""
    run = run_dir.run_of(Path(cfg.ckpt_path))
    return run / FOLDER if run else Path(cfg.paths.output_dir)


def real_inputs(cfg: DictConfig, trained: DictConfig, graph: Graph) -> list[Tensor]:
    """From the data's test part, or validation; nothing where no data is asked for or at hand."""
    if not graph.of_data:
        return []
    try:
        datamodule: Any = evaluate.test_data(cfg, trained)
        datamodule.setup("test")
        loader = contract.eval_loader(datamodule, evaluate.choose_split(None, datamodule, trained))
        return graph.real(datamodule.on_after_batch_transfer(next(iter(loader)), 0))
    except UserError:
        if evaluate.is_swapped(cfg) or Path(trained.data.get("root") or "").exists():
            raise
        log.warning(
            "%s is not on this machine: the file is checked on random inputs only; name a set with data=<data set>.",
            trained.data.name,
        )
        return []


def facts(cfg: DictConfig, trained: DictConfig, graph: Graph) -> dict[str, str]:
    """What a user of the file has to know, as text; lists and dictionaries in JSON."""
    path = Path(cfg.ckpt_path)
    content = schema.check(checkpoints.load(path), checkpoints.WHEN, path)
    data = {**trained.data, **checkpoints.state_for(trained, path)}
    known: dict[str, Any] = {
        "use": graph.use,
        "facts": {name: plain(data.get(name)) for name in graph.facts},
        "run_name": trained.run_name,
        "task": trained.get("task", ""),
        "network": type(getattr(graph.module, "network", graph.module)).__name__,
        "model": plain(trained.model),
        "data": trained.data.name,
        "classes": plain(trained.data.get("classes")),
        "input": {"name": graph.input, "shape": graph.shape, "values": graph.meaning, "labels": graph.labels},
        "outputs": list(graph.outputs),
        "description": str(type(graph).__doc__).strip(),
        "metrics": metrics_of(path),
        "epochs": content["epoch"] + 1,
        "steps": content["global_step"],
        "versions": {"lightloom": _version(), "torch": torch.__version__, "pytorch_lightning": pl.__version__},
    }
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in known.items()}


def metrics_of(path: Path) -> dict[str, float]:
    """The figures that the run measured with this checkpoint: those of its test, if it is the one that was tested."""
    run = run_dir.run_of(path)
    best = run / run_dir.CHECKPOINTS / run_dir.BEST if run else path
    if run is None or not best.is_file() or not best.samefile(path):
        return {}
    return {name: value for name, value in run_dir.figures(run).items() if "/" in name}


def _version() -> str:
    try:
        return metadata.version("lightloom")
    except metadata.PackageNotFoundError:  # it runs from src/, not installed
        return "unknown"
