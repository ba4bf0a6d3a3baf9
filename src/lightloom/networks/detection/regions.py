"""The regions that an R-CNN learns from, drawn for each image by its own key.

Who draws them by the process's random numbers draws others on two processes than on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightloom.ops.collectives import shared_mean
from lightloom.ops.rng import mix, mix_tensor, uniform

MEANS = {"loss_mask": "objects"}  # a loss that is a mean over others than all the regions


class KeyedSampler:
    """torchvision's balanced sampler, whose draws are a function of an image's key: at most `positive_fraction` of
    `batch_size_per_image` regions that hold an object, and others up to that number (Girshick 2015, section 2.3).

    It stands in a region proposal network, or in its heads: before these are called it takes the keys of the targets
    (`key`, int64 ()), and by the step's chance where they have none. Their losses are means over the regions of the
    process's own images; it makes them parts of the mean over those of all processes.
    """

    stream = 0  # of an image's key

    def __init__(self, batch_size_per_image: int, positive_fraction: float) -> None:
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.keys: list[int] = []
        self.drawn: dict[str, Tensor] = {}

    def __call__(self, matched_idxs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """uint8 (N,) for each image twice: the regions drawn of those that hold an object, and of those that do not.

        matched_idxs: of each image its regions' labels, (N,): 0 is background, -1 is neither.
        """
        pairs = [self._of_image(i, matched) for i, matched in enumerate(matched_idxs)]
        positive, negative = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        of_objects, others = (torch.stack([drawn.sum() for drawn in part]).sum() for part in (positive, negative))
        self.drawn = {"all": of_objects + others, "objects": of_objects}
        return positive, negative

    def _of_image(self, i: int, matched: Tensor) -> tuple[Tensor, Tensor]:
        numbers = uniform(mix_tensor(mix(self.keys[i], self.stream), self._names(i, matched)), 0)
        positive = _smallest(numbers, matched >= 1, int(self.batch_size_per_image * self.positive_fraction))
        rest = self.batch_size_per_image - int(positive.sum())
        return positive, _smallest(numbers, matched == 0, rest)

    def _names(self, i: int, matched: Tensor) -> Tensor:
        """By which the image's regions are told from each other, int64 (N,)."""
        return torch.arange(len(matched), device=matched.device)

    def before(self, part: nn.Module, given: tuple[Any, ...]) -> None:
        """Take the keys of the targets, which are the last of what is given."""
        if part.training:
            self.keys = [int(target["key"]) if "key" in target else _by_chance() for target in given[-1]]

    def after(self, part: nn.Module, given: tuple[Any, ...], found: tuple[Any, dict[str, Tensor]]) -> Any:
        """The losses, each times this process's regions over the mean of all processes' numbers of them."""
        result, losses = found
        if not losses:
            return found
        shares = {name: count / shared_mean(count) for name, count in self.drawn.items()}
        return result, {
            name: loss * shares["objects" if name == "loss_mask" else "all"] for name, loss in losses.items()
        }


class KeyedBoxSampler(KeyedSampler):
    """Of boxes that another network proposes: each is known by where it lies, to a quarter of a pixel, not by its place
    in an order that hangs on the last bit of its score.
    """

    stream = 1

    def __init__(self, batch_size_per_image: int, positive_fraction: float) -> None:
        super().__init__(batch_size_per_image, positive_fraction)
        self.boxes: list[Tensor] = []

    def _names(self, i: int, matched: Tensor) -> Tensor:
        corners = (4 * self.boxes[i]).round().long()
        return (corners * torch.tensor([1, 1 << 16, 1 << 32, 1 << 48], device=corners.device)).sum(1)

    def before(self, part: nn.Module, given: tuple[Any, ...]) -> None:
        """Take the keys of the targets and the boxes: those proposed, and the truths."""
        super().before(part, given)
        if part.training:
            _, proposals, _, targets = given
            self.boxes = [torch.cat([b.float(), t["boxes"].float()]) for b, t in zip(proposals, targets, strict=True)]


def key_regions(network: Any) -> Any:
    """A network of torchvision's two stages, whose regions are drawn by the images' keys."""
    for part, kind in ((network.rpn, KeyedSampler), (network.roi_heads, KeyedBoxSampler)):
        if old := getattr(part, "fg_bg_sampler", None):
            part.fg_bg_sampler = sampler = kind(old.batch_size_per_image, old.positive_fraction)
            part.register_forward_pre_hook(sampler.before)
            part.register_forward_hook(sampler.after)
    return network


def _smallest(numbers: Tensor, allowed: Tensor, most: int) -> Tensor:
    """uint8 (N,): of the allowed places the `most` with the smallest numbers, or all."""
    chosen = torch.zeros_like(allowed, dtype=torch.uint8)
    places = numbers.masked_fill(~allowed, 2.0).topk(min(most, int(allowed.sum())), largest=False).indices
    chosen[places] = 1
    return chosen


def _by_chance() -> int:
    return int(torch.randint(2**62, ()))
