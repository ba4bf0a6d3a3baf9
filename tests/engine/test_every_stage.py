"""What is wrong with the data of any stage is said before the first step, all of it at once."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import pytorch_lightning as pl
from conftest import compose

from lightloom.config import compose as config
from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.data.images import unreadable
from lightloom.engine import preflight, train

OPTIONS = ("model=mlp", "model.network.hidden=[4]", "data=image_folder", "data.image_size=8", "data.batch_size=4")
OPTIONS += ("data.num_workers=0", "data.val_fraction=0.25", "trainer.accelerator=cpu", "logger=csv")
STAGES = ("train", "val", "test")


@pytest.fixture
def root(image_folder, tmp_path) -> Path:
    """Folders for each stage."""
    for stage in STAGES:
        shutil.copytree(image_folder, tmp_path / "data" / stage)
    return tmp_path / "data"


def examined(root: Path, *options: str) -> pl.LightningDataModule:
    """What a command does before the first step; its data."""
    run = root.parent / "run"
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    cfg = config.without_hydra(
        compose(
            *OPTIONS, f"data.root={root}", f"paths.output_dir={run}", f"paths.log_dir={root.parent / 'logs'}", *options
        )
    )
    cfg, datamodule = train.build_data(cfg)
    module = train.build_module(cfg)
    trainer = train.build_trainer(cfg, module)
    with preflight.Trial(cfg, trainer, module, datamodule, brief=True) as trial:
        for _, step in list(trial.checks())[:2]:
            step()
    return datamodule


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other(path: Path) -> None:
    path.write_text("no image")


@pytest.mark.parametrize(("stage", "damage"), zip(STAGES, (cut, empty, other), strict=True))
@pytest.mark.parametrize("decoded", [500, 1], ids=["each decoded", "by header and end"])
def test_a_damaged_file_of_any_stage_is_named(root, stage, damage, decoded, monkeypatch):
    """A second each, for three configurations are composed."""
    monkeypatch.setattr(unreadable, "DECODED", decoded)
    examined(root)
    damage(root / stage / "b" / "5.png")
    damage(root / "train" / "b" / "6.png")
    with pytest.raises(UserError) as refused:
        examined(root)
    assert str(root / stage / "b" / "5.png") in str(refused.value)
    assert str(root / "train" / "b" / "6.png") in str(refused.value)
    with pytest.raises(UserError, match=r"5\.png"):  # as it is remembered
        examined(root)


def test_a_flat_test_folder_is_no_test_part_and_said_to_be_none_before_training(root, caplog):
    """Pictures of a competition, whose classes nobody has been told."""
    for path in [*(root / "test").rglob("*.png")]:
        path.rename(root / "test" / f"{path.parent.name}{path.name}")
    for name in "ab":
        (root / "test" / name).rmdir()
    caplog.set_level(logging.INFO, "lightloom")
    data = examined(root)
    assert not contract.can_be_tested(data)
    assert "test" in str(contract.summary(data)) or "test" in caplog.text
