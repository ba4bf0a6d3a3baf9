"""The multilayer perceptrons of Goodfellow et al. 2014 (Generative Adversarial Nets, arXiv:1406.2661, section 5).

Maxout is that of Goodfellow, Warde-Farley, Mirza, Courville & Bengio 2013 (Maxout Networks, arXiv:1302.4389).
The paper's images are in [0, 1]; ours are in [-1, 1], and both networks convert.
"""

from __future__ import annotations

from torch import Tensor, nn

from lightloom.core.ranges import Count, Share


class Generator(nn.Sequential):
    """Two ReLU layers and a sigmoid. z (B, latent_dim) -> images (B, C, H, W) in [-1, 1]."""

    def __init__(self, latent_dim: Count, channels: Count, image_size: Count, hidden: Count = 1200) -> None:
        super().__init__(
            nn.Linear(latent_dim, hidden), nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
            nn.Linear(hidden, channels * image_size**2),
            nn.Unflatten(1, (channels, image_size, image_size)),
        )  # fmt: skip
        self.latent_dim = latent_dim

    def forward(self, z: Tensor) -> Tensor:
        for layer in self:
            z = layer(z)
        return (z / 2).tanh()  # 2 sigmoid(x) - 1 = tanh(x / 2)


class Discriminator(nn.Sequential):
    """Two maxout layers with dropout before each layer. Images (B, C, H, W) in [-1, 1] -> scores (B,)."""

    def __init__(
        self,
        channels: Count,
        image_size: Count,
        units: Count = 240,
        pieces: Count = 5,
        dropout: Share = 0.5,
        input_dropout: Share = 0.2,
    ) -> None:
        super().__init__(
            nn.Flatten(), nn.Dropout(input_dropout),
            Maxout(channels * image_size**2, units, pieces), nn.Dropout(dropout),
            Maxout(units, units, pieces), nn.Dropout(dropout),
            nn.Linear(units, 1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Map [-1, 1] to [0, 1] first: a dropped pixel is then black, as in the paper."""
        values = (images + 1) / 2
        for layer in self:
            values = layer(values)
        return values.squeeze(1)


class Maxout(nn.Module):
    """The largest of `pieces` affine maps, unit by unit. (B, in_features) -> (B, out_features).

    The weight of unit i's piece j is row j * out_features + i: the maximum is then taken over contiguous rows.
    """

    def __init__(self, in_features: int, out_features: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, pieces * out_features)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.linear(x).unflatten(1, (self.pieces, -1))
        return values.amax(1)
