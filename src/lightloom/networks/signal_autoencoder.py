"""A small autoencoder of complex-valued signals, such as the impulse responses of a radio channel.

A signal is (2, length): its real and its imaginary part, scaled to [0, 1]. The code is half as long as the signal.
"""

from __future__ import annotations

from torch import Tensor, nn

from lightloom.core.ranges import Count

ENCODER_KERNEL, DECODER_KERNEL = 40, 81


class Encoder(nn.Sequential):
    """Signals (B, 2, length) -> (B, code) in [0, 1]."""

    def __init__(self, length: Count = 88, code: Count = 44) -> None:
        super().__init__(
            Same(2, 2, ENCODER_KERNEL), nn.ReLU(inplace=True),
            nn.Flatten(), nn.Linear(2 * length, code), HardSigmoid(),
        )  # fmt: skip


class Decoder(nn.Sequential):
    """z (B, code) -> signals (B, 2, length), not negative. One filter slides over both parts laid end to end."""

    def __init__(self, length: Count = 88, code: Count = 44) -> None:
        super().__init__(
            nn.Linear(code, 2 * length), nn.Sigmoid(),
            nn.Unflatten(1, (1, 2 * length)), Same(1, 1, DECODER_KERNEL), nn.ReLU(inplace=True),
            nn.Flatten(), nn.Unflatten(1, (2, length)),
        )  # fmt: skip
        self.latent_dim = code


class Same(nn.Sequential):
    """A convolution that keeps the length; of an even kernel's odd padding the larger half is on the right."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        padding = nn.ZeroPad1d(((kernel_size - 1) // 2, kernel_size // 2))
        super().__init__(padding, nn.Conv1d(in_channels, out_channels, kernel_size))


class HardSigmoid(nn.Module):
    """clip(0.2 x + 0.5, 0, 1) elementwise, (B, ...), as Theano and Keras 2 define it; torch's slope is 1/6."""

    def forward(self, x: Tensor) -> Tensor:
        return (0.2 * x + 0.5).clamp(0, 1)
