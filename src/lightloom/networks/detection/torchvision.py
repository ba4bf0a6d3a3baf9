"""torchvision's detectors on a pyramid of features, all with one convention.

Training: network(images, targets) -> a dict of losses, scalars. Evaluation: network(images) -> a list of dicts with
boxes (N, 4) xyxy in pixels of the image given, labels (N,) from 1, scores (N,) falling, and masks (N, 1, H, W) in
[0, 1] where it makes them. Images are floats (3, H, W) in [0, 1] of any size. `num_classes` never counts background;
a network's `losses` names its losses.

With `weights` a network is torchvision's own, as published (see published.py): coco for those that it has trained on
COCO, or a file. `architecture` chooses among several, `classes` are the names of the labels from 1, with
`pretrained=false` nothing is read. Without, nothing is downloaded.

Pyramids: Lin et al. 2017, Feature Pyramid Networks for Object Detection, arXiv:1612.03144.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

import timm
import torch
import torchvision.models
from timm.layers.norm_act import freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssd import SSD, SSDFeatureExtractorVGG
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet, SSDLiteHead
from torchvision.models.mobilenetv3 import InvertedResidual
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count, Positive, Share
from lightloom.networks import library
from lightloom.networks.blocks import ConvBlock, normalization
from lightloom.networks.choices import one_of
from lightloom.networks.detection import published
from lightloom.networks.detection.regions import key_regions
from lightloom.networks.resnet import Residual

Boxes = dict[str, Tensor]  # of one image
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Norm = Literal["batch", "group", "frozen"]
LONGEST = 1333 / 800  # the long side of an image over its short one, at most: Lin et al.'s sizes
LARGEST = 512 / 800  # the largest anchor over the short side, theirs too
RCNN_LOSSES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")
MOST = 100  # detections of an image, what COCO's measures look at


class Pyramid(nn.Module):
    """A network's maps, each finer one joined by the coarser: (B, 3, H, W) -> {"0": (B, C, H/s, W/s), "1": ...}.

    body: images to a list of maps, fine to coarse, the first at stride `finest`. pool: one level more, half of the
    coarsest. changed: the options of `pyramid` that were given another value than their default.
    """

    changed: tuple[str, ...] = ()

    def __init__(
        self, body: nn.Module, widths: Sequence[int], out_channels: int, norm: str, pool: bool = True, finest: int = 4
    ) -> None:
        super().__init__()
        self.body, self.out_channels, self.finest = body, out_channels, finest
        layer = None if norm == "frozen" else partial(normalization, norm)
        self.fpn = FeaturePyramidNetwork(list(widths), out_channels, LastLevelMaxPool() if pool else None, layer)
        self.levels = [str(i) for i in range(len(widths))]
        self.depth = len(widths) + pool

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = self.fpn(OrderedDict(zip(self.levels, self.body(images), strict=True)))
        return maps


class SmallBody(nn.Module):
    """A residual network of one block a stage, for small images and no weights to begin with.

    (B, 3, H, W) -> maps (B, C, H/s, W/s), (B, 2C, H/2s, W/2s), (B, 4C, H/4s, W/4s), where C = 2 width.

    s: the finest stride.

    After He et al. 2016 (arXiv:1512.03385), with a stem of two 3x3 convolutions.
    """

    def __init__(self, width: int = 32, norm: str = "batch", finest: int = 4) -> None:
        super().__init__()
        self.widths = [width * 2**i for i in range(1, 4)]
        self.stem = nn.Sequential(
            ConvBlock(3, width, 3, 2, norm=norm), ConvBlock(width, width, 3, finest // 4, norm=norm)
        )
        self.stages = nn.ModuleList(
            Residual(before, after, 2, bottleneck=False, option="B", norm=norm)
            for before, after in zip([width, *self.widths], self.widths, strict=False)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [self.stem(images)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class Staged(nn.Module):
    """The outputs of the `kept` layers, in order: (B, 3, H, W) -> maps (B, C, h, w). torchvision has no such method."""

    def __init__(self, layers: Sequence[nn.Module], kept: Sequence[int]) -> None:
        super().__init__()
        self.layers, self.kept = nn.Sequential(*layers[: max(kept) + 1]), set(kept)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.kept:
                maps.append(x)
        return maps


@part
def pyramid(
    name: str = "small",
    out_channels: Count = 64,
    norm: Norm = "batch",
    checkpoint: str | None = None,
    width: Count = 32,
    pool: bool = True,
    finest: Literal[4, 8] = 4,
) -> Pyramid:
    """A pyramid over `small`, torchvision's mobilenet_v3_large, or a network of timm (resnet18, resnet50, ...).

    norm: batch | group (for `small`: few images at once, no weights) | frozen (batch statistics stay as they are in
    the checkpoint: He et al. 2017, section 3.1; it normalises nothing where there are no weights). width: of `small`.
    checkpoint: the state_dict file of a classifier, of which `small` is none. finest: stride of the finest map, 4 or 8.
    """
    changed = published.changed(pyramid, locals())
    one_of("norm", norm, get_args(Norm), "model.network.backbone.norm")
    if name == "small":
        if checkpoint:
            raise ValueError(
                f"checkpoint {checkpoint} is of a classifier, and backbone small is no part of one; set "
                f"model.network.backbone.name to the network that it was saved from (resnet50, mobilenet_v3_large, ...)"
            )
        small = SmallBody(width, "batch" if norm == "frozen" else norm, finest)
        body: nn.Module = small
        widths: Sequence[int] = small.widths
    elif norm == "group":
        raise ValueError(f"norm group is for backbone small, {name} has its own; set model.network.backbone.norm=batch")
    elif name == "mobilenet_v3_large":
        body, widths = _mobilenet(checkpoint, finest)
    else:
        library.check_name(name, timm.list_models(), "timm")
        body, widths = _from_timm(name, checkpoint, finest)
    if norm == "frozen":
        body = freeze_batch_norm_2d(body)
    made = Pyramid(body, widths, out_channels, norm, pool, finest)
    made.changed = tuple(changed)
    return made


def check_frozen_statistics(network: nn.Module) -> None:
    """Raise UserError where frozen batch norms keep the statistics of weights that nobody has given."""
    frozen: list[Any] = [layer for layer in network.modules() if type(layer).__name__.startswith("FrozenBatchNorm")]
    if frozen and all(bool((layer.running_mean == 0).all() & (layer.running_var == 1).all()) for layer in frozen):
        raise UserError(
            "model.network.backbone.norm=frozen keeps the statistics of given weights, but there are none; set "
            "model.network.backbone.checkpoint=<file>, or model.network.backbone.norm=batch."
        )


def _from_timm(name: str, checkpoint: str | None, finest: int) -> tuple[nn.Module, Sequence[int]]:
    """The maps of timm's network at strides `finest` to 32."""
    weights: dict[str, Any] = {}
    if checkpoint:
        state, cfg = dict(library.read(checkpoint)), timm.get_pretrained_cfg(name)
        library.check_fits(timm.create_model(name), state, (cfg and cfg.classifier) or (), source=checkpoint)
        weights = {"pretrained_cfg_overlay": {"state_dict": state}}
        logging.getLogger("timm.models._builder").setLevel(logging.ERROR)  # the classifier's weights are left out
    try:
        body: Any = timm.create_model(name, bool(checkpoint), features_only=True, **weights)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{name} has no maps of features ({reason}); set model.network.backbone.name") from error
    kept = [i for i, stride in enumerate(body.feature_info.reduction()) if stride >= finest]
    channels = [body.feature_info.channels()[i] for i in kept]
    return _Last(body, len(kept)), channels


class _Last(nn.Module):
    """The last `count` of a network's maps."""

    def __init__(self, body: nn.Module, count: int) -> None:
        super().__init__()
        self.body, self.count = body, count

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.body(images)
        return maps[-self.count :]


def _halves(layer: nn.Module) -> bool:
    """Is it a block of MobileNetV3 that halves the map?"""
    convolutions = [part for part in layer.modules() if isinstance(part, nn.Conv2d)]
    return isinstance(layer, InvertedResidual) and any(part.stride == (2, 2) for part in convolutions)


def _mobilenet(checkpoint: str | None, finest: int) -> tuple[nn.Module, Sequence[int]]:
    """torchvision's MobileNetV3: the last map before each next stride, and the last of all; strides `finest` to 32."""
    norm = partial(nn.BatchNorm2d, eps=0.001)  # its own momentum, 0.01, is of a classifier's long training
    network = _classifier("mobilenet_v3_large", "classifier.3", checkpoint, norm_layer=norm)
    layers = list(network.features)
    strided = [i for i, layer in enumerate(layers) if _halves(layer)]
    kept = [*(i - 1 for i in strided[finest // 4 :]), len(layers) - 1]
    body = Staged(layers, kept)
    with torch.no_grad():
        maps = body.eval()(torch.zeros(1, 3, 64, 64))
    return body.train(), [m.shape[1] for m in maps]


def _classifier(name: str, head: str, checkpoint: str | None, **options: Any) -> Any:
    """torchvision's network with the weights of a file, whose last layer `head` may be of other classes."""
    network = torchvision.models.get_model(name, weights=None, **options)
    if checkpoint:
        library.load(network, library.read(checkpoint), head, source=checkpoint)
    return network


# --- detectors


@part
def faster_rcnn(
    num_classes: Count,
    image_size: Count,
    backbone: Pyramid,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    width: Count = 256,
    rois: Count = 128,
    largest_anchor: Positive = LARGEST,
    weights: str | None = None,
    architecture: str | None = None,
    pretrained: bool = True,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> FasterRCNN:
    """Ren et al. 2015, Faster R-CNN, arXiv:1506.01497, on a pyramid (Lin et al. 2017).

    image_size: pixels of the short side. width: of the box head's two layers. rois: regions an image trains it with.
    largest_anchor: its side over the short side; each finer level has half of it. Less for small objects.
    """
    if weights is not None:
        return _two_staged(published.network(faster_rcnn, **locals()))
    sizes = anchor_sizes(image_size, backbone.depth, largest_anchor)
    network = FasterRCNN(
        backbone, **_scale(image_size, mean, std), **_two_stages(backbone, num_classes, sizes, width, rois), **options
    )
    return _two_staged(network)


@part
def mask_rcnn(
    num_classes: Count,
    image_size: Count,
    backbone: Pyramid,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    width: Count = 256,
    rois: Count = 128,
    mask_layers: Count = 4,
    largest_anchor: Positive = LARGEST,
    weights: str | None = None,
    architecture: str | None = None,
    pretrained: bool = True,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> MaskRCNN:
    """He et al. 2017, Mask R-CNN, arXiv:1703.06870. mask_layers: convolutions of the mask head, of C channels."""
    if weights is not None:
        return _two_staged(published.network(mask_rcnn, **locals()), "loss_mask")
    channels = backbone.out_channels
    sizes = anchor_sizes(image_size, backbone.depth, largest_anchor)
    network = MaskRCNN(
        backbone, **_scale(image_size, mean, std), **_two_stages(backbone, num_classes, sizes, width, rois),
        mask_roi_pool=MultiScaleRoIAlign(backbone.levels, 14, 2),
        mask_head=MaskRCNNHeads(channels, (channels,) * mask_layers, 1),
        mask_predictor=MaskRCNNPredictor(channels, channels, num_classes + 1),
        **options,
    )  # fmt: skip
    return _two_staged(network, "loss_mask")


@part
def retinanet(
    num_classes: Count,
    image_size: Count,
    backbone: Pyramid,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    largest_anchor: Positive = LARGEST,
    weights: str | None = None,
    architecture: str | None = None,
    pretrained: bool = True,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> RetinaNet:
    """Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002; group norm in the head."""
    if weights is not None:
        return _with_losses(published.network(retinanet, **locals()), "classification", "bbox_regression")
    sides = anchor_sizes(image_size, backbone.depth, largest_anchor)
    sizes = [tuple(side * 2 ** (i / 3) for i in range(3)) for side in sides]
    anchors = AnchorGenerator(tuple(sizes), ((0.5, 1.0, 2.0),) * len(sizes))
    norm = partial(normalization, "group")
    head = RetinaNetHead(backbone.out_channels, anchors.num_anchors_per_location()[0], num_classes + 1, norm)
    network = RetinaNet(
        backbone, num_classes + 1, **_scale(image_size, mean, std), anchor_generator=anchors, head=head,
        detections_per_img=MOST, **options,
    )  # fmt: skip
    return _with_losses(network, "classification", "bbox_regression")


@part
def fcos(
    num_classes: Count,
    image_size: Count,
    backbone: Pyramid,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    score_thresh: Share = 0.05,
    weights: str | None = None,
    architecture: str | None = None,
    pretrained: bool = True,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> FCOS:
    """Tian et al. 2019, FCOS: Fully Convolutional One-Stage Object Detection, arXiv:1904.01355.

    Its points are as far apart as a level's stride, and learn boxes of 4 to 8 times that.
    """
    if weights is not None:
        return _with_losses(published.network(fcos, **locals()), "classification", "bbox_regression", "bbox_ctrness")
    if backbone.out_channels % 32:
        raise ValueError(
            f"out_channels is {backbone.out_channels}, but FCOS normalises its head in 32 groups; set "
            f"model.network.backbone.out_channels to a multiple of 32"
        )
    strides = tuple((backbone.finest * 2**i,) for i in range(backbone.depth))
    network = FCOS(
        backbone, num_classes + 1, **_scale(image_size, mean, std),
        anchor_generator=AnchorGenerator(strides, ((1.0,),) * len(strides)),
        score_thresh=score_thresh, detections_per_img=MOST, **options,
    )  # fmt: skip
    return _with_losses(network, "classification", "bbox_regression", "bbox_ctrness")


@part
def ssd(
    num_classes: Count,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    checkpoint: str | None = None,
    weights: str | None = None,
    architecture: str | None = None,
    pretrained: bool = True,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> SSD:
    """Liu et al. 2016, SSD: Single Shot MultiBox Detector, arXiv:1512.02325: SSD300 on VGG-16; images become 300 px.

    checkpoint: a state_dict file of torchvision's vgg16.
    """
    if weights is not None:
        return _with_losses(published.network(ssd, **locals()), "bbox_regression", "classification")
    vgg = _classifier("vgg16", "classifier.6", checkpoint)
    boxes = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    network = SSD(
        SSDFeatureExtractorVGG(vgg.features, highres=False), boxes, (300, 300), num_classes + 1,
        image_mean=list(mean), image_std=list(std), detections_per_img=MOST, **options,
    )  # fmt: skip
    return _with_losses(network, "bbox_regression", "classification")


@part
def ssdlite(
    num_classes: Count,
    size: Count = 320,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    checkpoint: str | None = None,
    weights: str | None = None,
    architecture: str | None = None,
    pretrained: bool = True,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> SSD:
    """Sandler et al. 2018, MobileNetV2, arXiv:1801.04381, section 6.2, on MobileNetV3-large; images become `size` px.

    checkpoint: a state_dict file of torchvision's mobilenet_v3_large.
    """
    if weights is not None:
        return _with_losses(published.network(ssdlite, **locals()), "bbox_regression", "classification")
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)  # of the backbone too, as torchvision's own
    features = _classifier("mobilenet_v3_large", "classifier.3", checkpoint, norm_layer=norm).features
    expanded = [i for i, layer in enumerate(features) if _halves(layer)][-1]
    extractor = SSDLiteFeatureExtractorMobileNet(features, expanded, norm)
    with torch.no_grad():
        widths = [m.shape[1] for m in extractor.eval()(torch.zeros(1, 3, size, size)).values()]
    extractor.train()
    boxes = DefaultBoxGenerator([[2, 3] for _ in widths], min_ratio=0.2, max_ratio=0.95)
    head = SSDLiteHead(widths, boxes.num_anchors_per_location(), num_classes + 1, norm)
    network = SSD(
        extractor, boxes, (size, size), num_classes + 1, head=head, image_mean=list(mean), image_std=list(std),
        nms_thresh=0.55, detections_per_img=MOST, **options,
    )  # fmt: skip
    return _with_losses(network, "bbox_regression", "classification")


def anchor_sizes(image_size: int, levels: int, largest: float = LARGEST) -> list[float]:
    """One side in pixels for each level, fine to coarse; on 800 px and five levels 32, 64, ..., 512."""
    return [largest * image_size / 2 ** (levels - 1 - i) for i in range(levels)]


def _scale(image_size: int, mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    return {
        "min_size": image_size,
        "max_size": round(LONGEST * image_size),
        "image_mean": list(mean),
        "image_std": list(std),
    }


def _two_stages(backbone: Pyramid, num_classes: int, sizes: list[float], width: int, rois: int) -> dict[str, Any]:
    """What the R-CNNs share: a region proposal network over all levels, and a box head over all but the pooled."""
    return {
        "rpn_anchor_generator": AnchorGenerator(tuple((s,) for s in sizes), ((0.5, 1.0, 2.0),) * len(sizes)),
        "box_roi_pool": MultiScaleRoIAlign(backbone.levels, 7, 2),
        "box_head": TwoMLPHead(backbone.out_channels * 49, width),
        "box_predictor": FastRCNNPredictor(width, num_classes + 1),
        "rpn_pre_nms_top_n_train": 1000,
        "rpn_post_nms_top_n_train": 500,
        "rpn_pre_nms_top_n_test": 500,
        "rpn_post_nms_top_n_test": 300,
        "box_batch_size_per_image": rois,
        "box_detections_per_img": MOST,
    }


def _two_staged(network: Any, *more: str) -> Any:
    """An R-CNN that draws regions by its images' keys and names its losses."""
    return _with_losses(key_regions(network), *RCNN_LOSSES, *more)


def _with_losses(network: Any, *losses: str) -> Any:
    network.losses = losses
    return network
