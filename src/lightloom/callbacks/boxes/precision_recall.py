"""Plot the precision-recall curve of each class after a detector's test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.callbacks.boxes.overlays import COLOURS
from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks_output
from lightloom.core import atomic_io
from lightloom.core.figures import new_figure
from lightloom.core.ranges import Share
from lightloom.core.text import line
from lightloom.metrics.detection import Boxes, average_precision, precision_recall
from lightloom.ops.collectives import gather_objects
from lightloom.ops.images.grid import write_png
from lightloom.ops.indices import evenly
from lightloom.ops.typed_trainer import classes_of, typed

NAMED = len(COLOURS)  # classes with a colour and a name: those with the most truths
POINTS = 200  # of a curve in pr_curves.json
KEPT = ("boxes", "labels", "scores", "iscrowd")
Curve = tuple[Tensor, Tensor]  # recall, precision


class PrecisionRecall(pl.Callback):
    """Writes pr_curves.png and pr_curves.json into `dirpath` after a test, over the images of all processes.

    iou: the overlap from which a box is found. A class without a truth has no curve.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True

    def __init__(self, dirpath: str, iou: Share = 0.5) -> None:
        self.path, self.iou = Path(dirpath) / "pr_curves.png", iou
        self.found: list[Boxes] = []
        self.truths: list[Boxes] = []
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_output(module, "detections", "pr_curves.png", self._left_out)

    def on_test_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.found, self.truths = [], []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch's detections and truths, on the CPU."""
        if self._left_out:
            return
        self.found += [_kept(one) for one in outputs["detections"]]
        self.truths += [_kept(one) for one in batch[1]]

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Draw a curve for each class that occurs, the most frequent first, of all processes' boxes."""
        found, truths = gather_objects(self.found), gather_objects(self.truths)
        self.found, self.truths = [], []
        if self._left_out or not trainer.is_global_zero or typed(trainer).fast_dev_run:
            return
        counts = torch.cat([t["labels"] for t in truths]).bincount().tolist()
        labels = sorted((k for k, n in enumerate(counts) if n), key=lambda k: -counts[k])
        classes = classes_of(trainer)
        names = {k: classes[k - 1] if k <= len(classes) else str(k) for k in labels}
        curves = {names[k]: precision_recall(found, truths, k, self.iou)[:2] for k in labels}
        if curves:
            picture = draw(curves, self.iou)
            write_png(self.path, picture)
            atomic_io.write_text(self.path.with_suffix(".json"), json.dumps(numbers(curves, self.iou)) + "\n")
            log_image(trainer, "test/pr_curves", picture)


def numbers(curves: dict[str, Curve], iou: float) -> dict[str, Any]:
    """The curves as plain data: POINTS places of each or fewer; the average precision is of all."""
    return {
        "iou": iou,
        "curves": [
            {
                "name": str(name),
                "average_precision": average_precision(recall, precision),
                "recall": recall[(kept := evenly(len(recall), POINTS))].tolist(),
                "precision": precision[kept].tolist(),
            }
            for name, (recall, precision) in curves.items()
        ],
    }


def draw(curves: dict[str, Curve], iou: float) -> Tensor:
    """The curves of NAMED classes, the first ones, in colours, those of the others in grey; uint8 (3, H, W).

    A curve begins at recall 0 with the precision of its first detection, and ends where no further truth is found.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = new_figure(figsize=(7.5, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    of_classes = {name: average_precision(*curve) for name, curve in curves.items()}
    for i, (name, (recall, precision)) in reversed(list(enumerate(curves.items()))):
        label = f"{line(name)}: {of_classes[name]:.3f}" if i < NAMED else None
        x, y = (values.tolist() for values in (recall, precision))
        style: dict[str, Any] = {
            "color": COLOURS[i] if i < NAMED else "lightgrey",
            "linewidth": 1.6 if i < NAMED else 0.8,
        }
        axes.plot([0.0, *x], [*y[:1], *y] or [0.0], label=label, **style)
    mean = sum(of_classes.values()) / len(of_classes)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.set_title(f"IoU {iou:g}: mean average precision {mean:.3f} of {len(curves)} classes")
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], title="average precision", loc="center left", bbox_to_anchor=(1, 0.5))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return (
        torch.frombuffer(bytearray(canvas.buffer_rgba()), dtype=torch.uint8)
        .view(*canvas.get_width_height()[::-1], 4)[..., :3]
        .permute(2, 0, 1)
        .contiguous()
    )


def _kept(boxes: Boxes) -> Boxes:
    return {name: values.cpu() for name, values in boxes.items() if name in KEPT}
