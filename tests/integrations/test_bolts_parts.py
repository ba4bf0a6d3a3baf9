"""What is taken from lightning-bolts: callbacks that notice, schedules in closed form, networks that learn."""

import math
import subprocess
import sys
from contextlib import nullcontext

import pytest
import pytorch_lightning as pl
import torch
from commands import run, runs, start
from conftest import ROOT, compose
from omegaconf import OmegaConf
from seeds import seed
from torch import nn

from lightloom.config import compose as config
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.data.boxes.scenes import DigitScenes
from lightloom.engine.train import build_data, build_module
from lightloom.integrations import bolts, bolts_schedules
from lightloom.integrations.bolts_callbacks import GradientVerification
from lightloom.integrations.bolts_detectors import BoltsYolo
from lightloom.integrations.bolts_networks import unet

BRIEF = ["data=digits", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1"]
BRIEF += ["test=false", "data.batch_size=8", "preflight=false"]


class Leak(nn.Module):
    """Each output has a share of the mean over the batch."""

    def __init__(self, network: nn.Module, share: float) -> None:
        super().__init__()
        self.network, self.share = network, share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.network(x)
        return logits + self.share * logits.mean(0)


@pytest.mark.parametrize(("share", "found"), [(0.1, pytest.raises(UserError, match="mixes")), (0.0, nullcontext())])
def test_a_planted_leak_between_images_is_found(share, found):
    cfg, datamodule = build_data(config.without_hydra(compose("model=mlp", "data=digits", "data.batch_size=8")))
    module = build_module(cfg)
    module.network = Leak(module.network, share)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(accelerator="cpu", max_steps=1, callbacks=[GradientVerification()], **quiet)
    with found:
        trainer.fit(module, datamodule=datamodule)


@pytest.mark.parametrize("model", ["lenet", "resnet20", "conv_ae", "vae", "bolts_unet"])
def test_sound_models_pass(model, tmp_path):
    run(tmp_path, f"model={model}", "callbacks=bolts_verification", *BRIEF)


def test_monitors_draw_histograms_of_training(tmp_path):
    run(tmp_path, "model=lenet", "callbacks=bolts_monitors", *BRIEF, "callbacks.inputs.log_every_n_steps=1",
        "callbacks.outputs.log_every_n_steps=2")  # fmt: skip
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = runs(tmp_path)
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"histograms": 0})
    events.Reload()
    tags = {tag: len(events.Histograms(tag)) for tag in events.Tags()["histograms"]}
    assert tags == {
        "training_step/0/[8, 1, 28, 28]": 2,
        "training_step/1/[8]": 2,
        "input/network/[8, 1, 28, 28]": 1,
        "output/network/[8, 10]": 1,
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["model=lenet", "callbacks=bolts_monitors", "logger=csv"], "no logger takes any; set logger=default"),
        (["model=dcgan", "callbacks=bolts_monitors"], "GAN has no 'network'; name some of generator, discriminator"),
        (["model=dcgan", "callbacks=bolts_verification"], "GAN has no such forward: leave callbacks=bolts_verif"),
    ],
    ids=["logger", "submodule", "forward"],
)
def test_what_does_not_fit_is_one_message(options, said, tmp_path):
    command = start(tmp_path, *options, *BRIEF)
    assert command.wait() == 2, command.text
    assert said in command.text


def test_a_grid_over_two_latents(tmp_path):
    """The middle of the grid is the image of z = 0; its rows go through the first latent."""
    from PIL import Image
    from torchvision.transforms.functional import pil_to_tensor

    from lightloom.engine import checkpoint
    from lightloom.ops.images.grid import grid

    run(tmp_path, "model=vae", "callbacks=bolts_interpolation", *BRIEF, "callbacks.latent_grid.steps=3")
    (folder,) = runs(tmp_path)
    _, module = checkpoint.restore(folder / "checkpoints" / "last.ckpt")
    values = [-3.0, 0.0, 3.0]
    z = torch.zeros(9, module.latent_dim)
    z[:, :2] = torch.cartesian_prod(torch.tensor(values), torch.tensor(values))
    with torch.inference_mode():
        expected = grid(module.eval().decode(z), 3)
    found = pil_to_tensor(Image.open(folder / "latent_grid/epoch-0001.png"))
    assert (found.int() - expected.int()).abs().max() <= 1


def rates(schedule, steps: int, **options) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = schedule(optimizer, steps, **options)["scheduler"]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.3])
def test_warmup_cosine_is_its_closed_form(warmup):
    rise = round(20 * warmup)
    expected = [0.05 + (0.5 - 0.05) * t / (rise - 1) for t in range(rise)]
    expected += [0.1 + 0.4 * (1 + math.cos(math.pi * t / (20 - rise))) / 2 for t in range(20 - rise)]
    assert rates(bolts_schedules.warmup_cosine, 20, warmup=warmup, start=0.1, final=0.2) == pytest.approx(expected)


def test_warmup_linear_is_its_closed_form():
    expected = [0.5 * t / 4 for t in range(4)] + [0.5 * (1 - t / 16) for t in range(16)]
    assert rates(bolts_schedules.warmup_linear, 20, warmup=0.2) == pytest.approx(expected)


def test_a_run_that_becomes_longer_keeps_its_new_length():
    def made(steps: int):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
        return optimizer, bolts_schedules.warmup_cosine(optimizer, steps)["scheduler"]

    (_, short), (optimizer, long) = made(10), made(40)
    optimizer.step()
    long.load_state_dict(short.state_dict())
    for _ in range(20):
        long.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rates(bolts_schedules.warmup_cosine, 40)[20])


@pytest.mark.learns
def test_a_unet_sees_more_than_a_pixel_and_learns():
    torch.manual_seed(seed())
    network = unet(1, 12, outputs=1, num_layers=2, width=4)
    x = torch.rand(16, 1, 12, 12)
    clean = x.roll(1, -1)  # from the neighbour on the left
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    errors = []
    for _ in range(60):
        loss = (network(x) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < clean.var() / 3 < errors[0]


@pytest.mark.learns
def test_a_yolo_of_bolts_finds_what_it_learned():
    """One image, learned by heart: its boxes are found, by class and place, whether it comes small or large."""
    from torchvision.ops import box_iou

    torch.manual_seed(seed())
    image, target = DigitScenes(64, train_size=1).read("train")[0]
    target = {name: target[name] for name in ("boxes", "labels")}
    shapes = compose("model=bolts_yolo", "data=digit_scenes").model.network.prior_shapes
    network = BoltsYolo(10, 64, width=8, prior_shapes=OmegaConf.to_container(shapes), normalization="groupnorm")
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(100):
        losses = network([image.float() / 255], [target])
        assert set(losses) == set(BoltsYolo.losses)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    (found,) = network.eval()([image.float() / 255])
    n = len(target["boxes"])
    overlap, which = box_iou(target["boxes"], found["boxes"][: 3 * n]).max(1)
    assert overlap.min() > 0.6
    assert torch.equal(found["labels"][which], target["labels"])


WITHOUT = """
import sys
from importlib import metadata
installed = metadata.version

def version(name):
    if name == "lightning-bolts":
        raise metadata.PackageNotFoundError(name)
    return installed(name)

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pl_bolts":
            raise ModuleNotFoundError(name)

metadata.version = version
sys.meta_path.insert(0, Nothing())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_without_bolts_all_else_works(tmp_path):
    command = [sys.executable, "-c", WITHOUT, str(ROOT / "src/train.py"), f"paths.log_dir={tmp_path}", *BRIEF]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("callbacks.verification", ["callbacks=bolts_verification"]),
        ("callbacks.inputs", ["callbacks=bolts_monitors"]),
        ("callbacks.latent_grid", ["callbacks=bolts_interpolation", "model=vae"]),
        ("model", ["model=bolts_unet"]),
        ("model", ["model=bolts_yolo", "data=digit_scenes"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_without_bolts_what_needs_it_says_how_it_is_installed(key, options, monkeypatch):
    monkeypatch.setattr(bolts, "VERSION", "0.0.0")
    cfg = config.without_hydra(compose(*options))
    with pytest.raises(UserError, match=r"lightning-bolts==0.0.0 is not installed; `make setup` installs it"):
        build(OmegaConf.select(cfg, key), key)
