"""AlexNet (Krizhevsky, Sutskever & Hinton 2012), as the one tower of Krizhevsky 2014, One Weird Trick, arXiv:1404.5997.

Without local response normalisation, which Simonyan & Zisserman 2015 (section 2.3) found to change nothing.
"""

from collections import OrderedDict

from torch import nn

from lightloom.core.ranges import Count, Positive, Share
from lightloom.networks.blocks import Block, ConvBlock, Norm, at_most, max_pool, stem_stride, thinned, two_hidden_layers

STEMS = {4: (11, 2), 2: (7, 3), 1: (5, 2)}  # stride: kernel and padding; 4 is the paper's, the others for small images


class AlexNet(nn.Sequential):
    """The first stride is 4 from 112 px up, 2 from 56 px up, else 1. (B, C, H, W) -> (B, num_classes).

    width: multiplier of all widths.
    """

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        image_size: Count,
        norm: Norm = "none",
        dropout: Share = 0.5,
        width: Positive = 1.0,
    ) -> None:
        w1, w2, w3, w4 = (thinned(channels, width) for channels in (64, 192, 384, 256))
        stride = stem_stride(image_size, paper=4)
        kernel, padding = STEMS[stride]
        features: OrderedDict[str, nn.Module] = OrderedDict(
            layer1=Block(ConvBlock(in_channels, w1, kernel, stride, padding, norm), max_pool()),
            layer2=Block(ConvBlock(w1, w2, 5, norm=norm), max_pool()),
            layer3=Block(ConvBlock(w2, w3, 3, norm=norm)),
            layer4=Block(ConvBlock(w3, w4, 3, norm=norm)),
            layer5=Block(ConvBlock(w4, w4, 3, norm=norm), max_pool()),
        )
        super().__init__(features)
        self.pool, values = at_most(self, 6, in_channels, image_size)
        self.classifier = two_hidden_layers(values, num_classes, dropout, width)
