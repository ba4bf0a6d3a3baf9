"""BigGAN's parts: spectral norm, projection, class-conditional norms, attention, and what a discriminator sees."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import one_hot, softplus

from lightloom.core.errors import UserError
from lightloom.networks import biggan, cgan, dcgan, resnet_gan
from lightloom.networks.class_embedding import ClassEmbedding
from lightloom.networks.diff_augment import CHANGES, DiffAugment, color, cutout, translation
from lightloom.networks.spectral_norm import normalize
from lightloom.ops.rng import latents


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# --- spectral norm

LAYERS = {
    "linear": (nn.Linear(7, 5), torch.randn(2, 7)),
    "convolution": (nn.Conv2d(3, 4, 3), torch.randn(2, 3, 5, 5)),
    "transposed": (nn.ConvTranspose2d(4, 3, 4), torch.randn(2, 4, 5, 5)),
    "embedding": (nn.Embedding(6, 5), torch.arange(6)),
}


def largest_singular_value(layer: nn.Module) -> float:
    weight = layer.weight
    rows = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
    return float(torch.linalg.matrix_norm(rows.detach().flatten(1).double(), 2))


@pytest.mark.parametrize("name", LAYERS)
def test_the_largest_singular_value_is_1_after_power_iteration(name):
    layer, x = copy.deepcopy(LAYERS[name])
    with torch.no_grad():
        layer.weight.mul_(5)
    normalize(layer)
    for _ in range(200):
        layer(x)
    assert largest_singular_value(layer) == pytest.approx(1, abs=1e-5)


def test_one_iteration_at_each_pass_in_training_and_none_in_evaluation():
    layer, x = copy.deepcopy(LAYERS["linear"])
    normalize(layer)
    u = layer.parametrizations.weight[0]._u
    weight, before = layer.parametrizations.weight.original.detach(), u.clone()
    layer.eval()(x)
    assert torch.equal(u, before)
    v = layer.parametrizations.weight[0]._v.clone()
    layer.train()(x)
    torch.testing.assert_close(u, nn.functional.normalize(weight @ v, dim=0))


NETWORKS = {
    "dcgan generator": lambda sn: dcgan.Generator(5, 1, 16, width=4, spectral_norm=sn),
    "dcgan discriminator": lambda sn: dcgan.Discriminator(1, 16, width=4, norm="none", spectral_norm=sn),
    "resnet generator": lambda sn: resnet_gan.Generator(5, 1, 16, width=4, spectral_norm=sn),
    "resnet critic": lambda sn: resnet_gan.Critic(1, 16, width=4, spectral_norm=sn),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_divides_each_drawn_weight_by_its_norm(name):
    """The same draws with and without it; after the first iterations of the start the estimate is near."""
    torch.manual_seed(1)
    plain = NETWORKS[name](False)
    torch.manual_seed(1)
    normed = NETWORKS[name](True).eval()
    layers = list(zip(_weighted(plain), _weighted(normed), strict=True))
    assert layers
    for a, b in layers:
        torch.testing.assert_close(b.weight.detach() * (a.weight.norm() / b.weight.norm()).detach(), a.weight.detach())
        assert largest_singular_value(b) == pytest.approx(1, abs=0.2)


def _weighted(network: nn.Module) -> list[nn.Module]:
    return [part for part in network.modules() if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]


# --- the projection


def test_the_projections_score_can_be_that_of_bayes():
    """Real and generated features of each class are two Gaussians; the score that minimises the cross entropy of real
    against generated is log p(h, y) - log q(h, y), here of a law of h and y whose weights are known."""
    classes, dim = 3, 2
    p, q = torch.randn(2, classes, dim).double()
    projection = biggan.Projection(dim + 1, classes).double()
    with torch.no_grad():
        projection.psi.weight.zero_()
        projection.psi.bias.zero_()
        projection.classes.weight.copy_(torch.cat([p - q, (q.square() - p.square()).sum(1, keepdim=True) / 2], dim=1))
    h, labels = torch.randn(50, dim).double(), torch.arange(50) % classes
    scores = projection(torch.cat([h, torch.ones(50, 1)], dim=1), labels)
    bayes = (Normal(p[labels], 1.0).log_prob(h) - Normal(q[labels], 1.0).log_prob(h)).sum(1)
    torch.testing.assert_close(scores, bayes)


def test_training_finds_the_score_of_bayes():
    classes, count = 2, 4000
    p, q = torch.tensor([[1.0, 0.0], [0.0, -1.0]]), torch.tensor([[0.0, 0.5], [-0.5, 0.0]])
    labels = torch.arange(count) % classes
    real, fake = (torch.cat([m[labels] + torch.randn(count, 2), torch.ones(count, 1)], dim=1) for m in (p, q))
    projection = biggan.Projection(3, classes)
    optimizer = torch.optim.LBFGS(projection.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = softplus(-projection(real, labels)).mean() + softplus(projection(fake, labels)).mean()
        value.backward()
        return value

    optimizer.step(loss)
    grid = torch.tensor([[a, b, 1.0] for a, b in itertools.product((-1.0, 0.0, 1.0), repeat=2)])
    for label in range(classes):
        places = grid[:, :2]
        bayes = (Normal(p[label], 1.0).log_prob(places) - Normal(q[label], 1.0).log_prob(places)).sum(1)
        found = projection(grid, torch.full((9,), label))
        assert (found - bayes).abs().max() < 0.25  # of 2,000 pairs of a class


# --- conditions


def test_with_equal_classes_the_conditional_norm_is_batch_norm():
    """Gains and shifts are 1 + W c and V c: of one condition those of a plain batch norm, in both modes."""
    norm, plain = biggan.ConditionalBatchNorm(4, 3), nn.BatchNorm2d(4)
    condition = torch.randn(1, 3).expand(6, 3)
    with torch.no_grad():
        plain.weight.copy_(1 + norm.gain(condition)[0])
        plain.bias.copy_(norm.shift(condition)[0])
    for _ in range(2):
        x = torch.randn(6, 4, 5, 5)
        torch.testing.assert_close(norm(x, condition), plain(x))
    torch.testing.assert_close(norm.eval()(x, condition), plain.eval()(x))


def test_each_class_has_its_own_gain_and_shift():
    norm = biggan.ConditionalBatchNorm(2, 3)
    x, condition = torch.randn(4, 2, 3, 3), torch.eye(3)[[0, 1, 2, 0]]
    made, normed = norm(x, condition), norm.norm(x)
    for i in range(4):
        gain, shift = 1 + norm.gain(condition[i]), norm.shift(condition[i])
        torch.testing.assert_close(made[i], normed[i] * gain[:, None, None] + shift[:, None, None])


def test_weights_of_classes_mix_their_vectors():
    embedding = ClassEmbedding(4, 3)
    labels = torch.tensor([2, 0, 3])
    torch.testing.assert_close(embedding(one_hot(labels, 4).float()), embedding(labels))
    half = torch.tensor([[0.5, 0.0, 0.5, 0.0]])
    torch.testing.assert_close(embedding(half)[0], (embedding.weight[0] + embedding.weight[2]) / 2)


def test_latents_get_classes_in_the_datas_shares_one_by_one():
    embedding = ClassEmbedding(3, 2)
    embedding.count(torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 2]))
    z = latents(0, 4000, 5)
    drawn = embedding.draw(z)
    shares = drawn.bincount(minlength=3) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.03, rtol=0)
    assert torch.equal(torch.cat([embedding.draw(one) for one in z[:20].split(3)]), drawn[:20])


# --- networks

GENERATORS = {
    "biggan": lambda **options: biggan.Generator(9, 3, 2, 16, width=4, shared_dim=3, **options),
    "cgan": lambda: cgan.Generator(9, 3, 2, 16, noise_units=4, class_units=5, joint_units=6),
}
DISCRIMINATORS = {
    "biggan": lambda **options: biggan.Discriminator(3, 2, 16, width=4, **options),
    "cgan": lambda: cgan.Discriminator(3, 2, 16, image_units=4, class_units=3, joint_units=5),
}


@pytest.mark.parametrize("size", [16, 20, 28, 32, 64, 100])
@pytest.mark.parametrize("hierarchical", [True, False])
def test_all_sizes_can_be_made_and_judged(size, hierarchical):
    labels = torch.zeros(2, dtype=torch.long, device="meta")
    with torch.device("meta"):
        generator = biggan.Generator(11, 3, 2, size, 8, hierarchical=hierarchical, spectral_norm=False)
        discriminator = biggan.Discriminator(3, 2, size, 8, spectral_norm=False)
        images = generator(torch.empty(2, 11), labels)
        assert images.shape == (2, 2, size, size)
        assert discriminator(images, labels).shape == (2,)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_class_decides_what_is_made_and_how_it_is_judged(name):
    generator, discriminator = GENERATORS[name]().eval(), DISCRIMINATORS[name]().eval()
    z = torch.randn(1, 9).expand(3, 9)
    images = generator(z, torch.arange(3))
    assert torch.pdist(images.flatten(1)).min() > 1e-4
    scores = discriminator(images[:1].expand(3, -1, -1, -1), torch.arange(3))
    assert torch.pdist(scores[:, None]).min() > 1e-6
    alone = torch.cat([discriminator(images[i : i + 1], torch.tensor([i])) for i in range(3)])
    torch.testing.assert_close(discriminator(images, torch.arange(3)), alone)


def test_each_part_of_a_hierarchical_latent_reaches_the_image():
    generator = GENERATORS["biggan"]().eval()
    assert generator.parts == [3, 3, 3]
    z, label = torch.randn(1, 9), torch.tensor([1])
    for part in range(3):
        other = z.clone()
        other[:, part * 3] += 1
        assert (generator(other, label) - generator(z, label)).abs().max() > 1e-4
    with pytest.raises(UserError, match=r"latent_dim is 2, but a hierarchical latent has 3 parts"):
        biggan.Generator(2, 3, 1, 16)


def test_doubling_is_the_papers_for_128_pixels():
    """Tables 4 and 5: the generator's blocks from 16 ch at 4 x 4 to 1 ch, the discriminator's from 1 ch to 16 ch."""
    with torch.device("meta"):
        generator = biggan.Generator(12, 3, 3, 128, width=4, doubling=True, spectral_norm=False)
        discriminator = biggan.Discriminator(3, 3, 128, width=4, doubling=True, spectral_norm=False)
    widths = [block.conv1.weight.shape[:2] for block in generator.blocks]
    assert widths == [(64, 64), (32, 64), (16, 32), (8, 16), (4, 8)]
    assert [part.shortcut.out_channels for part in discriminator.blocks if hasattr(part, "shortcut")] == [4, 8, 16, 32]


def test_attention_begins_as_nothing_and_is_a_mean_of_values():
    layer, x = biggan.SelfAttention(8), torch.randn(2, 8, 4, 6)
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        layer.gamma.fill_(1.0)
        layer.query.weight.zero_()  # each place looks at all others alike
    values = nn.functional.max_pool2d(layer.value(x), 2).mean((2, 3), keepdim=True)
    torch.testing.assert_close(layer(x), x + layer.output(values).expand_as(x))


def test_attention_agrees_with_a_slow_reference():
    layer, x = biggan.SelfAttention(8).double(), torch.randn(1, 8, 4, 4).double()
    with torch.no_grad():
        layer.gamma.fill_(0.7)
    query = layer.query(x)[0]
    key, value = (nn.functional.max_pool2d(f(x), 2)[0].flatten(1) for f in (layer.key, layer.value))
    slow = torch.empty(4, 4, 4, dtype=torch.double)
    for i, j in itertools.product(range(4), repeat=2):
        weights = torch.stack([query[:, i, j] @ key[:, k] for k in range(4)]).softmax(0)
        slow[:, i, j] = sum(weights[k] * value[:, k] for k in range(4))
    torch.testing.assert_close(layer(x), x + 0.7 * layer.output(slow[None]))


# --- what a discriminator sees


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_keeps_the_shape_is_of_each_image_and_has_gradients(name):
    images = (torch.rand(1, 3, 16, 24) * 2 - 1).expand(8, -1, -1, -1).clone().requires_grad_()
    made = DiffAugment([name])(images)
    assert made.shape == images.shape
    assert torch.pdist(made.detach().flatten(1)).max() > 0.1
    made.sum().backward()
    assert images.grad.abs().sum() > 0


def test_translation_moves_by_whole_pixels():
    image = torch.zeros(1, 1, 16, 16)
    image[..., 8, 8] = 1
    made = translation(image.expand(200, -1, -1, -1))
    assert (made.flatten(1).sum(1) == 1).all()
    rows, columns = made.flatten(1).argmax(1) // 16, made.flatten(1).argmax(1) % 16
    assert sorted(rows.unique().tolist()) == sorted(columns.unique().tolist()) == [6, 7, 8, 9, 10]


def test_cutout_leaves_a_square_of_half_a_side_out():
    made = cutout(torch.ones(300, 2, 16, 16))
    assert set(made.unique().tolist()) == {0.0, 1.0}
    assert int((1 - made).flatten(1).sum(1).max()) == 2 * 8 * 8
    assert torch.equal(made[:, 0], made[:, 1])


def test_color_leaves_a_grey_images_form():
    """Affine in each image: where nothing but brightness and contrast can change."""
    images = torch.rand(5, 1, 8, 8)
    made = color(images)
    for a, b in zip(images, made, strict=True):
        slope = (b.max() - b.min()) / (a.max() - a.min())
        assert 0.5 <= slope <= 1.5
        torch.testing.assert_close(b - b.mean(), slope * (a - a.mean()), atol=1e-5, rtol=1e-4)
