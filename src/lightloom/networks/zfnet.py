"""ZFNet (Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks, figure 3).

Without its contrast normalisation, as in our AlexNet.
"""

from collections import OrderedDict

from torch import nn

from lightloom.core.ranges import Count, Positive, Share
from lightloom.networks.blocks import Block, ConvBlock, Norm, at_most, max_pool, stem_stride, thinned, two_hidden_layers

# conv1's and conv2's (kernel, stride, padding) by their joint stride; 4 is the paper's, the others are for small images
STEMS = {4: ((7, 2, 1), (5, 2, 0)), 2: ((3, 1, 1), (5, 2, 2)), 1: ((3, 1, 1), (5, 1, 2))}


class ZFNet(nn.Sequential):
    """Both strides are 2 from 112 px up, the second from 56 px up, else none. (B, C, H, W) -> (B, num_classes).

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
        w1, w2, w3 = (thinned(channels, width) for channels in (96, 256, 384))
        conv1, conv2 = STEMS[stem_stride(image_size, paper=4)]
        features: OrderedDict[str, nn.Module] = OrderedDict(
            layer1=Block(ConvBlock(in_channels, w1, *conv1, norm=norm), max_pool()),
            layer2=Block(ConvBlock(w1, w2, *conv2, norm=norm), max_pool()),
            layer3=Block(ConvBlock(w2, w3, 3, norm=norm)),
            layer4=Block(ConvBlock(w3, w3, 3, norm=norm)),
            layer5=Block(ConvBlock(w3, w2, 3, norm=norm), max_pool()),
        )
        super().__init__(features)
        self.pool, values = at_most(self, 6, in_channels, image_size)
        self.classifier = two_hidden_layers(values, num_classes, dropout, width)
