"""Feature extractors on which images are compared; an extractor's name is part of each metric's name.

Extractors take float images (B, C, H, W) in [0, 1] and give features (B, D). They are frozen and always evaluate.
"""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightloom.core.errors import UserError, install
from lightloom.core.ranges import Count

OPTION = "callbacks.quality.extractor"
OTHERS = "choose extractor=pixels or extractor=classifier"
PATIENCE = 10.0  # seconds without an answer from the network


class Pixels(nn.Module):
    """Pixels, resized to size x size (bilinear, antialiased): (B, C, H, W) -> (B, C size^2)."""

    def __init__(self, name: str = "pixels", size: Count = 8) -> None:
        super().__init__()
        self.name, self.size = name, size

    def forward(self, images: Tensor) -> Tensor:
        return _resized(images, self.size).flatten(1)


class ClassifierFeatures(nn.Module):
    """The input of a classifier's last, linear layer, (B, D), and its class probabilities.

    classifier: logits (B, K) of images (B, channels, image_size, image_size) in [0, 1]; images of another size are
    resized. name: of its network, for a measure's name must say whose features it is of. trained_on: its data's name.
    """

    def __init__(
        self,
        classifier: nn.Module,
        name: str,
        channels: int,
        image_size: int,
        classes: Sequence[str],
        trained_on: str | None = None,
    ) -> None:
        super().__init__()
        self.name, self.channels, self.image_size = name, channels, image_size
        self.classes, self.trained_on = list(classes), trained_on
        self.classifier = classifier.requires_grad_(False).eval()
        self.head = _last_layer(classifier, torch.zeros(2, self.channels, self.image_size, self.image_size), name)
        self.head.register_forward_pre_hook(self._keep)
        self._features = torch.empty(0)

    def train(self, mode: bool = True) -> ClassifierFeatures:
        """Stay in evaluation mode, whatever the module around it does."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != self.channels:
            raise UserError(
                f"{OPTION}={self.name} was trained on images of {self.channels} channels, but these have "
                f"{images.shape[1]}; set {OPTION}.checkpoint to a classifier of such images, or extractor=pixels."
            )
        self.classifier(_resized(images, self.image_size))
        features, self._features = self._features, torch.empty(0)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Class probabilities (B, num_classes) from features (B, D)."""
        return nn.functional.linear(features, self.head.weight, self.head.bias).softmax(1)

    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities (B, num_classes)."""
        return self.classify(self(images))

    def _keep(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._features = inputs[0]


def _last_layer(classifier: nn.Module, images: Tensor, name: str) -> nn.Linear:
    """The linear layer whose output is the logits."""
    outputs: list[tuple[nn.Linear, Tensor]] = []
    linears = [layer for layer in classifier.modules() if isinstance(layer, nn.Linear)]
    hooks = [m.register_forward_hook(lambda layer, _, output: outputs.append((layer, output))) for m in linears]
    with torch.no_grad():
        logits = classifier(images)
    for hook in hooks:
        hook.remove()
    for layer, output in outputs:
        if output.data_ptr() == logits.data_ptr():
            return layer
    raise UserError(f"{OPTION}: the last layer of {name} is not linear; set {OPTION}.checkpoint to another network's.")


class Inception(nn.Module):
    """The features of Inception v3 on which the literature's FID is computed: (B, C, H, W) -> (B, 2048).

    By torchmetrics and torch-fidelity.
    Grey images are repeated to three channels. download: fetch the weights (91 MB) where they are not in torch's cache.
    """

    def __init__(self, name: str = "inception", download: bool = False) -> None:
        super().__init__()
        if importlib.util.find_spec("torch_fidelity") is None:
            raise UserError(f"extractor=inception needs torch-fidelity: {install('gan')}, or {OTHERS}.")
        from torchmetrics.image.fid import NoTrainInceptionV3

        path = str(inception_weights(download))
        with torch.random.fork_rng(devices=[]):
            network = NoTrainInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=path)
        self.name, self.network = name, network.requires_grad_(False)

    def train(self, mode: bool = True) -> Inception:
        """Stay in evaluation mode, whatever the module around it does."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] not in (1, 3):
            raise UserError(f"extractor=inception takes 1 or 3 channels, but images have {images.shape[1]}; {OTHERS}.")
        features: Tensor = self.network(images.expand(-1, 3, -1, -1).mul(255).round().byte())
        return features


def inception_weights(download: bool) -> Path:
    """The path of the weights in torch's cache, downloaded if allowed; UserError where they cannot be had."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3 as url

    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        return path
    if not download:
        raise UserError(
            f"extractor=inception: its weights are not at {path}; set {OPTION}.download=true where there is a network, "
            f"put {url} there, or {OTHERS}."
        )
    usual = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError) as error:
        raise UserError(f"extractor=inception: no weights could be fetched from {url} ({error}); {OTHERS}.") from error
    finally:
        socket.setdefaulttimeout(usual)
    return path


def _resized(images: Tensor, size: int) -> Tensor:
    if images.shape[-2:] == (size, size):
        return images
    return interpolate(images, (size, size), mode="bilinear", antialias=True)
