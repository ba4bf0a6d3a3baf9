"""Spectral normalisation (Miyato, Kataoka, Koyama & Yoshida 2018, Spectral Normalization for GANs, arXiv:1802.05957).

Each weight is divided by an estimate of its largest singular value: one power iteration at each pass in training, none
in evaluation. The iteration's vectors are buffers, so a run that is resumed goes on with them.
"""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)


def normalize(*networks: nn.Module) -> None:
    """Put spectral norm on the weights, as they are drawn by now, of all linear layers, convolutions and embeddings."""
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, LAYERS) and not is_parametrized(layer):
                parametrizations.spectral_norm(layer)
