"""timm and torchvision behind one signature: weights go in and come out, and mistakes are named."""

from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from torch import nn

from lightloom.networks.library import from_timm, from_torchvision


@pytest.fixture
def weights(tmp_path):
    """A state_dict of timm's test_resnet for 5 classes, and its file."""
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=5)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    return network.eval(), str(tmp_path / "weights.pth")


def test_checkpoint_gives_the_same_logits(weights):
    network, path = weights
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(from_timm("test_resnet", 3, 5, 64, checkpoint=path).eval()(x), network(x))


def test_checkpoint_for_other_classes_keeps_the_features_and_a_fresh_head(weights):
    network, path = weights
    x = torch.randn(2, 3, 64, 64)
    other = from_timm("test_resnet", 3, 9, 64, checkpoint=path).eval()
    assert torch.equal(other.forward_features(x), network.forward_features(x))
    assert other(x).shape == (2, 9)


def test_checkpoint_of_torchvision_with_another_head(tmp_path):
    path = str(tmp_path / "weights.pth")
    source = from_torchvision("squeezenet1_1", 1, 5, 64)
    torch.save(source.state_dict(), path)
    other = from_torchvision("squeezenet1_1", 1, 9, 64, checkpoint=path)
    x = torch.randn(2, 1, 64, 64)
    assert torch.equal(other.features(x), source.features(x))


def test_small_images_are_enlarged_bilinearly():
    network = from_timm("test_resnet", 1, 5, image_size=16, min_size=64).eval()
    x = torch.randn(2, 1, 16, 16)
    enlarged = nn.functional.interpolate(x, (64, 64), mode="bilinear")
    assert torch.equal(network(x), network[1](enlarged))
    assert network[1](x).shape == network(x).shape
    assert not torch.equal(network[1](x), network(x))


@pytest.mark.parametrize(("image_size", "patch_size"), [(28, 4), (28, 7), (64, 8)])
def test_vit_reads_one_token_for_each_patch(image_size, patch_size):
    with torch.device("meta"):
        network = from_timm("vit_tiny_patch16_224", 1, 10, image_size, patch_size=patch_size)
    assert network.pos_embed.shape[1] == (image_size // patch_size) ** 2 + 1


def mismatch(weights):
    return from_timm("test_resnet", 1, 5, 64, checkpoint=weights)


def not_weights(weights):
    Path(weights).write_bytes(b"not a pickle")
    return from_timm("test_resnet", 3, 5, 64, checkpoint=weights)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda _: from_timm("resnet81", 3, 5, 64), r"no network resnet81. Did you mean .*resnet"),
        (lambda _: from_timm("resnet18.foo", 3, 5, 64), r"no network resnet18.foo. Did you mean .*resnet18\."),
        (lambda _: from_torchvision("squeezenet", 3, 5, 64), "Did you mean .*squeezenet1_"),
        (
            lambda _: from_timm("vit_tiny_patch16_224", 1, 10, 28),
            r"^image_size 28 is not divisible by patch_size 16; set model\.network\.patch_size$",
        ),
        (mismatch, r"conv1\.0\.weight \(\d+, 3, 3, 3\), expected \(\d+, 1, 3, 3\)"),
        (lambda path: from_timm("test_vit", 3, 5, 160, checkpoint=path), r"does not fit VisionTransformer.*missing"),
        (lambda path: from_timm("test_resnet", 3, 5, 64, checkpoint=path + "x"), "weights.pthx does not exist"),
        (not_weights, "is not a plain state_dict"),
    ],
    ids=["timm name", "timm tag", "torchvision name", "patch", "channels", "network", "no file", "no state_dict"],
)
def test_errors_name_the_remedy(build, message, weights):
    with pytest.raises(ValueError, match=message):
        build(weights[1])


def test_pretrained_offline_is_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"no pretrained weights for test_resnet .*model\.network\.checkpoint"):
        from_timm("test_resnet", 3, 5, 64, pretrained=True)


def test_a_checkpoint_runs_no_code(tmp_path):
    torch.save({"weight": print}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="is not a plain state_dict"):
        from_timm("test_resnet", 3, 5, 64, checkpoint=str(tmp_path / "evil.pth"))
