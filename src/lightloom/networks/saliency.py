"""Where in an image a classifier looks.

grad_cam: Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization,
arXiv:1610.02391. rollout: Abnar & Zuidema 2020, Quantifying Attention Flow in Transformers, arXiv:2005.00928.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from lightloom.core.errors import UserError
from lightloom.networks.timm_attention import attention_layers, spelled_out


def grad_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """ReLU of the sum of maps, each weighed by the mean of its gradient (equations 1 and 2): (B, H, W).

    maps: features (B, C, H, W). gradients: of a class's logit with respect to them.
    """
    return relu((gradients.mean((2, 3), keepdim=True) * maps).sum(1))


def rollout(attentions: Sequence[Tensor]) -> Tensor:
    """How much of each input token is in each token of the last layer (equation 1): (B, N, N), rows sum to one.

    attentions: of each layer, the first one first, (B, heads, N, N), rows sum to one. Heads are averaged; what passes a
    layer by, the residual connection, counts as much as attention does.
    """
    _, _, tokens, _ = attentions[0].shape
    found = torch.eye(tokens, dtype=attentions[0].dtype, device=attentions[0].device)
    for attention in attentions:
        found = (found + attention.mean(1) @ found) / 2
    return found


def class_maps(classify: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM (B, h, w) of images (B, C, H, W) for one class each, int64 (B,), on the network's last map.

    classify: gives logits (B, num_classes). Its last map is the last output (B, C, h, w) of more than one position.
    Raises UserError where there is none, or where attention between patches comes after it.
    """
    if attention_layers(classify):
        raise UserError(
            "saliency=grad_cam weighs the maps of convolutions, and this network attends to patches; "
            "saliency=rollout is for Vision Transformers."
        )
    last: dict[str, Tensor] = {}

    def keep(part: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
            last["map"] = output

    with ExitStack() as stack, torch.enable_grad():
        for part in classify.modules():
            stack.callback(part.register_forward_hook(keep).remove)
        logits = classify(images.clone().requires_grad_())
        if "map" not in last:
            raise UserError("saliency=grad_cam: this network makes no maps of features; leave saliency out.")
        (gradients,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), last["map"])
    return grad_cam(last["map"].detach(), gradients)


def token_maps(classify: nn.Module, images: Tensor) -> Tensor:
    """Attention rollout (B, h, w) of images (B, C, H, W) through one of timm's Vision Transformers, over its patches.

    Of the class token; where the network averages its patches instead, the mean of theirs. Raises UserError for another
    network, and for attention that is not among all patches.
    """
    network: Any = next((part for part in classify.modules() if hasattr(part, "num_prefix_tokens")), None)
    if network is None or not hasattr(network, "patch_embed"):
        raise UserError(
            "saliency=rollout needs a Vision Transformer of timm, such as model=vit; saliency=grad_cam is for CNNs."
        )
    if network.global_pool not in ("token", "avg"):
        raise UserError(
            f"saliency=rollout: {type(network).__name__} pools by {network.global_pool}, not by a class token."
        )
    height, width = network.patch_embed.grid_size
    prefix = network.num_prefix_tokens
    with torch.no_grad(), _kept_attention(network) as attentions:
        classify(images)
    if not attentions or any(one.shape[-2:] != 2 * (prefix + height * width,) for one in attentions):
        raise UserError(f"saliency=rollout: {type(network).__name__} does not attend to all patches in each layer.")
    found = rollout(attentions)[:, :, prefix:]
    of = found[:, 0] if network.global_pool == "token" else found[:, prefix:].mean(1)
    maps: Tensor = of.unflatten(1, (height, width))
    return maps


@contextmanager
def _kept_attention(network: nn.Module) -> Iterator[list[Tensor]]:
    """A list that each layer's attention, (B, heads, N, N), is added to."""
    found: list[Tensor] = []
    layers = attention_layers(network)
    keep: Callable[..., None] = lambda part, inputs, output: found.append(output)  # noqa: E731
    handles = [layer.attn_drop.register_forward_hook(keep) for layer in layers]
    try:
        with spelled_out(layers):
            yield found
    finally:
        for handle in handles:
            handle.remove()
