"""A model behind its capabilities: of a checkpoint by torch, of an exported file by onnxruntime alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightloom.core.errors import UserError, check_installed
from lightloom.predict import onnx_file
from lightloom.predict.web import Web, webs

Find = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True)
class Engine:
    """able: for each capability how it is asked, and who finds. engine: in words."""

    name: str
    data: str
    engine: str
    able: Mapping[str, tuple[Web, Find]]


def load(cfg: Mapping[str, Any]) -> Engine:
    """What `ckpt_path=` or `model=` names. cfg: of serve.py, plain."""
    of = of_file if onnx_file.is_exported(cfg["ckpt_path"]) else of_checkpoint
    return of(cfg, cfg["threads"] or _cores())


def of_file(cfg: Mapping[str, Any], threads: int) -> Engine:
    """An exported file. Nothing of torch is imported."""
    path = Path(str(cfg["ckpt_path"])).expanduser()
    if not path.is_file():
        raise UserError(f"ckpt_path={path}: there is no such file; name one that src/export.py wrote.")
    check_installed(f"ckpt_path={path}", "export", "onnxruntime")
    session = onnx_file.opened(path, threads, sparing=True)
    known = {web.use: (name, web) for name, web in webs().items()}
    about = onnx_file.about(session, path, known)
    if labels := about["input"].get("labels"):
        raise UserError(
            f"{path}: it takes {', '.join(labels)} too, which serve.py does not send; serve its checkpoint."
        )
    name, web = known[about["use"]]
    inputs = [one.name for one in session.get_inputs()]
    asked = web({**about["facts"], "input": about["input"]["shape"], "by_class": len(inputs) > 1})

    def answers(*given: Any) -> dict[str, Any]:
        found = session.run(about["outputs"], dict(zip(inputs, given, strict=True)))
        return dict(zip(about["outputs"], found, strict=True))

    return Engine(about["run_name"], about["data"], "onnxruntime", {name: (asked, partial(asked.by_file, answers))})


def of_checkpoint(cfg: Mapping[str, Any], threads: int) -> Engine:
    """A checkpoint, or a published model, with all that it can do."""
    import torch

    from lightloom.config.foreign import as_config, plain
    from lightloom.engine import checkpoint as checkpoints
    from lightloom.engine import evaluate
    from lightloom.predict import choose
    from lightloom.predict.contract import Request

    torch.set_num_threads(threads)
    asked = as_config({**cfg, "ckpt_path": cfg["ckpt_path"] or (None if cfg.get("model") else "last")})
    trained, module = choose.untrained(asked) if cfg.get("model") else evaluate.restore(asked)
    module = choose.settle(asked, module)
    state = {} if cfg.get("model") else checkpoints.state_for(trained, asked.ckpt_path)
    facts = {**plain(trained.data), **state}
    known, able = webs(), {}
    request = Request({}, trained.data)
    for one in choose.capabilities():
        if one.name in known and one.predictor.accepts(module, request):
            predictor = one.predictor(module, as_config(facts))
            own = {"latent_dim": getattr(module, "latent_dim", None)}
            own |= {name: getattr(predictor, name, False) for name in ("by_class", "looks")}
            web = known[one.name]({**facts, **own})
            able[one.name] = (web, partial(web.by_predictor, of_arrays(predictor)))
    if not able:
        raise UserError(
            f"{trained.run_name}: {type(module).__name__} does none of what serve.py can ask ({', '.join(known)}); "
            f"write a web.py beside its predictor, in src/lightloom/predict."
        )
    return Engine(trained.run_name, str(trained.data.get("name")), str(module.device), able)


def of_arrays(predictor: Any) -> Callable[..., Any]:
    """The predictor's `predict`, or the method that `by` names, of arrays, or texts, to arrays."""
    import numpy as np
    import torch

    def to_tensors(given: Any) -> Any:
        if isinstance(given, list):
            return [to_tensors(one) for one in given]
        return torch.from_numpy(given) if isinstance(given, np.ndarray) else given

    def to_arrays(found: Any) -> Any:
        if isinstance(found, torch.Tensor):
            return found.numpy()
        if isinstance(found, dict):
            return {name: to_arrays(value) for name, value in found.items()}
        return [to_arrays(value) for value in found] if isinstance(found, list | tuple) else found

    return lambda *given, by="predict": to_arrays(getattr(predictor, by)(*map(to_tensors, given)))


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
