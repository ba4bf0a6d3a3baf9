"""What holds for detectors as for all else: exact continuation, several processes, half precision."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from commands import run as command
from commands import run_two, runs, start
from conftest import ROOT, compose, models_for
from data_of_task import LESS
from outcomes import confusion
from resumable import SCHEDULES, KeepAll, continue_each, state, train
from seeds import seed

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.config.compose import without_hydra
from lightloom.core.run_dir import figures
from lightloom.data.boxes.augment import BoxAugment
from lightloom.data.boxes.datamodule import DetectionDataModule
from lightloom.data.boxes.scenes import DigitScenes
from lightloom.data.boxes.writers import Boxes, write_yolo
from lightloom.engine import checkpoint
from lightloom.engine.train import build_module
from lightloom.modules.detector import Detector
from lightloom.networks.detection import rcnn, torchvision
from lightloom.networks.detection.yolo import Yolo
from lightloom.ops.images.grid import write_png
from lightloom.ops.images.selective_search import SelectiveSearch

SIZE, CLASSES = 64, 10
SEARCH = SelectiveSearch(scales=[200], longest=48, most=30)


def small(**options: Any) -> torchvision.Pyramid:
    return torchvision.pyramid(out_channels=16, width=8, **options)


# --- a run that is continued


NETWORKS = {
    "faster_rcnn": lambda: torchvision.faster_rcnn(CLASSES, SIZE, small(), width=16, rois=16),
    "mask_rcnn": lambda: torchvision.mask_rcnn(CLASSES, SIZE, small(), width=16, rois=16, mask_layers=1),
    "fast_rcnn": lambda: rcnn.fast_rcnn(CLASSES, SIZE, small(), SEARCH, width=16, rois=16),
    "rcnn": lambda: rcnn.rcnn(CLASSES, SIZE, small(), SEARCH, width=16, rois=16, crop_size=32),
    "yolo": lambda: Yolo(CLASSES, SIZE, small(pool=False)),
    "ssdlite": lambda: torchvision.ssdlite(CLASSES, size=96),
}


def run(
    folder: Path,
    resume: Path | None = None,
    network: str = "faster_rcnn",
    keeper: type[RunCheckpoint] = RunCheckpoint,
    num_workers: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Two epochs of three steps with every augmentation there is, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    adam = partial(torch.optim.AdamW, lr=1e-3)
    module = Detector(NETWORKS[network](), adam, CLASSES, scheduler=SCHEDULES["cosine"])
    module.save_hyperparameters({"model": {}, "data": {}})
    augment = BoxAugment(flip=0.5, colour=0.4, iou_crop=0.5, jitter=[0.5, 1.5], mosaic=0.5, image_size=SIZE)
    datamodule = DetectionDataModule(
        reader=DigitScenes(SIZE, 13, 3, 0, max_digits=3),
        **{"name": "scenes", "kind": "detection", "num_classes": None, "classes": None, "channels": 3},
        **{"image_size": SIZE, "has_masks": None, "batch_size": 4, "eval_batch_size": 2},
        augment=augment,
        proposals=SEARCH if network in ("fast_rcnn", "rcnn") else None,
        cache_dir=str(folder.parent / "cache"),
        num_workers=num_workers,
    )
    keep = keeper(str(folder / "checkpoints"), "val/map", "max", every_n_steps=1)
    trainer = train(folder, module, datamodule, keep, resume, **{"max_epochs": 2, **options})
    return state(trainer, folder, resume)


CASES: dict[str, tuple[slice, dict[str, Any]]] = {
    "faster_rcnn": (slice(None, None, 2), {}),
    "mask_rcnn": (slice(1, None, 2), {"network": "mask_rcnn"}),
    "fast_rcnn": (slice(None, None, 2), {"network": "fast_rcnn"}),
    "rcnn": (slice(1, None, 3), {"network": "rcnn"}),
    "yolo": (slice(None, None, 2), {"network": "yolo"}),
    "ssdlite": (slice(2, None, 3), {"network": "ssdlite"}),
    "faster_rcnn, bf16-mixed": (slice(1, None, 3), {"precision": "bf16-mixed"}),
}


@pytest.mark.parametrize("case", CASES)
def test_resume_is_exact(tmp_path, case):
    pick, options = CASES[case]
    full = run(tmp_path / "full", keeper=KeepAll, **options)
    assert full["steps"] == 6
    assert continue_each(tmp_path, full, pick, run=run, **options) >= 2


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0)])
def test_resume_is_exact_with_workers(tmp_path, before, after):
    full = run(tmp_path / "full", keeper=KeepAll, num_workers=before)
    assert continue_each(tmp_path, full, slice(1, 2), run=run, num_workers=after) == 1


# --- several processes


SCENES = ("data=digit_scenes", "data.image_size=64", "data.reader.max_digits=3", "data.reader.train_size=8")
SCENES += ("data.reader.val_size=3", "data.reader.test_size=7", "data.batch_size=4", "data.eval_batch_size=2")
NARROW = ("model.network.backbone.width=8", "model.network.backbone.norm=group", f"seed={seed(1)}")
SGD = ("optimizer=sgd", "model.optimizer.lr=0.01", "trainer.max_epochs=2", "scheduler=constant")
HERE = {"PYTHONPATH": str(ROOT / "tests/support")}


def trained(folder: Path, processes: int, *options: str) -> Path:
    shared = (*SCENES, *NARROW, *SGD, *options)
    if processes == 1:
        command(folder, *shared, "trainer=cpu", env=HERE)
    else:
        run_two(folder, *shared, env=HERE)
    return runs(folder)[0]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / "checkpoints" / "last.ckpt")["state_dict"]


def results(folder: Path) -> dict[str, float]:
    return figures(folder)


EXACT = {
    "yolo": ("model=yolo",),
    "retinanet": ("model=retinanet", "model.optimizer.lr=0.001"),  # which anchors count hangs on the last bits too
    "faster_rcnn": ("model=faster_rcnn", "model.optimizer.lr=0.002"),  # rounding grows with each step's regions
    "mask_rcnn": ("model=mask_rcnn", "model.optimizer.lr=0.002"),
    "fast_rcnn": ("model=fast_rcnn", "model.optimizer.lr=0.002", "data.proposals.scales=[200]"),
    "rcnn": ("model=rcnn", "model.optimizer.lr=0.002", "data.proposals.scales=[200]", "model.network.crop_size=32"),
}


@pytest.mark.learns
@pytest.mark.parametrize("options", EXACT.values(), ids=EXACT)
def test_two_processes_train_what_one_trains(tmp_path, options):
    one, two = (trained(tmp_path / f"{count}", count, *options, "test=false") for count in (1, 2))
    a, b = weights(one), weights(two)
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-6


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> Path:
    """A run of a model, tested by both."""
    folder = tmp_path_factory.mktemp("two")
    same = "model._target_=same_weights.SameWeights"
    everything = ("model=faster_rcnn", "+model.network.box_score_thresh=0.0", "model.min_score=0.0")
    return trained(folder, 2, *everything, same, "trainer.max_epochs=1", "trainer.limit_train_batches=1")


def test_processes_have_the_same_weights(two_processes):
    apart = [float(torch.load(two_processes / f"apart-{rank}.pt", weights_only=True)) for rank in range(2)]
    assert apart == [0, 0]


@pytest.fixture(scope="module")
def best(two_processes, tmp_path_factory) -> Path:
    """Its best checkpoint, as of an ordinary module: those of tests are not trusted."""
    content = checkpoint.load(two_processes / "checkpoints" / "best.ckpt")
    content["lightloom"]["config"]["model"]["_target_"] = "lightloom.modules.detector.Detector"
    path = tmp_path_factory.mktemp("best") / "best.ckpt"
    torch.save(content, path)
    return path


def test_two_processes_measure_what_one_measures(two_processes, best, tmp_path):
    """Seven images, each counted once, by the checkpoint that the run of two processes tested itself."""
    said = command(tmp_path, f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/alone", "trainer=cpu", script="eval")
    alone, tested = results(tmp_path / "alone"), results(two_processes)
    assert alone == pytest.approx({name: tested[name] for name in alone}, abs=1e-6)
    counts = confusion(two_processes)
    assert counts.sum() >= 7 * 90  # a hundred boxes for an image, whatever their scores
    assert torch.equal(confusion(tmp_path / "alone"), counts)
    assert all(f"test/map_of_{digit}" in said for digit in range(10) if f"test/map_of_{digit}" in alone)
    assert {"pr_curves.png", "overlays.png", "confusion_matrix.csv"} <= {p.name for p in (tmp_path / "alone").iterdir()}


# --- another data set for a checkpoint


def scene_files(root: Path, classes: list[str]) -> tuple[str, ...]:
    """The test scenes of SCENES as a folder of YOLO's, and the options that name it."""
    scenes = DigitScenes(SIZE, max_digits=3, test_size=7, seed=1).read("test")
    assert scenes is not None
    written = []
    for (image, target), name in zip((scenes[i] for i in range(7)), scenes.names, strict=True):
        written.append(Boxes(f"{name}.png", (SIZE, SIZE), target["boxes"], target["labels"].clamp(max=len(classes))))
        for split in ("train", "test"):
            write_png(root / "images" / split / f"{name}.png", image)
    for split in ("train", "test"):
        write_yolo(root / split, written, classes)
        shutil.copytree(root / split / "labels", root / "labels" / split)
    (root / "data.yaml").write_text(f"train: images/train\ntest: images/test\nnames: {json.dumps(classes)}\n")
    return "data=yolo", f"data.root={root}"


def test_a_checkpoint_finds_in_files_what_it_finds_in_scenes(two_processes, best, tmp_path):
    data = scene_files(tmp_path / "files", [str(digit) for digit in range(10)])
    options = (f"ckpt_path={best}", *data, f"hydra.run.dir={tmp_path}/files_tested", "trainer=cpu")
    command(tmp_path, *options, script="eval")
    assert torch.equal(confusion(tmp_path / "files_tested"), confusion(two_processes))


def test_data_of_other_classes_is_refused_in_one_message(best, tmp_path):
    data = scene_files(tmp_path / "files", ["cat", "dog"])
    refused = start(tmp_path, f"ckpt_path={best}", *data, "trainer=cpu", script="eval")
    assert refused.wait() == 2
    errors = [line for line in refused.text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "num_classes 2, but the checkpoint was trained on digit_scenes with num_classes 10" in errors[0]


def test_classes_in_another_order_are_numbered_as_the_checkpoint_has_them(best, tmp_path):
    data = scene_files(tmp_path / "files", [str(9 - i) for i in range(10)])
    command(tmp_path, f"ckpt_path={best}", *data, "trainer=cpu", script="eval")


# --- half precision


@pytest.fixture(scope="module")
def scenes() -> pl.LightningDataModule:
    from lightloom.engine.train import build_data

    return build_data(without_hydra(compose("model=yolo", *SCENES, "data.image_size=96", "data.batch_size=2")))[1]


def is_slow_in_bfloat16(module: pl.LightningModule) -> bool:
    """Has the processor no instructions for bfloat16, and the network more weights than a step's worth of patience?"""
    return "AVX512" not in torch.backends.cpu.get_cpu_capability() and sum(map(torch.numel, module.parameters())) > 2e7


@pytest.mark.parametrize("model", models_for("detection"))
def test_a_step_in_half_precision_is_near_that_in_full(model, scenes):
    """Boxes are drawn and regressed in full precision; what is summed in bfloat16 has 8 bits."""
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        small = ("data.image_size=96", "data.batch_size=2", *LESS.get(model, ()))
        cfg = without_hydra(compose(f"model={model}", *SCENES, *small))
        cfg.data.update(scenes.facts())
        pl.seed_everything(0, verbose=False)
        module = build_module(cfg)
        if precision == "bf16-mixed" and is_slow_in_bfloat16(module):
            pytest.skip("convolutions of VGG's size take 20 minutes without bfloat16 instructions")  # reason: AVX2 only
        quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
        trainer = pl.Trainer(
            accelerator="cpu",
            precision=precision,
            max_steps=1,
            limit_train_batches=1,
            limit_val_batches=1,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **dict.fromkeys(quiet, False),
        )
        trainer.fit(module, datamodule=scenes)
        losses[precision] = float(trainer.callback_metrics["train/loss"])
        assert all(p.isfinite().all() for p in module.parameters())
        assert 0 <= float(trainer.callback_metrics["val/map"]) <= 1
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.03)
