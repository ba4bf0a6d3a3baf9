"""What holds for segmenters as for all else: exact continuation, several processes, attention, export at any size."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
import pytorch_lightning as pl
import torch
from resumable import SCHEDULES, KeepAll, continue_each, state, train

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.config import compose
from lightloom.config.foreign import plain
from lightloom.config.instantiate import build
from lightloom.core.run_dir import figures
from lightloom.data.masks.augment import MaskAugment
from lightloom.data.masks.datamodule import SegmentationDataModule
from lightloom.data.masks.river_scenes import RiverScenes
from lightloom.engine import checkpoint
from lightloom.losses.segmentation import SegmentationLoss
from lightloom.modules.segmenter import Segmenter
from lightloom.networks.segmentation.unet import UNet

SIZE = 32


def run(
    folder: Path,
    resume: Path | None = None,
    keeper: type[RunCheckpoint] = RunCheckpoint,
    num_workers: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Two epochs of three steps with every augmentation there is, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    loss = SegmentationLoss(3, dice=1.0, focal=0.5, lovasz=0.5, median_frequency=True)
    adam, cosine = partial(torch.optim.AdamW, lr=1e-3), SCHEDULES["cosine"]
    module = Segmenter(UNet(3, 3, width=2, depth=2, dropout=0.3), loss, adam, 3, [0.5] * 3, [0.3] * 3, cosine)
    module.save_hyperparameters({"model": {}, "data": {}})
    augment = MaskAugment(SIZE, SIZE, scale=[0.5, 2.0], rotate=20.0, elastic=4.0, max_share=0.75, flip=0.5, colour=0.4)
    datamodule = SegmentationDataModule(
        reader=RiverScenes(40, 48, 13, 3, 0),
        **{"name": "rivers", "kind": "segmentation", "num_classes": None, "classes": None, "channels": 3},
        **{"image_size": 36, "height": SIZE, "width": SIZE, "mean": [0.5] * 3, "std": [0.3] * 3},
        **{"batch_size": 4, "eval_batch_size": 2, "augment": augment, "num_workers": num_workers},
    )
    keep = keeper(str(folder / "checkpoints"), "val/miou", "max", every_n_steps=1)
    trainer = train(folder, module, datamodule, keep, resume, **{"max_epochs": 2, **options})
    return state(trainer, folder, resume)


@pytest.mark.parametrize("options", [{}, {"precision": "bf16-mixed"}], ids=["float32", "bf16-mixed"])
def test_resume_is_exact_with_every_augmentation(tmp_path, options):
    full = run(tmp_path / "full", keeper=KeepAll, **options)
    assert full["steps"] == 6
    assert continue_each(tmp_path, full, run=run, **options) >= 2


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0)])
def test_resume_is_exact_with_workers(tmp_path, before, after):
    """Workers start in seconds."""
    full = run(tmp_path / "full", keeper=KeepAll, num_workers=before)
    assert continue_each(tmp_path, full, slice(1, 2), run=run, num_workers=after) == 1


# --- several processes

RIVERS = ("data=river_scenes", "data.height=32", "data.width=48", "data.reader.train_size=8", "data.batch_size=4")
RIVERS += ("data.reader.val_size=3", "data.reader.test_size=5", "data.eval_batch_size=2", "data.augment.rotate=30")
SMALL = ("model=unet", "model.network.width=4", "model.network.depth=2", "model.network.norm=group", "run_name=one")
TIMM = ("model=timm_unet", "model.network.name=resnet10t", "run_name=one")
LOSS = ("model.loss.dice=1", "model.loss.focal=0.5", "model.loss.lovasz=0.5", "model.loss.class_weights=[1,2,3]")
SGD = ("optimizer=sgd", "model.optimizer.lr=0.05", "trainer.max_epochs=2", "scheduler=constant", "preflight=false")


def test_two_processes_train_and_measure_what_one_does(tmp_path):
    """Rotation leaves images with unequal shares of ignored corners. Three runs of some seconds."""
    commands.run(tmp_path / "a", *RIVERS, *SMALL, *LOSS, *SGD, "trainer=cpu")
    commands.run_two(tmp_path / "b", *RIVERS, *SMALL, *LOSS, *SGD)
    one, two = (tmp_path / name / "runs/one" for name in ("a", "b"))
    expected, found = (checkpoint.load(run / "checkpoints/last.ckpt")["state_dict"] for run in (one, two))
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
    results = [figures(run) for run in (one, two)]
    measured = [{k: v for k, v in r.items() if k != "train_seconds"} for r in results]
    assert measured[1] == pytest.approx(measured[0], abs=2e-3)  # a pixel of 7,680 may fall to the other side


# --- options and files


@pytest.mark.parametrize("model", ["unet", "timm_unet"])
@pytest.mark.parametrize("attention", ["se", "cbam", "eca"])
def test_attention_is_added_to_each_block(model, attention):
    name = ["model.network.name=resnet10t"] if model == "timm_unet" else ["model.network.width=16"]
    options = [f"model={model}", "data=river_scenes", f"model.attention={attention}", *name]
    module = build(plain(compose.without_hydra(compose.compose("train", options)).model), "model")
    parts = [name for name, _ in module.named_modules() if name.endswith("attention")]
    assert len(parts) == (9 if model == "unet" else 5)
    with torch.inference_mode():
        assert module.eval()(torch.rand(1, 3, 45, 39)).shape == (1, 3, 45, 39)


@pytest.mark.parametrize("model", [SMALL, TIMM], ids=["unet", "timm_unet"])
def test_the_onnx_file_takes_any_size_and_number(tmp_path, model):
    """export.py compares it with the module at three sizes, none of which a halving divides; about 15 s."""
    short = ("trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "preflight=false")
    commands.run(tmp_path, *RIVERS, *model, *short)
    said = commands.run(tmp_path, f"ckpt_path={tmp_path / 'runs/one'}", "format=onnx", script="export")
    assert "onnx" in said
