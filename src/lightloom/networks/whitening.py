"""A first convolution that whitens image patches (Page 2019, How to Train Your ResNet 8; Jordan 2024, section 3.2)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, unfold

EPS = 5e-4  # of airbench, where a pixel's variance is one


class Whitening(nn.Module):
    """Each patch in the eigenvectors of the patches' covariance, every direction with variance one, and its negative.

    (B, C, H, W) -> (B, 2 C patch^2, H', W'), without padding. The filters come from images by `fit`, are random and
    orthogonal before, and are not trained; the bias is. fitted: whether they do, which a checkpoint keeps.
    """

    weight: Tensor
    fitted: Tensor

    def __init__(self, in_channels: int, patch: int, stride: int = 1) -> None:
        super().__init__()
        self.in_channels, self.patch, self.stride = in_channels, patch, stride
        values = in_channels * patch**2
        self.out_channels = 2 * values
        self.bias = nn.Parameter(torch.zeros(self.out_channels))
        self.register_buffer("weight", self._filters(nn.init.orthogonal_(torch.empty(values, values))))
        self.register_buffer("fitted", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, self.stride)

    def fit(self, batches: Iterable[Tensor], eps: float = EPS) -> None:
        """Whiten the patches of these images (B, C, H, W), as the network sees them.

        eps: added to each eigenvalue, so that directions that hardly vary are not blown up.
        """
        covariance = patch_covariance(batches, self.patch)
        values, vectors = torch.linalg.eigh(covariance)
        self.weight.copy_(self._filters((vectors / (values + eps).sqrt()).T))
        self.fitted.fill_(True)

    def _filters(self, rows: Tensor) -> Tensor:
        return torch.cat([rows, -rows]).view(self.out_channels, self.in_channels, self.patch, self.patch)


def patch_covariance(batches: Iterable[Tensor], patch: int) -> Tensor:
    """Covariance (D, D), float64 on the CPU, of all patches, each D = C patch^2 values. batches: (B, C, H, W)."""
    count, first, second = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for images in batches:
        patches = unfold(images.double().cpu(), patch).transpose(0, 1).flatten(1)
        count += patches.shape[1]
        first, second = first + patches.sum(1), second + patches @ patches.T
    mean = first / count
    return second / count - mean.outer(mean)
