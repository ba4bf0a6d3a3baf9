"""Networks of timm and torchvision, behind one signature.

Weights come from the library's own download (`pretrained=true`) or from a state_dict file (`checkpoint=path`), which
goes before it. A classifier that is new is drawn small (`heads`).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision.models
from timm.models import adapt_input_conv
from torch import Tensor, nn

from lightloom.core.errors import did_you_mean
from lightloom.core.parts import part
from lightloom.core.ranges import Count, Natural
from lightloom.networks.heads import draw_head, head_names
from lightloom.ops.network import patience


@part
def from_timm(
    name: str,
    in_channels: Count,
    num_classes: Count,
    image_size: Count,
    pretrained: bool = False,
    checkpoint: str | None = None,
    min_size: Natural = 0,
    **options: Any,
) -> nn.Module:
    """timm's network `name`. min_size: smaller images are first enlarged to this many pixels.

    options: passed to timm (patch_size, drop_rate, ...).
    """
    pretrained = pretrained and not checkpoint
    check_name(name, timm.list_models(pretrained="." in name), "timm")
    size = max(image_size, min_size)
    cfg = timm.get_pretrained_cfg(name)
    if cfg and cfg.fixed_input_size:
        options["img_size"] = size
    try:
        network = timm.create_model(name, pretrained, in_chans=in_channels, num_classes=num_classes, **options)
    except (OSError, RuntimeError) as error:
        raise no_weights(name, error) if pretrained else error from None
    check_patches(network, size)
    heads = head_names(network)
    if not (pretrained and cfg and cfg.num_classes == num_classes):
        draw_head(network, heads)
    if checkpoint:
        load(network, read(checkpoint), heads, source=checkpoint)
    return enlarged(network, image_size, min_size)


@part
def from_torchvision(
    name: str,
    in_channels: Count,
    num_classes: Count,
    image_size: Count,
    pretrained: bool = False,
    checkpoint: str | None = None,
    min_size: Natural = 0,
    **options: Any,
) -> nn.Module:
    """torchvision's classifier `name`, for what timm does not have. Arguments as in `from_timm`."""
    check_name(name, torchvision.models.list_models(torchvision.models), "torchvision")
    network = torchvision.models.get_model(name, num_classes=num_classes, **options)
    first = next(layer for layer, module in network.named_modules() if isinstance(module, nn.Conv2d))
    network.set_submodule(first, with_in_channels(network.get_submodule(first), in_channels))
    heads = head_names(network)
    draw_head(network, heads)
    if pretrained and not checkpoint:
        state = download(name)
        state[f"{first}.weight"] = adapt_input_conv(in_channels, state[f"{first}.weight"])
        load(network, state, heads, source="torchvision")
    if checkpoint:
        load(network, read(checkpoint), heads, source=checkpoint)
    return enlarged(network, image_size, min_size)


@dataclass(frozen=True)
class Preprocessing:
    """How the images were that published weights have seen: channels' mean and std in [0, 1], pixels, and the share of
    a larger image's side that they were the middle of.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    crop: float


def timm_preprocessing(name: str) -> Preprocessing | None:
    """Of the weights that timm has by this name; None where it has no such."""
    cfg = timm.get_pretrained_cfg(name)
    return Preprocessing(tuple(cfg.mean), tuple(cfg.std), cfg.input_size[-1], cfg.crop_pct) if cfg else None


def torchvision_preprocessing(name: str) -> Preprocessing | None:
    """Of torchvision's newest weights of this name; None where it has none."""
    if name not in torchvision.models.list_models(torchvision.models):
        return None
    seen = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    (side,), (larger,) = seen.crop_size, seen.resize_size
    return Preprocessing(tuple(seen.mean), tuple(seen.std), side, side / larger)


PREPROCESSING: dict[str, Callable[[str], Preprocessing | None]] = {
    f"{from_timm.__module__}.{from_timm.__name__}": timm_preprocessing,
    f"{from_torchvision.__module__}.{from_torchvision.__name__}": torchvision_preprocessing,
}  # by the `_target_` of the network


def check_name(name: str, models: Collection[str], library: str) -> None:
    """Raise ValueError where the library has no network of this name."""
    if name not in models:
        raise ValueError(f"{library} has no network {name}.{did_you_mean(name, models)} Set model.network.name")


def check_patches(network: nn.Module, image_size: int) -> None:
    """Raise ValueError where the image is not a whole number of patches; a ViT would silently drop pixels."""
    patch_size = getattr(getattr(network, "patch_embed", None), "patch_size", (1, 1))[0]
    if image_size % patch_size:
        raise ValueError(
            f"image_size {image_size} is not divisible by patch_size {patch_size}; set model.network.patch_size"
        )


def with_in_channels(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """A fresh convolution like `conv` for another number of channels."""
    if conv.in_channels == in_channels:
        return conv
    shape = {name: getattr(conv, name) for name in ("out_channels", "kernel_size", "stride", "padding")}
    return nn.Conv2d(in_channels, bias=conv.bias is not None, **shape)


def enlarged(network: nn.Module, image_size: int, min_size: int) -> nn.Module:
    """Prepend bilinear upsampling to min_size pixels where images are smaller."""
    if image_size >= min_size:
        return network
    return nn.Sequential(nn.Upsample(size=(min_size, min_size), mode="bilinear"), network)


def download(name: str, option: str = "model.network.checkpoint") -> dict[str, Tensor]:
    """torchvision's pretrained weights, a state_dict: names to tensors (...). ValueError where they cannot be had.

    option: that may name a file of them instead.
    """
    try:
        with patience():
            return dict(torchvision.models.get_model_weights(name).DEFAULT.get_state_dict(progress=False))
    except (OSError, RuntimeError) as error:
        raise no_weights(name, error, option) from None


def no_weights(name: str, error: Exception, option: str = "model.network.checkpoint") -> ValueError:
    """The error to raise where a network's pretrained weights could not be fetched."""
    return ValueError(
        f"no pretrained weights for {name} ({type(error).__name__}: {str(error).splitlines()[0]}); "
        f"connect to the internet, set {option} to a file, or model.network.pretrained=false"
    )


def read(path: str, option: str = "checkpoint") -> Mapping[str, Tensor]:
    """Read a file's state_dict, names to dense tensors (...); nothing but tensors is unpickled."""
    if not Path(path).is_file():
        raise ValueError(f"{option} {path} does not exist; set model.network.{option}")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a stranger's pickle makes torch raise what it pleases
        raise _no_state(path, option) from error
    if not isinstance(state, Mapping) or not all(map(_is_named_tensor, state.items())):
        raise _no_state(path, option)
    return state


def _no_state(path: str, option: str) -> ValueError:
    return ValueError(f"{option} {path} is not a plain state_dict; save one by torch.save(network.state_dict(), path)")


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    name, values = item
    return isinstance(name, str) and isinstance(values, Tensor) and values.layout is torch.strided


def load(network: nn.Module, state: Mapping[str, Tensor], heads: str | Collection[str], source: str) -> None:
    """Load `state`, tensors (...) by name, except a classifier of another number of classes, which stays as it is.

    Raises ValueError for any other mismatch.
    """
    fresh = check_fits(network, state, heads, source)
    network.load_state_dict({**state, **fresh})


def check_fits(
    network: nn.Module, state: Mapping[str, Tensor], heads: str | Collection[str], source: str
) -> dict[str, Tensor]:
    """The network's own tensors (...) of the classifiers that `state` has for other classes.

    Raises ValueError for any other mismatch.
    """
    own = network.state_dict()
    heads = (heads,) if isinstance(heads, str) else heads
    wrong = dict.fromkeys(own.keys() - state.keys(), "missing")
    wrong |= dict.fromkeys(state.keys() - own.keys(), "unexpected")
    differ = {key for key in own.keys() & state.keys() if own[key].shape != state[key].shape}
    fresh = {key for key in differ if key.rpartition(".")[0] in heads}
    wrong |= {key: f"{tuple(state[key].shape)}, expected {tuple(own[key].shape)}" for key in differ - fresh}
    if wrong:
        listed = "; ".join(f"{key} {what}" for key, what in sorted(wrong.items())[:5])
        raise ValueError(
            f"{source} does not fit {type(network).__name__} in {len(wrong)} of its tensors ({listed}); "
            "set model.network to the network that it was saved from"
        )
    return {key: own[key] for key in fresh}
