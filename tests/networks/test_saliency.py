"""Where a classifier looks: closed forms, and what a slow reference finds."""

import pytest
import torch
from torch import nn

from lightloom.core.errors import UserError
from lightloom.networks.library import from_timm
from lightloom.networks.resnet import ResNet
from lightloom.networks.saliency import class_maps, grad_cam, rollout, token_maps

LAYERS, TOKENS = 3, 5


def some_attention(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(LAYERS, 2, 4, TOKENS, TOKENS, generator=generator, dtype=torch.float64).softmax(-1)


def test_rollout_is_the_product_of_layers_that_half_pass_on_what_they_get():
    attentions = some_attention()
    found = rollout(list(attentions))
    for b in range(2):
        expected = torch.eye(TOKENS, dtype=torch.float64)
        for layer in attentions[:, b]:
            mixed = torch.zeros(TOKENS, TOKENS, dtype=torch.float64)
            for i in range(TOKENS):
                for j in range(TOKENS):
                    mixed[i, j] = sum(float(head[i, j]) for head in layer) / len(layer) + (i == j)
                mixed[i] /= mixed[i].sum()
            expected = mixed @ expected
        torch.testing.assert_close(found[b], expected)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, TOKENS, dtype=torch.float64))


def test_rollout_where_each_token_attends_to_itself_or_to_all():
    eye, mean = torch.eye(TOKENS), torch.full((TOKENS, TOKENS), 1 / TOKENS)
    itself, everywhere = (rollout([one.expand(2, 4, -1, -1)] * LAYERS)[0] for one in (eye, mean))
    torch.testing.assert_close(itself, eye)
    torch.testing.assert_close(everywhere, mean + 0.5**LAYERS * (eye - mean))


def test_rollout_knows_no_order_of_tokens():
    attentions, order = some_attention(), torch.tensor([3, 0, 4, 1, 2])
    moved = rollout(list(attentions[..., order, :][..., order]))
    torch.testing.assert_close(moved, rollout(list(attentions))[:, order][:, :, order])


def test_after_a_mean_and_a_linear_layer_grad_cam_is_the_map_of_its_weights():
    """Selvaraju et al. 2017, section 3: there it is the class activation map of Zhou et al. 2016 by their number."""
    conv, linear = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)
    network = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    images, classes = torch.rand(5, 3, 8, 8), torch.tensor([0, 3, 1, 2, 3])
    expected = torch.einsum("bc,bchw->bhw", linear.weight[classes], conv(images)).relu() / 36
    torch.testing.assert_close(class_maps(network, images, classes), expected)


def test_grad_cam_of_gradients_that_are_all_negative_is_nothing():
    assert grad_cam(torch.rand(2, 3, 4, 4), -torch.rand(2, 3, 4, 4)).eq(0).all()


def test_grad_cam_sees_the_last_map_of_a_resnet_and_leaves_no_trace():
    network = ResNet(3, 10, 32, depth=8).eval().requires_grad_(False)
    maps = class_maps(network, torch.rand(2, 3, 32, 32), torch.tensor([1, 2]))
    assert maps.shape == (2, 8, 8)
    assert not any(part._forward_hooks for part in network.modules())


def vit(**options):
    torch.manual_seed(0)
    return from_timm("vit_tiny_patch16_224", 3, 10, 8, patch_size=4, depth=2, **options).eval()


def spelled_out(network, images):
    """The attention of each block from its queries and keys."""
    x, found = network.patch_embed(images), []
    x = network.norm_pre(network._pos_embed(x))
    for block in network.blocks:
        q, k, _ = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, block.attn.num_heads, -1)).unbind(2)
        found.append(torch.einsum("bihd,bjhd->bhij", q, k).mul(block.attn.scale).softmax(-1))
        x = block(x)
    return found


def test_a_vision_transformers_class_token_looks_where_its_attention_leads():
    network, images = vit(), torch.rand(3, 3, 8, 8)
    fused = [block.attn.fused_attn for block in network.blocks]
    with torch.no_grad():
        expected = rollout(spelled_out(network, images))[:, 0, 1:].view(3, 2, 2)
    torch.testing.assert_close(token_maps(network, images), expected)
    assert [block.attn.fused_attn for block in network.blocks] == fused
    assert not any(part._forward_hooks for part in network.modules())


@pytest.mark.parametrize(("pool", "rest"), [("token", 0.0), ("avg", 0.25)])
def test_attention_without_queries_looks_everywhere_alike(pool, rest):
    """Each of 2 layers gives (1 + I) / 2 with the mean over tokens as 1; a patch keeps a quarter of itself."""
    network = vit(global_pool=pool)
    for block in network.blocks:
        nn.init.zeros_(block.attn.qkv.weight)
    expected = torch.full((1, 2, 2), 0.75 / 5 + rest / 4)
    torch.testing.assert_close(token_maps(network, torch.rand(1, 3, 8, 8)), expected)


def test_each_says_what_the_other_is_for():
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(UserError, match="saliency=rollout is for Vision"):
        class_maps(vit(), images, torch.tensor([0]))
    with pytest.raises(UserError, match="saliency=grad_cam is for CNNs"):
        token_maps(ResNet(3, 10, 32, depth=8), images)
    with pytest.raises(UserError, match="leave saliency out"):
        class_maps(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), images, torch.tensor([0]))


def test_attention_among_some_tokens_only_is_refused():
    with pytest.raises(UserError, match="pools by map"):
        token_maps(vit(global_pool="map"), torch.rand(1, 3, 8, 8))
    network = vit()
    network.blocks[1].attn.attn_drop = nn.MaxPool2d(1, stride=2)  # of every other token
    network.blocks[1].attn.forward = lambda x, **_: x + 0 * network.blocks[1].attn.attn_drop(x[..., None]).mean()
    with pytest.raises(UserError, match="does not attend to all patches in each layer"):
        token_maps(network, torch.rand(1, 3, 8, 8))
