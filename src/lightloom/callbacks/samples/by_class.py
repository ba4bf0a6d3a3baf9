"""Evaluate samples class by class: a page, and whether each class is made as it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytorch_lightning as pl
import torch
from annotated_types import Ge
from torch import Tensor, nn

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks, lacks_parts, parts_of
from lightloom.callbacks.samples.grid import COLUMNS, by_class, draw
from lightloom.callbacks.samples.quality import gather
from lightloom.core.cells import Writer, open_csv
from lightloom.core.ranges import Seed, checked
from lightloom.metrics.distances import frechet_distance
from lightloom.ops.images.grid import captioned, grid, write_png
from lightloom.ops.indices import evenly
from lightloom.ops.rng import latents, mix
from lightloom.ops.typed_trainer import classes_of, typed

LATENTS = -4  # the stream of this callback's latents
MOST_ROWS = 20  # classes on a page
BATCH = 500  # images


@dataclass
class OfClass:
    """frechet: to the test images of the class; None with fewer than two. accuracy: of fakes, None where unknown."""

    name: str
    real: int
    frechet: float | None
    accuracy: float | None


class ClassQuality(pl.Callback):
    """Compares the images that a module makes of each class with the test images of that class.

    A test logs test/frechet_by_class_<extractor>, the mean over classes, and where the extractor classifies
    test/class_accuracy_<extractor>, the share of fakes that it takes for what they were made as. by_class.csv has both
    for each class; by_class.png has a row for each of up to 20 classes, the same latents in all. All in `dirpath`.
    samples_per_class: fakes, latents by the seed alone, the same for each class.
    """

    at_test = True  # of use when a checkpoint is tested, too
    better: ClassVar[dict[str, str]] = {"frechet": "min", "class_accuracy": "max"}

    @checked
    def __init__(
        self, dirpath: str, extractor: nn.Module, seed: Seed, samples_per_class: Annotated[int, Ge(2)] = 100
    ) -> None:
        self.folder, self.extractor, self.seed = Path(dirpath), extractor, seed
        self.samples_per_class = samples_per_class
        self.name: str = extractor.name  # type: ignore[assignment]
        self._features: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._left_out = False

    @staticmethod
    def for_evaluation(options: Any, asked: Any, split: str) -> None:
        """With the extractor that is asked for."""
        options["extractor"] = asked.get("extractor") or options["extractor"]

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks(module, "classes_of", "the quality of samples by class", self._left_out)

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the features of real images (B, C, H, W) in [0, 1], and their labels (B,)."""
        self._left_out = self._left_out or lacks_parts(batch, 2, "the quality of samples by class")
        if self._left_out:
            return
        if batch_idx == 0:
            self._features, self._labels = [], []
        images, labels = parts_of(batch, 2)
        self._features.append(self.extractor.to(module.device)(images.float()).cpu())
        self._labels.append(labels.cpu())

    def on_test_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Log the means over classes, and write by_class.csv and the page of samples."""
        if self._left_out or not self._features:
            return
        features, labels = (gather(trainer, kept, torch.device("cpu")) for kept in (self._features, self._labels))
        self._features, self._labels = [], []
        names = classes_of(trainer) or list(map(str, range(module.num_classes)))
        found = [self._of_class(module, number, name, features[labels == number]) for number, name in enumerate(names)]
        for what, key in (("frechet", "frechet_by_class"), ("accuracy", "class_accuracy")):
            values = [value for one in found if (value := getattr(one, what)) is not None]
            if values:
                figure = sum(values) / len(values)
                module.log(f"test/{key}_{self.name}", figure, rank_zero_only=False, sync_dist=False)
        if not typed(trainer).fast_dev_run:
            self._show(trainer, module, names)
            if trainer.is_global_zero:
                write_table(self.folder / "by_class.csv", found)

    def _of_class(self, module: Any, number: int, name: str, real: Tensor) -> OfClass:
        z = latents(mix(self.seed, LATENTS), self.samples_per_class, module.latent_dim)
        images = torch.cat([draw(module, part, torch.full((len(part),), number)) for part in z.split(BATCH)])
        with torch.no_grad():
            fake = self.extractor(images.to(module.device))
            classify = getattr(self.extractor, "classify", None)
            accuracy = float((classify(fake).argmax(1) == number).float().mean()) if classify else None
        frechet = frechet_distance(real, fake.cpu()) if len(real) > 1 else None
        return OfClass(name, len(real), frechet, accuracy)

    def _show(self, trainer: pl.Trainer, module: Any, names: Sequence[str]) -> None:
        shown = torch.tensor(evenly(len(names), MOST_ROWS))
        z = latents(self.seed, COLUMNS, module.latent_dim)
        images = draw(module, *by_class(z, shown))
        if trainer.is_global_zero:
            page = captioned(grid(images, COLUMNS), left=[names[i] for i in shown])
            write_png(self.folder / "by_class.png", page)
            log_image(trainer, "test/by_class", page)


def write_table(path: Path, found: Sequence[OfClass]) -> None:
    """A row for each class; empty where nothing is known."""
    rows = [[one.name, one.real, one.frechet, one.accuracy] for one in found]
    with open_csv(path, "w") as file:
        Writer(file).write(["class", "images", "frechet", "accuracy"], *rows)
