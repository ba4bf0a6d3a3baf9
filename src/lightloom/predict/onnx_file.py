"""A file that `export.py` has written as ONNX: opened in onnxruntime, its metadata checked. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lightloom.config.untrusted import check_plain, plain_fact
from lightloom.core import schema
from lightloom.core.errors import UserError

SUFFIX = ".onnx"
FACT = schema.either(schema.nothing, schema.real, schema.text(most=1 << 28), schema.items(schema.text()))
SHAPE = schema.items(schema.either(schema.whole(1), schema.text()), least=1)
ABOUT = schema.entries(
    {
        "run_name": schema.text(),
        "data": schema.text(),
        "outputs": schema.items(schema.text(), least=1),
        "facts": schema.table(schema.text(), FACT),
        "input": schema.entries({"shape": SHAPE}, {"labels": schema.items(schema.text())}),
    },
    {},
)
READ = ("use", "run_name", "data", "outputs", "facts", "input")  # of the metadata; the others are for other readers


def is_exported(where: Any) -> bool:
    """Does `ckpt_path=` name such a file?"""
    return str(where).lower().endswith(SUFFIX)


def opened(path: Path, threads: int, sparing: bool = False) -> Any:
    """A session on the CPU. sparing: memory is given back after each input, for a process that lives long."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, threads
    options.enable_cpu_mem_arena = options.enable_mem_pattern = not sparing
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a damaged file onnxruntime raises what it pleases
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is no whole ONNX file ({reason}); export it anew.") from error


def about(session: Any, path: Path, known: Collection[str]) -> dict[str, Any]:
    """The metadata that is read, checked. known: what a file may be for."""
    found = session.get_modelmeta().custom_metadata_map
    if lacking := [name for name in READ if name not in found]:
        raise UserError(f"{path}: its metadata has no {lacking[0]}; predict with a file that this src/export.py wrote.")
    told: dict[str, Any] = {name: found[name] for name in ("use", "run_name", "data")}
    if told["use"] not in known:
        raise UserError(f"{path}: it is for {schema.shown(told['use'])}; predict.py asks {', '.join(known)}.")
    for name in ("outputs", "facts", "input"):
        try:
            value = json.loads(found[name])
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: {name} in its metadata is no JSON ({error}); export it anew.") from error
        check_plain(value, str(path))
        told[name] = plain_fact(value, name, str(path))
    return schema.check(told, ABOUT, path)  # type: ignore[no-any-return]
