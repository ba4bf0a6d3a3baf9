"""Map names in old checkpoints to today's: one entry for each object that moved. Needs no torch."""

from __future__ import annotations

import re
from typing import Any

# Version 0.1 was called lightlab and had its modules in other places.
OBJECTS = {
    "lightlab.callbacks.finite.FiniteGuard": "lightloom.callbacks.run.nan_guard.NaNGuard",
    "lightlab.callbacks.signals.Signals": "lightloom.callbacks.run.preemption.Preemption",
    "lightlab.callbacks.wrong_images.WrongImages": "lightloom.callbacks.images.misclassified.Misclassified",
    "lightlab.metrics.extractors.ClassifierFeatures": "lightloom.predict.classes.features.TrainedFeatures",
    "lightlab.integrations.bolts_networks.BoltsYolo": "lightloom.integrations.bolts_detectors.BoltsYolo",
    "lightlab.loggers.ContinuedCSVLogger": "lightloom.loggers.csv.ContinuedCSVLogger",
}
MODULES = {
    "lightlab.callbacks.averaging": "lightloom.callbacks.run.ema",
    "lightlab.callbacks.checkpoints": "lightloom.callbacks.run.checkpoints",
    "lightlab.callbacks.class_histogram": "lightloom.callbacks.samples.class_histogram",
    "lightlab.callbacks.confusion": "lightloom.callbacks.images.confusion_matrix",
    "lightlab.callbacks.console": "lightloom.callbacks.run.console",
    "lightlab.callbacks.filmstrip": "lightloom.callbacks.samples.filmstrip",
    "lightlab.callbacks.finite": "lightloom.callbacks.run.nan_guard",
    "lightlab.callbacks.health": "lightloom.callbacks.samples.health",
    "lightlab.callbacks.interpolation": "lightloom.callbacks.samples.interpolation",
    "lightlab.callbacks.neighbours": "lightloom.callbacks.samples.neighbours",
    "lightlab.callbacks.overlays": "lightloom.callbacks.boxes.overlays",
    "lightlab.callbacks.precision_recall": "lightloom.callbacks.boxes.precision_recall",
    "lightlab.callbacks.quality": "lightloom.callbacks.samples.quality",
    "lightlab.callbacks.randomness": "lightloom.callbacks.run.rng",
    "lightlab.callbacks.reconstructions": "lightloom.callbacks.images.reconstructions",
    "lightlab.callbacks.samples": "lightloom.callbacks.samples.grid",
    "lightlab.callbacks.signals": "lightloom.callbacks.run.preemption",
    "lightlab.callbacks.wrong_images": "lightloom.callbacks.images.misclassified",
    "lightlab.data.annotations": "lightloom.data.boxes.writers",
    "lightlab.data.augment": "lightloom.data.images.augment",
    "lightlab.data.boxes": "lightloom.data.boxes.annotations",
    "lightlab.data.coco": "lightloom.data.boxes.coco",
    "lightlab.data.decode": "lightloom.data.images.decode",
    "lightlab.data.detection": "lightloom.data.boxes.datamodule",
    "lightlab.data.detection_augment": "lightloom.data.boxes.augment",
    "lightlab.data.image": "lightloom.data.images.datamodule",
    "lightlab.data.instance_maps": "lightloom.data.boxes.instance_maps",
    "lightlab.data.look": "lightloom.data.boxes.validation",
    "lightlab.data.readers": "lightloom.data.images.readers",
    "lightlab.data.scenes": "lightloom.data.boxes.scenes",
    "lightlab.data.signals": "lightloom.data.signals.datamodule",
    "lightlab.data.tracks": "lightloom.tracking.mot",
    "lightlab.data.voc": "lightloom.data.boxes.voc",
    "lightlab.data.yolo": "lightloom.data.boxes.yolo",
    "lightlab.examples": "lightloom.data.subset",
    "lightlab.keys": "lightloom.ops.rng",
    "lightlab.metrics.tracking": "lightloom.tracking.measures",
    "lightlab.modules.codes": "lightloom.modules.latents",
    "lightlab.modules.optimizing": "lightloom.optim.param_groups",
    "lightlab.modules.views": "lightloom.modules.tta",
    "lightlab.networks.detection": "lightloom.networks.detection.torchvision",
    "lightlab.networks.yolo": "lightloom.networks.detection.yolo",
    "lightlab.schedules": "lightloom.optim.schedules",
    "lightlab.smoothing": "lightloom.tracking.smoothing",
    "lightlab.tracking": "lightloom.tracking.byte_track",
    "lightlab.video": "lightloom.tracking.video",
}
PACKAGES = {"lightlab": "lightloom"}
CALLBACKS = {  # the names that the presets gave them
    "wrong_images": "misclassified",
    "signals": "preemption",
    "finite": "nan_guard",
}
DROPPED = ("alternating",)  # options beside `model` and `data` that a class says itself now
_TARGET = re.compile(r"""(_target_['"]?\s*[=:]\s*['"]?)([\w.]+)""")  # in an override, also within a dictionary
_OLD_TARGET = re.compile(r"_target_: ['\"]?(?:{})\.".format("|".join(PACKAGES)))


def current(target: str) -> str:
    """The dotted name that an object has today."""
    if target in OBJECTS:
        return OBJECTS[target]
    module, dot, name = target.rpartition(".")
    if module in MODULES:
        return f"{MODULES[module]}.{name}"
    package, dot, rest = target.partition(".")
    return f"{PACKAGES.get(package, package)}{dot}{rest}"


def renamed(node: Any) -> Any:
    """Plain data of version 0.1 with every `_target_` as it is called today."""
    if isinstance(node, dict):
        return {k: current(v) if k == "_target_" and isinstance(v, str) else renamed(v) for k, v in node.items()}
    if isinstance(node, list):
        return [renamed(child) for child in node]
    return node


def modernized(config: dict[str, Any]) -> dict[str, Any]:
    """The whole configuration of a run of version 0.1 as a run has it today."""
    kept = {key: value for key, value in renamed(config).items() if key not in DROPPED}
    if isinstance(callbacks := kept.get("callbacks"), dict):
        kept["callbacks"] = {CALLBACKS.get(name, name): options for name, options in callbacks.items()}
    return kept


def is_old(config: str) -> bool:
    """Was this config.yaml, as text, written by version 0.1?"""
    return _OLD_TARGET.search(config) is not None


def modernized_overrides(overrides: list[str]) -> list[str]:
    """The command line of a run of version 0.1 with keys and objects as they are called today."""
    return [_modernized(o) for o in overrides if o.partition("=")[0].lstrip("+~") not in DROPPED]


def _modernized(override: str) -> str:
    key, equals, value = override.partition("=")
    parts = key.split(".")
    if len(parts) > 1 and parts[0].lstrip("+~") == "callbacks":
        parts[1] = CALLBACKS.get(parts[1], parts[1])
    text = f"{'.'.join(parts)}{equals}{value}"
    return _TARGET.sub(lambda found: found[1] + current(found[2]), text)
