"""Weights of another model, damaged, or not finite: refused in the sentence that names them, and never used."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import timm
import torch
from attacks.annotations import damaged_binary
from attacks.targets import CHECKPOINTS, whole
from attacks.watch import Baits, Case

from lightloom.callbacks.run.nan_guard import not_finite
from lightloom.core.errors import UserError, message_of
from lightloom.engine import checkpoint
from lightloom.networks.library import from_timm


@cache
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=5).state_dict()  # type: ignore[no-any-return]


def other_weights(rng: random.Random) -> Any:
    """A state_dict that does not fit: a tensor lacks, is of another shape or type, is called otherwise, or is none."""
    found: dict[Any, Any] = dict(state())
    name = rng.choice([name for name in found if not name.startswith("fc")])
    x = found.pop(name)
    others = (x[..., None], x[None], "x", None, 3, [x], {"a": x}, x.to_sparse() if x.ndim else "x")
    way = rng.randrange(6)
    if way == 0:
        return found
    if way == 1:
        return {**found, f"module.{name}": x}
    if way == 2:
        return rng.choice((list(found.values()), x, 3, {}, {"state_dict": 3}, {3: x}, {"state_dict": {name: x}}))
    return {**found, name: rng.choice(others)}


def load(path: Path) -> str:
    """As a command loads weights that were named: what is said of them must be a message, and name the file."""
    try:
        network = from_timm("test_resnet", 3, 5, 64, checkpoint=str(path))
    except (ValueError, UserError) as error:  # which a command puts the option's name before
        said = message_of(error) or str(error)
        if path.name not in said or "\n" in said:
            raise AssertionError(f"no sentence that names the file: {said}") from error
        raise UserError(said) from error
    assert all(bool(torch.isfinite(x).all()) for x in network.state_dict().values()), "weights that are not finite"
    return "fits"


def foreign(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """A file of weights that a command line names, for a network of another form."""
    path = baits.folder.parent / "weights.pth"
    for i in range(count):
        rng = random.Random(chance.random())
        content = other_weights(rng)
        torch.save(content, path)
        if i % 4 == 0:
            path.write_bytes(damaged_binary(path.read_bytes(), rng))
        yield Case(f"{i}: {str(content)[:60]}", partial(load, path))


def spoiled(content: dict[str, Any], rng: random.Random) -> tuple[dict[str, Any], str]:
    """The checkpoint with one value of its weights, buffers or optimizers that is NaN or infinite."""
    tensors = [("state_dict", name) for name, x in content["state_dict"].items() if x.is_floating_point() and x.numel()]
    for i, optimizer in enumerate(content.get("optimizer_states", ())):
        for number, kept in optimizer["state"].items():
            floats = [n for n, x in kept.items() if isinstance(x, torch.Tensor) and x.is_floating_point()]
            tensors += [(i, (number, name)) for name in floats]
    where, name = rng.choice(tensors)
    holder = content["state_dict"] if where == "state_dict" else content["optimizer_states"][where]["state"][name[0]]
    key = name if where == "state_dict" else name[1]
    x = holder[key].clone()
    values = ("nan", "inf") if where == "state_dict" else ("nan",)
    x.view(-1)[rng.randrange(x.numel())] = float(rng.choice(values))
    holder[key] = x
    return content, f"{where} {name}"


def continued(path: Path) -> str:
    """What a run does before it goes on from a checkpoint; AssertionError where the broken value is believed."""
    content = checkpoint.load(path)
    _, module = checkpoint.restore(path)
    for p in module.state_dict().values():
        p.nan_to_num_(0, 0, 0) if p.is_floating_point() else None
    checkpoint.check_finite(content, module, path)
    raise AssertionError(f"it would go on from it: {not_finite(content)}")


def broken(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """A checkpoint with a value that is not finite in a weight, a buffer or an optimizer's state."""
    import copy

    path = baits.folder.parent / "broken.ckpt"
    for _ in range(count):
        rng = random.Random(chance.random())
        source = rng.choice(CHECKPOINTS)
        content, where = spoiled(copy.deepcopy(whole(source)), rng)
        torch.save(content, path)
        yield Case(f"{source.stem}: {where}", partial(continued, path))


KINDS = {"weights of another model": foreign, "values that are not finite": broken}
