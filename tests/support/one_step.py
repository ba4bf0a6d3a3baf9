"""One optimizer step of any model on any data set, saved and restored: what the globbed tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightloom.config.compose import compose, without_hydra
from lightloom.config.foreign import plain
from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.engine import facts, train
from lightloom.engine.checkpoint import RunRecord, SafeCheckpointIO, restore


def train_and_restore(
    model: str, data: str, overrides: Sequence[str], datamodule: pl.LightningDataModule, folder: Path
) -> tuple[DictConfig, pl.LightningModule, pl.LightningModule]:
    """The configuration, the module after one step, and the same from its checkpoint, both in evaluation mode."""
    cfg = without_hydra(compose("train", [f"model={model}", f"data={data}", *overrides]))
    cfg.data.update(found := contract.facts(datamodule))
    facts.fill_in(cfg, found)
    pl.seed_everything(0, verbose=False)
    module = train.build_module(cfg)
    before = [p.detach().norm() for p in module.parameters()]
    quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=1,
        limit_val_batches=0,
        plugins=[SafeCheckpointIO(RunRecord(plain(cfg)))],
        use_distributed_sampler=False,
        **dict.fromkeys(quiet, False),  # type: ignore[arg-type]
    )
    trainer.fit(module, datamodule=datamodule)
    assert trainer.global_step == 1
    assert any(a != b.norm() for a, b in zip(before, module.parameters(), strict=True))
    path = folder / "step.ckpt"
    trainer.save_checkpoint(path, weights_only=True)
    _, again = restore(path)
    path.unlink()  # half a gigabyte for a VGG
    return cfg, module.eval(), again


def reader_of_sets(model: str, overrides: Sequence[str]) -> Callable[[str], Any]:
    """name -> its datamodule, read once; or the message, where the data is not on this machine."""
    found: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in found:
            cfg = without_hydra(compose("train", [f"model={model}", f"data={name}", *overrides]))
            try:
                found[name] = train.build_data(cfg)[1]
            except UserError as error:
                if cfg.data.root and Path(cfg.data.root).exists():
                    raise  # the data is here: no reason to skip
                found[name] = error
        return found[name]

    return get
