"""Each network of segmentation takes any size and gives it back; the U-Net is the paper's."""

from __future__ import annotations

import pytest
import torch
from conftest import models_for
from omegaconf import OmegaConf

from lightloom.config import compose
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.networks.segmentation.timm_unet import TimmUNet
from lightloom.networks.segmentation.unet import UNet

MODELS = models_for("segmentation")


def network(model: str, *options: str) -> torch.nn.Module:
    cfg = compose.without_hydra(compose.compose("train", [f"model={model}", "data=river_scenes", *options]))
    return build(OmegaConf.to_container(cfg.model.network, resolve=True), "model.network").eval()


@pytest.mark.parametrize("model", MODELS)
def test_any_size_goes_in_and_the_same_comes_out(model):
    found = network(model)
    for size in ((33, 47), (64, 48), (97, 31)):
        with torch.inference_mode():
            assert found(torch.rand(1, 3, *size)).shape == (1, 3, *size)


def test_the_papers_unet_has_its_parameters():
    """With biases, one channel and two classes, as figure 1 adds up."""
    assert sum(p.numel() for p in UNet(1, 2, width=64, depth=4, norm="none").parameters()) == 31_030_658


def test_a_shift_by_its_stride_shifts_the_answer():
    """Convolutions and pooling commute with a shift by 2^depth, away from borders."""
    found = UNet(3, 2, width=4, depth=2).eval()
    x = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        moved = found(torch.roll(x, (8, 4), (2, 3)))
        torch.testing.assert_close(torch.roll(found(x), (8, 4), (2, 3))[..., 40:56, 40:56], moved[..., 40:56, 40:56])


def test_an_encoders_weights_come_from_a_file(tmp_path):
    import timm

    donor = timm.create_model("resnet10t", num_classes=7)
    torch.save(donor.state_dict(), tmp_path / "donor.pth")
    own = TimmUNet("resnet10t", 3, 4, checkpoint=str(tmp_path / "donor.pth"))
    state = donor.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in own.encoder.state_dict().items())
    with pytest.raises(UserError, match="does not fit the encoder"):
        TimmUNet("mobilenetv3_small_050", 3, 4, checkpoint=str(tmp_path / "donor.pth"))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224"])
def test_an_encoder_that_does_not_halve_is_refused(name):
    with pytest.raises(UserError, match="choose"):
        TimmUNet(name, 3, 2)
