"""Any data set whose kind can be read from shards, as shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightloom.core.errors import UserError
from lightloom.core.text import megabytes
from lightloom.data.contract import SPLITS
from lightloom.data.shards.index import Kind, kinds
from lightloom.data.shards.writing import write


def convert(datamodule: Any, out: Path, samples: int, size: int) -> str:
    """Write each split of a datamodule into `out`; says how it is read. UserError where its kind has no shards."""
    kind = _kind(datamodule)
    datamodule.facts()
    splits = {name: split for name in SPLITS if (split := _split(datamodule, name)) is not None}
    parts = {name: kind.samples(split) for name, split in splits.items()}
    write(out, (kind.KIND, list(datamodule.classes), kind.facts(datamodule)), parts, samples, size)
    sizes = [path.stat().st_size for path in out.glob("*.tar")]
    counts = ", ".join(f"{name} {len(split):,}" for name, split in splits.items())
    return (
        f"{out}: {counts} in {len(sizes)} shards of {megabytes(sum(sizes))} in all. "
        f"Read them with data={kind.CHOICE} data.root={out}{_facts(datamodule)}"
    )


def _kind(datamodule: Any) -> Kind:
    found = next((kind for kind in kinds() if getattr(datamodule, "kind", None) == kind.KIND), None)
    if found is None:
        known = ", ".join(kind.KIND for kind in kinds())
        raise UserError(f"data={datamodule.name}: its kind is {datamodule.kind}; shards are written of {known}.")
    return found


def _split(datamodule: Any, name: str) -> Any:
    """A split that the data has; None where it has none of that name."""
    try:
        return datamodule.split(name)
    except UserError:
        if name == "test":
            return None
        raise


def _facts(datamodule: Any) -> str:
    """The options that say what the images are like, where those of the shards' configuration would be others."""
    stated = {name: getattr(datamodule, name, None) for name in ("channels", "image_size", "mean", "std")}
    return "".join(f" data.{name}={_written(value)}" for name, value in stated.items() if value is not None)


def _written(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
