"""Every classifier on every image data set: a new file in configs/ is tested without a new test."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate

from lightlab import run
from lightlab.checkpoint import SafeCheckpointIO, restore
from lightlab.config import compose, options, without_hydra
from lightlab.errors import UserError

# Very deep networks have the code paths of their shallow sisters; a step of theirs takes minutes on a CPU.
STAND_IN = {
    "resnet1202": {"model.network.depth": 20},
    "resnet110": {"model.network.depth": 20},
    "resnet152": {"model.network.depth": 50},
    "resnet101": {"model.network.depth": 50},
}
DATA, MODELS = list(options("data")), list(options("model"))


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory) -> Path:
    """Eight colour pictures of two classes."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures") / "image_folder"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for i in range(8):
            pixels = torch.randint(256, (70, 90, 3), dtype=torch.uint8).numpy()
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def kaggle(tmp_path_factory) -> Path:
    """Kaggle's layout with 16 pictures."""
    from PIL import Image

    root = tmp_path_factory.mktemp("kaggle") / "kaggle_cifar10"
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        for i in range(1, 17):
            pixels = torch.randint(256, (32, 32, 3), dtype=torch.uint8).numpy()
            Image.fromarray(pixels).save(root / split / f"{i}.png")
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    rows = [f"{i},{classes[i % 10]}" for i in range(1, 17)]
    (root / "trainLabels.csv").write_text("\n".join(["id,label", *rows]) + "\n")
    return root


@pytest.fixture(scope="module")
def datamodules(image_folder, kaggle):
    """name -> its datamodule's configuration and datamodule, read once; None where the data is not on this machine."""
    roots = {
        "image_folder": [f"data.root={image_folder}", "data.image_size=64"],
        "kaggle_cifar10": [f"data.root={kaggle}"],
    }
    found: dict = {}

    def get(name: str):
        if name not in found:
            overrides = [*roots.get(name, []), "data.batch_size=4", "data.num_workers=0", "data.val_fraction=0.2"]
            cfg = without_hydra(compose("train", [f"data={name}", *overrides]))
            try:
                found[name] = overrides, run.build_data(cfg)[1]
            except UserError as error:
                if Path(cfg.data.root).exists():
                    raise  # the data is here: no reason to skip
                found[name] = overrides, error
        return found[name]

    return get


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", MODELS)
def test_one_step_saved_and_reloaded_gives_equal_outputs(model, data, datamodules, tmp_path):
    overrides, datamodule = datamodules(data)
    if isinstance(datamodule, UserError):
        pytest.skip(f"not on this machine: {datamodule}")  # its folder does not exist
    small = [f"{key}={value}" for key, value in STAND_IN.get(model, {}).items()]
    cfg = without_hydra(
        compose("train", [f"model={model}", f"data={data}", *overrides, *small, *fitting(model, datamodule)])
    )
    cfg.data.update(datamodule.facts())
    run._fill_in(cfg, "num_classes", datamodule.num_classes)
    pl.seed_everything(0, verbose=False)
    module = run.build_module(cfg)
    before = [p.detach().norm() for p in module.parameters()]
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    trainer = pl.Trainer(accelerator="cpu", max_steps=1, limit_val_batches=0, plugins=[SafeCheckpointIO()], **quiet)
    trainer.fit(module, datamodule=datamodule)
    assert trainer.global_step == 1
    assert any(a != b.norm() for a, b in zip(before, module.parameters(), strict=True))
    path = tmp_path / "step.ckpt"
    trainer.save_checkpoint(path, weights_only=True)
    _, again = restore(path)
    path.unlink()  # half a gigabyte for a VGG
    images = torch.rand(2, cfg.data.channels, cfg.data.image_size, cfg.data.image_size)
    with torch.inference_mode():
        expected = module.eval()(images)
        assert expected.shape == (2, datamodule.num_classes)
        assert torch.equal(expected, again(images))


def fitting(model: str, datamodule: pl.LightningDataModule) -> list[str]:
    """A patch size that divides, as the message for one that does not asks for."""
    if model == "vit":
        return [f"model.network.patch_size={next(p for p in (8, 7, 4) if datamodule.image_size % p == 0)}"]
    return []


def test_all_metrics_that_are_promised_are_logged(tmp_path):
    cfg = without_hydra(compose("train", ["model=mlp", "data.batch_size=64", "trainer=cpu"]))
    cfg, datamodule = run.build_data(cfg)
    module = run.build_module(cfg)
    trainer = instantiate(
        cfg.trainer, max_epochs=1, logger=False, default_root_dir=str(tmp_path), enable_checkpointing=False
    )
    trainer.fit(module, datamodule=datamodule)
    seen = set(trainer.callback_metrics)
    trainer.test(module, datamodule=datamodule, verbose=False)
    assert seen | set(trainer.callback_metrics) == set(module.logged)
