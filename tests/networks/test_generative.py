"""Generators, discriminators and autoencoders: shapes, ranges, counts, and slow references."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from lightloom.core.errors import UserError
from lightloom.networks import autoencoder, dcgan, goodfellow, resnet_gan, signal_autoencoder
from lightloom.networks.bigan import JointDiscriminator
from lightloom.networks.bigbigan import Discriminator as ThreeScores
from lightloom.networks.dcgan import SIZES, halvings

GENERATORS = {
    "goodfellow": lambda channels, size: goodfellow.Generator(5, channels, size, hidden=4),
    "dcgan": lambda channels, size: dcgan.Generator(5, channels, size, width=4),
    "resnet": lambda channels, size: resnet_gan.Generator(5, channels, size, width=4),
}
CRITICS = {
    "goodfellow": lambda channels, size: goodfellow.Discriminator(channels, size, 4, 3, dropout=0, input_dropout=0),
    "dcgan_none": lambda channels, size: dcgan.Discriminator(channels, size, width=4, norm="none"),
    "dcgan_layer": lambda channels, size: dcgan.Discriminator(channels, size, width=4, norm="layer"),
    "resnet": lambda channels, size: resnet_gan.Critic(channels, size, width=4),
    "joint_none": lambda channels, size: Joined(channels, size, norm="none"),
    "joint_layer": lambda channels, size: Joined(channels, size, norm="layer"),
    "bigbigan": lambda channels, size: Third(channels, size),
}
MIXING = {
    "dcgan_batch": lambda channels, size: dcgan.Discriminator(channels, size, width=4),
    "joint_batch": lambda channels, size: Joined(channels, size, norm="batch"),
}


class Third(nn.Module):
    """The score s_xz of BigBiGAN's discriminator, of latents that are the first five pixels."""

    def __init__(self, channels, size):
        super().__init__()
        self.scores = ThreeScores(channels, size, latent_dim=5, width=4, hidden=6, spectral_norm=False)

    def forward(self, images):
        return self.scores(images, images.flatten(1)[:, :5])[:, 2]


class Joined(nn.Module):
    """A joint discriminator whose latents are the first five pixels."""

    def __init__(self, channels, size, norm):
        super().__init__()
        self.joint = JointDiscriminator(channels, size, latent_dim=5, width=4, hidden=6, norm=norm)

    def forward(self, images):
        return self.joint(images, images.flatten(1)[:, :5])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def linear(*widths):
    return sum((a + 1) * b for a, b in pairwise(widths))


# --- shapes and sizes


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_all_sizes_can_be_made_and_judged(channels, size):
    images, z = torch.empty(2, channels, size, size, device="meta"), torch.empty(2, 5, device="meta")
    with torch.device("meta"):
        generators = [make(channels, size) for make in GENERATORS.values()]
        generators += [dcgan.Decoder(5, channels, size, width=4), autoencoder.Decoder(5, channels, size, (4, 3))]
        critics = [make(channels, size) for make in (CRITICS | MIXING).values()]
        encoders = [dcgan.Encoder(channels, size, 7, width=4), autoencoder.Encoder(channels, size, 7, (3, 4))]
    for generator in generators:
        assert generator.latent_dim == 5
        assert generator(z).shape == images.shape
    assert [critic(images).shape for critic in critics] == [(2,)] * len(critics)
    assert [encoder(images).shape for encoder in encoders] == [(2, 7)] * 2


@pytest.mark.parametrize("size", SIZES)
def test_halving_ends_at_an_odd_side_or_at_4(size):
    side = size >> halvings(size)
    assert side << halvings(size) == size
    assert side == 4 or side % 2 == 1
    assert dcgan.Encoder(1, size, 1, width=1).features(torch.rand(2, 1, size, size)).shape[2:] == (side, side)


@pytest.mark.parametrize(("size", "stages", "side"), [(28, 2, 7), (32, 3, 4), (24, 3, 3), (100, 2, 25), (64, 4, 4)])
def test_stages_by_hand(size, stages, side):
    assert halvings(size) == stages
    assert size >> stages == side


@pytest.mark.parametrize(("size", "nearest"), [(30, 32), (29, 28), (12, 16), (1, 16), (132, 128), (224, 128)])
@pytest.mark.parametrize("name", ["Encoder", "Decoder", "Generator", "Critic"])
def test_other_sizes_are_refused_with_the_nearest_one(name, size, nearest):
    build = {
        "Encoder": lambda: dcgan.Encoder(1, size, 1),
        "Decoder": lambda: dcgan.Decoder(1, 1, size),
        "Generator": lambda: resnet_gan.Generator(1, 1, size),
        "Critic": lambda: resnet_gan.Critic(1, size),
    }[name]
    with pytest.raises(
        UserError, match=rf"image_size {size} is not a multiple of 4 .*; set data\.image_size={nearest}\.$"
    ):
        build()


def test_unknown_norm_is_named():
    with pytest.raises(ValueError, match="norm group is not one of none, batch, layer; set"):
        dcgan.Discriminator(1, 28, norm="group")


# --- what discriminators may depend on


@pytest.mark.parametrize("name", CRITICS)
def test_a_score_is_of_one_image(name):
    critic = CRITICS[name](2, 20).double()
    images = torch.rand(5, 2, 20, 20, dtype=torch.float64) * 2 - 1
    alone = torch.cat([critic(image[None]) for image in images])
    torch.testing.assert_close(critic(images), alone)
    assert alone.std() > 0


@pytest.mark.parametrize("name", MIXING)
def test_batch_norm_ties_the_images_of_a_batch(name):
    """Change the second image, and the first one's score changes; in evaluation mode it does not."""
    critic = MIXING[name](1, 28).double()
    images = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    others = torch.stack([images[0], -images[1]])
    assert abs(critic(images)[0] - critic(others)[0]) > 1e-6
    critic.eval()
    torch.testing.assert_close(critic(images)[0], critic(others)[0])


@pytest.mark.parametrize("name", CRITICS)
def test_gradient_penalty_agrees_with_finite_differences(name):
    """d/dw of mean (|dD/dx| - 1)^2 needs a second backward pass, through activations that work in place."""
    critic = CRITICS[name](1, 16).double()
    images = torch.rand(3, 1, 16, 16, dtype=torch.float64) * 2 - 1
    for weight in critic.parameters():
        nn.init.normal_(weight, std=0.3)
    direction = [torch.randn_like(weight) for weight in critic.parameters()]

    def penalty():
        x = images.clone().requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()

    def moved(step):
        with torch.no_grad():
            for weight, along in zip(critic.parameters(), direction, strict=True):
                weight += step * along
        return penalty().item()

    gradients = torch.autograd.grad(penalty(), list(critic.parameters()), allow_unused=True)
    slope = sum((g * d).sum().item() for g, d in zip(gradients, direction, strict=True) if g is not None)
    step = 1e-6
    numeric = (moved(step) - moved(-2 * step)) / (2 * step)
    assert slope == pytest.approx(numeric, rel=1e-5)
    assert abs(slope) > 1e-3


def test_joint_score_is_of_the_pair():
    """Whether a latent is the better one depends on the image: D(x, z) is no sum of a score of x and one of z."""
    joint = JointDiscriminator(1, 16, latent_dim=5, width=4, hidden=6).double()
    for weight in joint.parameters():
        nn.init.normal_(weight, std=0.3)
    x, y = torch.rand(2, 8, 1, 16, 16, dtype=torch.float64) * 2 - 1
    z, w = torch.randn(2, 8, 5, dtype=torch.float64)
    assert (joint(x, z) - joint(x, w) - joint(y, z) + joint(y, w)).abs().max() > 1e-3


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_features_lead_to_the_score_and_stay_as_they_were(norm):
    critic = dcgan.Discriminator(1, 32, width=4, norm=norm)
    images = torch.rand(3, 1, 32, 32)
    first = critic.features(images, 1)
    features = critic.features(images)
    kept = first.clone(), features.clone()
    rest = critic.stages[2](critic.stages[1](first))
    torch.testing.assert_close(rest, features)
    torch.testing.assert_close(critic.head(features).squeeze(1), critic(images))
    assert first.shape == (3, 4, 16, 16)
    assert features.shape == (3, 16, 4, 4)
    assert torch.equal(kept[0], first)
    assert torch.equal(kept[1], features)


@pytest.mark.parametrize("name", CRITICS | MIXING)
def test_memory_format_does_not_change_scores(name):
    critic = (CRITICS | MIXING)[name](3, 28).double().eval()
    images = torch.rand(4, 3, 28, 28, dtype=torch.float64)
    other = copy.deepcopy(critic).to(memory_format=torch.channels_last)
    torch.testing.assert_close(other(images.contiguous(memory_format=torch.channels_last)), critic(images))


def test_dropout_zeroes_the_said_fraction_and_only_in_training():
    """A linear head of ones on features of ones sums what is kept: mean and variance of inverted dropout."""
    p, n = 0.3, 4096
    critic = dcgan.Discriminator(1, 16, width=4, norm="none", dropout=p)
    features = torch.ones(n, 8, 4, 4)
    nn.init.ones_(critic.head[2].weight)
    sums = critic.head(features).squeeze(1)
    variance = 128 * p / (1 - p)
    assert abs(sums.mean() - 128) < 5 * math.sqrt(variance / n)
    assert sums.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / n))
    assert torch.equal(critic.eval().head(features), torch.full((n, 1), 128.0))


# --- ranges and weights


@pytest.mark.parametrize("name", GENERATORS)
def test_images_stay_in_range_under_extreme_weights(name):
    generator = GENERATORS[name](3, 16)
    with torch.no_grad():
        for weight in generator.parameters():
            weight *= 1e4
    images = generator(torch.randn(8, 5))
    assert images.abs().max() <= 1
    assert images.min() < -0.99
    assert images.max() > 0.99


def test_2014_generator_is_a_scaled_sigmoid():
    generator = goodfellow.Generator(5, 1, 4, hidden=6)
    z = torch.randn(3, 5)
    first, second, last = (generator[i] for i in (0, 2, 4))
    x = last(second(first(z).clamp(min=0)).clamp(min=0))
    torch.testing.assert_close(generator(z).flatten(1), 2 / (1 + torch.exp(-x)) - 1)


def test_2014_discriminator_sees_a_black_image_as_zeros():
    """Of an image of -1 nothing is left but the biases, whichever pixels are dropped."""
    discriminator = goodfellow.Discriminator(1, 16, 8, 3, dropout=0, input_dropout=0.5)
    black = discriminator(torch.full((4, 1, 16, 16), -1.0))
    grey = discriminator(torch.zeros(4, 1, 16, 16))
    assert black.unique().numel() == 1
    assert grey.unique().numel() == 4


def test_dcgan_weights_begin_as_the_paper_has_them():
    for network in (dcgan.Generator(100, 3, 64), dcgan.Discriminator(3, 64)):
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
                centre, n = float(isinstance(layer, nn.BatchNorm2d)), layer.weight.numel()
                assert abs(layer.weight.mean() - centre) < 5 * 0.02 / math.sqrt(n)
                assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * n))
                assert layer.bias is None or not layer.bias.any()


def test_no_bias_before_batch_norm():
    networks = [dcgan.Generator(5, 3, 32), dcgan.Discriminator(3, 32)]
    biased = [
        name
        for network in networks
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and layer.bias is not None
    ]
    assert biased == ["stages.2", "stages.0.0", "head.2"]  # the image; the first layer, which has no norm; the score


# --- counts in closed form


def test_2014_networks_are_100_1200_1200_784_and_784_240_240_1():
    assert count(goodfellow.Generator(100, 1, 28)) == linear(100, 1200, 1200, 784)
    maxout = (784 + 1) * 240 * 5 + (240 + 1) * 240 * 5
    assert count(goodfellow.Discriminator(1, 28)) == maxout + linear(240, 1)


def test_dcgan_at_64_pixels_has_kernels_of_4x4_from_64_to_512():
    """The usual DCGAN without any bias has 3,576,704 and 2,765,568 weights; ours has them where no norm follows."""
    widths = [3, 64, 128, 256, 512]
    kernels = sum(16 * a * b for a, b in pairwise(widths))
    generator = 100 * 512 * 16 + kernels + 2 * sum(widths[1:])
    discriminator = kernels + 2 * sum(widths[2:]) + 512 * 16
    assert (generator, discriminator) == (3_576_704, 2_765_568)
    assert count(dcgan.Generator(100, 3, 64)) == generator + 3
    assert count(dcgan.Discriminator(3, 64)) == discriminator + 64 + 1


def test_resnet_at_32_pixels_has_the_papers_blocks():
    """Generator: three blocks up, each with a 1x1 shortcut. Critic: two down, two that keep the side."""
    w = 128
    conv, shortcut, norm = 9 * w * w + w, w * w + w, 2 * w
    up = 2 * conv - w + shortcut + 2 * norm
    assert count(resnet_gan.Generator(128, 3, 32)) == linear(128, 16 * w) + 3 * up + norm + 9 * w * 3 + 3
    first = (9 * 3 * w + w) + conv + (3 * w + w)
    assert count(resnet_gan.Critic(3, 32)) == first + 3 * 2 * conv + shortcut + linear(w, 1)


def test_perceptrons_of_the_autoencoder():
    assert count(autoencoder.Encoder(1, 28, 20)) == linear(784, 512, 256, 20)
    assert count(autoencoder.Decoder(20, 1, 28)) == linear(20, 256, 512, 784)


def test_signal_autoencoder_has_15952_parameters():
    encoder = (2 * 40 + 1) * 2 + linear(176, 44)
    decoder = linear(44, 176) + 81 + 1
    assert (encoder, decoder) == (7_950, 8_002)
    assert count(signal_autoencoder.Encoder()) == encoder
    assert count(signal_autoencoder.Decoder()) == decoder


# --- slow references


def test_maxout_takes_the_largest_piece():
    maxout = goodfellow.Maxout(3, 4, pieces=5)
    x = torch.randn(6, 3)
    weight, bias = maxout.linear.weight.tolist(), maxout.linear.bias.tolist()

    def piece(row, i, j):
        k = j * 4 + i
        return sum(w * v for w, v in zip(weight[k], row, strict=True)) + bias[k]

    slow = [[max(piece(row, i, j) for j in range(5)) for i in range(4)] for row in x.tolist()]
    torch.testing.assert_close(maxout(x), torch.tensor(slow))


def test_residual_branches_of_zero_leave_the_shortcuts():
    """A block is then upsampling or mean pooling and a 1x1 convolution, in either order; or the identity."""
    blocks = [resnet_gan.Up(3), resnet_gan.Down(3, 3), resnet_gan.Same(3)]
    x = torch.randn(2, 3, 6, 6)
    wanted = [
        lambda block: block.shortcut(x.repeat_interleave(2, 2).repeat_interleave(2, 3)),
        lambda block: block.shortcut(x).unflatten(3, (3, 2)).unflatten(2, (3, 2)).mean((3, 5)),
        lambda block: x,
    ]
    for block, of in zip(blocks, wanted, strict=True):
        for parameter in block.residual.parameters():
            nn.init.zeros_(parameter)
        torch.testing.assert_close(block(x), of(block))


def test_residual_blocks_do_not_rectify_their_input():
    x = torch.randn(2, 4, 8, 8)
    kept = x.clone()
    for block in (resnet_gan.Up(4), resnet_gan.Down(4, 4), resnet_gan.Down(4, 4, first=True), resnet_gan.Same(4)):
        block(x)
        assert torch.equal(x, kept)


def test_perceptrons_rectify_all_but_their_last_layer():
    encoder, decoder = autoencoder.Encoder(2, 4, 3, (7, 6)), autoencoder.Decoder(3, 2, 4, (6, 7))
    images, z = torch.rand(5, 2, 4, 4), torch.randn(5, 3)
    for network, x in ((encoder, images), (decoder, z)):
        first, second, last = (layer for layer in network if isinstance(layer, nn.Linear))
        slow = last(second(first(x.flatten(1)).clamp(min=0)).clamp(min=0))
        torch.testing.assert_close(network(x).flatten(1), slow)


@pytest.mark.parametrize("length", [88, 21])
def test_signal_encoder_step_by_step(length):
    encoder = signal_autoencoder.Encoder(length, code=6).double()
    x = torch.rand(2, 2, length, dtype=torch.float64)
    kernel, bias = encoder[0][1].weight.tolist(), encoder[0][1].bias.tolist()
    slow = []
    for signal in x.tolist():
        hidden = []
        for f in range(2):
            for t in range(length):
                total = bias[f]
                for c in range(2):
                    for k in range(40):
                        at = t + k - 19  # of the 39 zeros of `same`, 19 are before the signal
                        total += kernel[f][c][k] * signal[c][at] if 0 <= at < length else 0
                hidden.append(max(total, 0.0))
        code = encoder[3].weight.detach() @ torch.tensor(hidden, dtype=torch.float64) + encoder[3].bias.detach()
        slow.append([min(max(0.2 * value + 0.5, 0.0), 1.0) for value in code.tolist()])
    torch.testing.assert_close(encoder(x), torch.tensor(slow, dtype=torch.float64))


@pytest.mark.parametrize("length", [88, 21])
def test_signal_decoder_step_by_step(length):
    decoder = signal_autoencoder.Decoder(length, code=6).double()
    z = torch.rand(2, 6, dtype=torch.float64)
    kernel, bias = decoder[3][1].weight.flatten().tolist(), decoder[3][1].bias.item()
    slow = []
    for code in z:
        dense = decoder[0].weight.detach() @ code + decoder[0].bias.detach()
        hidden = [1 / (1 + math.exp(-value)) for value in dense.tolist()]
        line = []
        for t in range(2 * length):
            reach = ((k, t + k - 40) for k in range(81))
            total = bias + sum(kernel[k] * hidden[at] for k, at in reach if 0 <= at < 2 * length)
            line.append(max(total, 0.0))
        slow.append([line[:length], line[length:]])
    assert decoder.latent_dim == 6
    torch.testing.assert_close(decoder(z), torch.tensor(slow, dtype=torch.float64))


@pytest.mark.parametrize(("x", "y"), [(-9, 0), (-2.5, 0), (-1, 0.3), (0, 0.5), (0.5, 0.6), (1, 0.7), (2.5, 1), (9, 1)])
def test_hard_sigmoid_has_slope_a_fifth(x, y):
    assert signal_autoencoder.HardSigmoid()(torch.tensor(float(x))).item() == pytest.approx(y, abs=1e-7)
