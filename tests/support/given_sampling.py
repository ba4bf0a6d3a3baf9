"""Detectors for tests of several processes: one draws no region by chance, one compares its weights with its twin's."""

import torch
from torch import Tensor
from torchvision.models.detection import _utils

from lightloom.modules.detector import Detector


class FirstOnes(_utils.BalancedPositiveNegativeSampler):
    """As many positives and negatives as torchvision draws, the first ones instead of random ones."""

    def __call__(self, matched_idxs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        pairs = [self.first(matched) for matched in matched_idxs]
        return [positive for positive, _ in pairs], [negative for _, negative in pairs]

    def first(self, matched: Tensor) -> tuple[Tensor, Tensor]:
        most = int(self.batch_size_per_image * self.positive_fraction)
        positive = matched >= 1
        positive &= positive.cumsum(0) <= most
        negative = matched == 0
        negative &= negative.cumsum(0) <= self.batch_size_per_image - positive.sum()
        return positive.to(torch.uint8), negative.to(torch.uint8)


class GivenSampling(Detector):
    def __init__(self, **options) -> None:
        super().__init__(**options)
        for part in (self.network.rpn, self.network.roi_heads):
            sampler = part.fg_bg_sampler
            part.fg_bg_sampler = FirstOnes(sampler.batch_size_per_image, sampler.positive_fraction)


class SameWeights(Detector):
    """Writes down how far apart the processes' weights are in the end."""

    def on_train_end(self) -> None:
        own = torch.cat([p.detach().flatten() for p in self.parameters()])
        apart = (self.all_gather(own) - own).abs().max()
        torch.save(apart, f"{self.trainer.default_root_dir}/apart-{self.global_rank}.pt")
