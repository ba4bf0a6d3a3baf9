"""What a run folder holds: weights, results, the confusion matrix."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import torch

from lightloom.engine import checkpoint


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(run_folder / "checkpoints" / "last.ckpt")["state_dict"]


def results(run_folder: Path) -> dict[str, float]:
    found = json.loads((run_folder / "results.json").read_text())
    return {k: v for k, v in found.items() if k != "train_seconds" and not isinstance(v, str)}


def confusion(run_folder: Path) -> torch.Tensor:
    with (run_folder / "confusion_matrix.csv").open(newline="") as file:
        return torch.tensor([[int(n) for n in row[1:]] for row in list(csv.reader(file))[1:]])
