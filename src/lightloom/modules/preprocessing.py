"""What is null of the images' mean, std, size and crop is that of the weights with which training begins."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightloom.core.errors import UserError

if TYPE_CHECKING:
    from lightloom.networks.library import Preprocessing

log = logging.getLogger("lightloom")


def settle_preprocessing(model: Any, data: Any) -> None:
    """Fill in what is null of model.mean, model.std, data.image_size and data.crop, and say so in one line.

    model, data: these parts of the configuration. Raises UserError where the network's library states nothing.
    """
    places = {"mean": model, "std": model, "image_size": data, "crop": data}
    asked = [name for name, node in places.items() if name in node and node.get(name) is None]
    if not asked:
        return
    seen = _preprocessing(model)
    if seen is None:
        keys = ", ".join(f"{'model' if places[name] is model else 'data'}.{name}" for name in asked)
        network = model.network.get("name") or model.network.get("_target_")
        raise UserError(
            f"{keys}: null stands for what published weights have seen, and {network} has none; give values."
        )
    values: dict[str, Any] = {"mean": _for_channels(seen.mean, data), "std": _for_channels(seen.std, data)}
    values |= {"image_size": seen.image_size, "crop": seen.crop}
    for name in asked:
        places[name][name] = values[name]
    log.info("%s", _told(str(model.network.name), seen, data))


def _preprocessing(model: Any) -> Preprocessing | None:
    from lightloom.networks.library import PREPROCESSING  # with timm, which takes a second that most runs need not wait

    of_weights = PREPROCESSING.get(str(model.network.get("_target_")))
    return of_weights and of_weights(str(model.network.get("name")))


def _for_channels(values: Sequence[float], data: Any) -> list[float]:
    """Grey images have one channel, of which a network's first layer is the sum over the colours."""
    known = list(values)
    return known if data.get("channels", len(known)) == len(known) else [sum(known) / len(known)] * data.channels


def _told(name: str, seen: Preprocessing, data: Any) -> str:
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (seen.mean, seen.std))
    here = "" if data.image_size == seen.image_size else f"; here they are {data.image_size} px"
    return (
        f"The weights of {name} saw images of {seen.image_size} px, the middle {seen.crop:g} of larger ones, with mean "
        f"{mean} and std {std}{here}."
    )
