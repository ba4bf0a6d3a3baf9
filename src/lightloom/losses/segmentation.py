"""Losses of semantic segmentation: cross-entropy, Dice, focal and Lovász-softmax, and sums of them.

logits: (B, K, H, W). masks: integers (B, H, W), the class of each pixel, or `ignore`. A pixel that is ignored changes
no loss and no gradient; where all are, a loss is 0. What is divided by (pixels, or sums over a class) is that of all
processes together, so that two processes train what one does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import BelowOne, Count, NotNegative, checked
from lightloom.ops.collectives import shared_sum

IGNORE = 255
TINY = 1e-8  # in place of a sum over no pixel
Parts = tuple[Tensor, Tensor, Tensor]  # log-probabilities (B, K, H, W), labels (B, H, W), which of these count


class SegmentationLoss(nn.Module):
    """The weighted sum of the terms whose weights are not 0.

    label_smoothing, class_weights and median_frequency are of cross-entropy and focal. class_weights: one for each
    class. median_frequency: the median share of the classes over the class's own, in the training images that have it
    (Eigen & Fergus 2015, section 4.3); `weigh` sets it. gamma: of focal (Lin et al. 2017).
    """

    weights: Tensor

    @checked
    def __init__(
        self,
        num_classes: Count,
        cross_entropy: NotNegative = 1.0,
        dice: NotNegative = 0.0,
        focal: NotNegative = 0.0,
        lovasz: NotNegative = 0.0,
        label_smoothing: BelowOne = 0.0,
        gamma: NotNegative = 2.0,
        class_weights: Sequence[NotNegative] | None = None,
        median_frequency: bool = False,
    ) -> None:
        super().__init__()
        self.terms = {"cross_entropy": cross_entropy, "dice": dice, "focal": focal, "lovasz": lovasz}
        if not any(self.terms.values()):
            raise UserError(f"model.loss: all of {', '.join(self.terms)} are 0; give one of them a weight.")
        if class_weights is not None and (median_frequency or len(class_weights) != num_classes):
            raise UserError(
                f"model.loss.class_weights has {len(class_weights)} numbers for {num_classes} classes"
                f"{', beside median_frequency=true' if median_frequency else ''}; give one for each class, or null."
            )
        self.label_smoothing, self.gamma, self.median_frequency = label_smoothing, gamma, median_frequency
        self.register_buffer("weights", torch.tensor(list(class_weights or [1.0] * num_classes)))

    def weigh(self, shares: Tensor) -> None:
        """Weigh classes by `median_frequency`. shares: (K,), of the pixels of the images that have the class, or 0."""
        present = shares[shares > 0]
        weights = torch.where(shares > 0, present.median() / shares.clamp(min=TINY), 1.0)
        self.weights.copy_(weights)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The sum, a scalar. logits: (B, K, H, W), masks: (B, H, W)."""
        counts = masks != IGNORE
        labels = torch.where(counts, masks, 0).long()
        parts = logits.float().log_softmax(1), labels, counts
        found = {
            "cross_entropy": lambda: cross_entropy(parts, self.weights, self.label_smoothing),
            "dice": lambda: dice(parts),
            "focal": lambda: focal(parts, self.weights, self.gamma),
            "lovasz": lambda: lovasz(parts),
        }
        return torch.stack([weight * found[name]() for name, weight in self.terms.items() if weight]).sum()


def cross_entropy(parts: Parts, weights: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The mean of -log p(label) over pixels, each weighted by its class. weights: (K,).

    label_smoothing: the share of a label that is spread over all classes (Szegedy et al. 2016, section 7).
    """
    log_p, labels, counts = parts
    nll = _of_label(log_p, labels)
    if label_smoothing:
        nll = (1 - label_smoothing) * nll - label_smoothing * log_p.mean(1)
    weight = weights[labels] * counts
    return _ratio((weight * nll).sum(), weight.sum())


def focal(parts: Parts, weights: Tensor, gamma: float) -> Tensor:
    """The mean of -w (1 - p)^gamma log p over pixels, p that of the label, w (K,) (Lin et al. 2017, equation 5)."""
    log_p, labels, counts = parts
    nll = _of_label(log_p, labels)
    weight = weights[labels] * counts * (-torch.expm1(-nll)).clamp(min=0) ** gamma
    return _ratio((weight * nll).sum(), counts.sum())


def dice(parts: Parts) -> Tensor:
    """1 - 2 |P T| / (|P| + |T|), the mean over classes that the batch has (Milletari et al. 2016, section 3).

    P are probabilities (B, K, H, W), T the truth, each summed over all pixels of all images.
    """
    log_p, labels, counts = parts
    p = log_p.exp() * counts[:, None]
    both = p.gather(1, labels[:, None])[:, 0]
    classes = log_p.shape[1]
    common = torch.zeros(classes, device=p.device).index_add(0, labels.flatten(), both.flatten())
    truth = torch.bincount(labels[counts], minlength=classes).to(p.dtype)
    common, found, truth = shared_sum(torch.stack([common, p.sum((0, 2, 3)), truth]))
    present = truth > 0
    losses = (1 - 2 * common / (found + truth).clamp(min=TINY)) * present
    mean: Tensor = losses.sum() / present.sum().clamp(min=1)
    return mean


def lovasz(parts: Parts) -> Tensor:
    """Lovász-softmax of each image, over the classes that it has, and their mean (Berman et al. 2018, section 3.1).

    The convex extension of the Jaccard index of each class, on errors |t - p| (H W,) sorted from the largest.
    """
    log_p, labels, counts = parts
    losses = [_lovasz_of(p[:, c], y[c]) for p, y, c in zip(log_p.exp(), labels, counts, strict=True)]
    return torch.stack(losses).mean()


def _lovasz_of(p: Tensor, labels: Tensor) -> Tensor:
    """Of one image. p: (K, N) probabilities, labels: (N,)."""
    losses = [_lovasz_hinge((labels == k).to(p.dtype), p[k]) for k in labels.unique().tolist()]
    return torch.stack(losses).mean() if losses else p.sum()


def _lovasz_hinge(truth: Tensor, p: Tensor) -> Tensor:
    errors, order = (truth - p).abs().sort(descending=True)
    truth = truth[order]
    intersection = truth.sum() - truth.cumsum(0)
    union = truth.sum() + (1 - truth).cumsum(0)
    jaccard = 1 - intersection / union
    return errors @ torch.cat([jaccard[:1], jaccard.diff()])


def _of_label(log_p: Tensor, labels: Tensor) -> Tensor:
    return -log_p.gather(1, labels[:, None])[:, 0]


def _ratio(total: Tensor, count: Tensor) -> Tensor:
    total, count = shared_sum(torch.stack([total, count.to(total.dtype)]))
    mean: Tensor = total / count.clamp(min=TINY)
    return mean
