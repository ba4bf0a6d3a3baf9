"""A value of validation is judged once, in the epoch in which it was measured, however rare validations are."""

from __future__ import annotations

import pytest
import torch
from resumable import fit

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.engine import checkpoint


class EverySecond(RunCheckpoint):
    """Looks at every second epoch."""

    state_key = "RunCheckpoint"

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **{**options, "every_n_epochs": 2})


def test_the_best_checkpoint_is_never_of_other_weights_than_its_score(tmp_path):
    """Validated after epoch 3, looked at after 2 and 4: what was measured then is of weights that nobody kept."""
    fit(tmp_path, keeper=EverySecond, every_n_steps=None, max_epochs=5, check_val_every_n_epoch=3)
    assert not (tmp_path / "checkpoints" / "best.ckpt").exists()
    assert checkpoint.load(tmp_path / "checkpoints" / "last.ckpt")["epoch"] == 4


@pytest.mark.parametrize(("every", "falls"), [(1, 4), (2, 2)])
def test_a_plateau_counts_what_was_measured(tmp_path, monkeypatch, every, falls):
    """A loss that never falls, a patience of none: the rate falls after each validation, and after nothing else."""
    monkeypatch.setattr(torch.optim.lr_scheduler.ReduceLROnPlateau, "is_better", lambda *_: False, raising=False)
    monkeypatch.setattr(torch.optim.lr_scheduler.ReduceLROnPlateau, "_is_better", lambda *_: False, raising=False)
    trainer = fit(tmp_path, schedule="plateau", max_epochs=4, check_val_every_n_epoch=every)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**falls)
