"""torchvision's detectors as it publishes them, with the weights that it has trained on COCO or those of a file.

The head takes over the rows of the classes that the weights know, by name; the rows of others are new.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torchvision.models
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from lightloom.core.errors import did_you_mean
from lightloom.networks import library

log = logging.getLogger("lightloom")
COCO = "coco"  # what `weights` says for those of torchvision; anything else is a file
# Of each detector here, torchvision's with published weights; the first where nothing is said.
ARCHITECTURES: dict[str, tuple[str, ...]] = {
    "faster_rcnn": (
        "fasterrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn_v2",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
    ),
    "mask_rcnn": ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"),
    "retinanet": ("retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2"),
    "fcos": ("fcos_resnet50_fpn",),
    "ssd": ("ssd300_vgg16",),
    "ssdlite": ("ssdlite320_mobilenet_v3_large",),
}
FROZEN = {  # those whose backbone was trained with frozen batch norms: what these add to a variance
    "fasterrcnn_resnet50_fpn": 0.0,
    "fasterrcnn_mobilenet_v3_large_fpn": 1e-5,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 1e-5,
    "maskrcnn_resnet50_fpn": 0.0,
    "retinanet_resnet50_fpn": 0.0,
    "fcos_resnet50_fpn": 1e-5,
}
BRINGS = "backbone, mean, std, anchors and widths"


def network(
    builder: Callable[..., nn.Module],
    weights: str,
    architecture: str | None,
    pretrained: bool,
    num_classes: int,
    classes: Sequence[str] | None,
    options: Mapping[str, Any],
    image_size: int | None = None,
    **unused: Any,
) -> Any:
    """torchvision's network of an architecture for these classes, in place of the one that `builder` makes.

    weights: coco | a state_dict file. pretrained: are they read? classes: names of the labels from 1. options: of
    torchvision's function. image_size: pixels of the short side, where images of any size are looked at. unused: the
    builder's other options, which must be as they are by default: the weights bring their own.
    """
    name = _chosen(builder.__name__, architecture)
    shared = {"score_thresh": unused.pop("score_thresh")} if "score_thresh" in unused else {}
    _check_unused(builder, unused)
    made = _build(name, num_classes + 1, **shared, **options)
    if image_size is not None and made.transform.fixed_size is None:
        longest = made.transform.max_size / made.transform.min_size[0]
        made.transform.min_size, made.transform.max_size = (image_size,), round(longest * image_size)
    if pretrained:
        _load(made, name, weights, num_classes, classes)
    return made


def categories(builder: str, architecture: str | None = None) -> list[str]:
    """The names of COCO's 90 labels, from 1; `N/A` where there is no such class any more."""
    meta = torchvision.models.get_model_weights(_chosen(builder, architecture)).DEFAULT.meta
    return list(meta["categories"][1:])


def _chosen(builder: str, architecture: str | None) -> str:
    known = ARCHITECTURES[builder]
    if architecture is not None and architecture not in known:
        raise ValueError(
            f"architecture {architecture}: of {builder}, torchvision has weights for {', '.join(known)}."
            f"{did_you_mean(architecture, known)} Set model.network.architecture"
        )
    return architecture or known[0]


def changed(builder: Callable[..., Any], given: Mapping[str, Any]) -> list[str]:
    """Those of the options of a function that are given another value than their default."""
    defaults = {name: p.default for name, p in inspect.signature(builder).parameters.items()}
    return [name for name, value in given.items() if _plain(value) != _plain(defaults[name])]


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value


def _check_unused(builder: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raise ValueError for an option that says how to make a network, where the weights say it."""
    own = {name: value for name, value in given.items() if name != "backbone"}
    of_backbone = getattr(given.get("backbone"), "changed", ())
    if said := [*(f"backbone.{name}" for name in of_backbone), *changed(builder, own)]:
        raise ValueError(
            f"model.network.{said[0]} is of a network that begins from nothing; model.network.weights brings "
            f"torchvision's own with its {BRINGS}. Leave it out, or choose another of its networks with "
            f"model.network.architecture"
        )


def _build(name: str, count: int, **options: Any) -> Any:
    """torchvision's network for `count` classes, background counted, with nothing read."""
    made = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=count, **options)
    if name in FROZEN:
        _freeze(made.backbone, FROZEN[name])
    return made


def _freeze(module: nn.Module, eps: float) -> None:
    """torchvision's frozen batch norms in place of each that learns."""
    for path, layer in list(module.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            module.set_submodule(path, FrozenBatchNorm2d(layer.num_features, eps))


def _load(made: nn.Module, name: str, weights: str, num_classes: int, classes: Sequence[str] | None) -> None:
    names = torchvision.models.get_model_weights(name).DEFAULT.meta["categories"]
    source = _untouched(name, len(names))
    _read_into(source, name, weights)
    state = source.state_dict()
    rows = _rows(names, num_classes, classes)
    if rows is not None:
        heads = {key: state[key] for key in _heads(name, len(names))}
        state |= remapped(made.state_dict(), heads, rows, len(names), num_classes + 1)
        kept = [str(classes[now - 1]) for _, now in rows[1:]] if classes else []
        log.info("weights=%s knows %d of %d classes: %s.", weights, len(kept), num_classes, ", ".join(kept) or "none")
    made.load_state_dict(state)


def _untouched(name: str, count: int) -> Any:
    """torchvision's network with neither values nor memory of its own."""
    with torch.device("meta"):
        return _build(name, count)


def _read_into(source: nn.Module, name: str, weights: str) -> None:
    """Give a network without values those that are published; ValueError for a file of another one."""
    state = library.download(name, "model.network.weights") if weights == COCO else library.read(weights, "weights")
    try:
        wrong = source.load_state_dict(dict(state), strict=False, assign=True)
        strange = [*(f"no {key}" for key in wrong.missing_keys), *(f"unknown {key}" for key in wrong.unexpected_keys)]
        problem = strange[0] if strange else None
    except RuntimeError as error:  # shapes
        problem = str(error).strip().splitlines()[-1].strip()
    if problem:
        raise ValueError(
            f"{weights} does not fit {name} ({problem}); set model.network.architecture to the one that it was saved "
            f"from, or ckpt_path to a checkpoint of a run"
        )


def _rows(names: Sequence[str], num_classes: int, classes: Sequence[str] | None) -> list[tuple[int, int]] | None:
    """(row of the weights, row of the network) of background and of each class that both have; None where all agree."""
    if num_classes + 1 == len(names) and (classes is None or list(classes) == list(names[1:])):
        return None
    known = {_spelt(name): row for row, name in enumerate(names) if row and name != "N/A"}
    wanted = enumerate(map(_spelt, classes or ()), start=1)
    return [(0, 0), *((known[name], row) for row, name in wanted if name in known)]


def _spelt(name: Any) -> str:
    return " ".join(str(name).casefold().replace("_", " ").split())


def _heads(name: str, count: int) -> list[str]:
    """The tensors that have rows for classes: those whose shape is another one for another number of classes."""
    own, other = (_untouched(name, n).state_dict() for n in (count, count + 1))
    return [key for key, value in own.items() if value.shape != other[key].shape]


def remapped(
    fresh: Mapping[str, Tensor], saved: Mapping[str, Tensor], rows: Sequence[tuple[int, int]], before: int, now: int
) -> dict[str, Tensor]:
    """The head's tensors, (anchors * classes * coordinates, ...) by name, with the rows (from, to) taken over.

    fresh: with rows of `now` classes. saved: of `before`.
    """
    found = {}
    old_rows, new_rows = (list(numbers) for numbers in zip(*rows, strict=True))
    for key, value in saved.items():
        coordinates = 4 if "bbox_pred" in key else 1
        new = fresh[key].clone().unflatten(0, (-1, now, coordinates))
        new[:, new_rows] = value.unflatten(0, (-1, before, coordinates))[:, old_rows]
        found[key] = new.flatten(0, 2)
    return found
