"""Evaluate samples: distances to real images on an extractor's features, and Parzen log-likelihood."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytorch_lightning as pl
import torch
from annotated_types import Ge
from torch import Tensor, nn

from lightloom.callbacks.images.log import log_picture
from lightloom.callbacks.offers import lacks_parts, lacks_samples, parts_of
from lightloom.callbacks.samples.class_histogram import draw_histogram, write_table
from lightloom.core.errors import UserError
from lightloom.core.ranges import Seed, checked
from lightloom.data import contract
from lightloom.data.subset import images_of
from lightloom.metrics.distances import frechet_distance, kernel_distance
from lightloom.metrics.histogram import class_counts, confidence, smallest_class_share
from lightloom.metrics.parzen import choose_bandwidth, log_likelihood, mean_and_standard_error
from lightloom.metrics.precision_recall import precision_recall
from lightloom.ops.indices import evenly
from lightloom.ops.rng import latents, mix
from lightloom.ops.typed_trainer import typed

log = logging.getLogger("lightloom")
LATENTS = -3  # the stream of this callback's latents
PARZEN_VALUES = 3072  # of an image; with more, it takes minutes and says little
PARZEN_VALIDATION, PARZEN_TEST = 1000, 10_000  # images that choose the bandwidth, and that are judged
MOST_COMPARED = 10_000  # images for precision and recall


@dataclass
class Kept:
    """Features (B, D) and pixels (B, C H W) of each batch so far, on this process, on the CPU."""

    real: list[Tensor] = field(default_factory=list)
    fake: list[Tensor] = field(default_factory=list)
    real_pixels: list[Tensor] = field(default_factory=list)
    fake_pixels: list[Tensor] = field(default_factory=list)


class SampleQuality(pl.Callback):
    """Compares images that a module generates with those of the validation and test sets.

    Each validation: val/frechet_<extractor>, of all validation images and `val_samples` fakes. A test, with all its
    images and `test_samples` fakes: test/frechet_, test/kernel_, test/precision_ and test/recall_<extractor>, the
    last two on as many real as fakes, at most 10,000, evenly taken. Parzen, for images of up to 3,072 values:
    test/parzen_nats and its standard error over at most 10,000 test images, with test/parzen_sigma, the bandwidth
    chosen on 1,000 of validation; about ten seconds for 10,000 of 28 x 28. Where the extractor classifies:
    test/smallest_class_share and test/confidence of the fakes, and class_histogram.png and .csv in `dirpath`.

    Fake i is decoded from a latent that only the seed and i decide. Whatever the number of processes, features come
    into one order and all processes compute the same figures. A fast_dev_run makes one batch of fakes.
    """

    at_test = True  # of use when a checkpoint is tested, too
    better: ClassVar[dict[str, str]] = {"frechet": "min"}

    @checked
    def __init__(
        self,
        dirpath: str,
        extractor: nn.Module,
        seed: Seed,
        val_samples: Annotated[int, Ge(2)] = 2000,
        test_samples: Annotated[int, Ge(2)] = 10_000,
        batch_size: Annotated[int, Ge(2)] = 500,
        parzen: bool = True,
    ) -> None:
        self.folder, self.extractor, self.seed = Path(dirpath), extractor, seed
        self.val_samples, self.test_samples = val_samples, test_samples
        self.batch_size, self.parzen = batch_size, parzen
        self.name: str = extractor.name  # type: ignore[assignment]
        self._kept = Kept()
        self._left_out = False

    @staticmethod
    def for_evaluation(options: Any, asked: Any, split: str) -> None:
        """With the extractor that is asked for; Parzen's bandwidth is chosen on validation images, so not on those."""
        options["extractor"] = asked.get("extractor") or options["extractor"]
        if split == "val":
            options["parzen"] = False

    @property
    def logged(self) -> list[str]:
        """The names of the metrics that each validation logs."""
        return [] if self._left_out else [f"val/frechet_{self.name}"]

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_samples(module, f"the quality of samples on {self.name}", self._left_out)
        if self._left_out:
            return
        data: Any = typed(trainer).datamodule
        name, trained_on = contract.name(data), getattr(self.extractor, "trained_on", None)
        if data is not None and trained_on not in (None, name) and stage == "fit":
            log.warning("Features of a %s that was trained on %s, not on %s.", self.name, trained_on, name)
        if example := contract.offered(
            data, "example", 1, 0
        ):  # an extractor of other images says so now, not after the first epoch
            with torch.no_grad():
                self.extractor.to(module.device)(example(1, 0).to(module.device))

    # --- images become features

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not trainer.sanity_checking and self._can_take(batch):
            self._take(trainer, module, parts_of(batch, 1)[0], batch_idx, self.val_samples, pixels=False)

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._can_take(batch):
            images = parts_of(batch, 1)[0]
            pixels = self.parzen and images[0].numel() <= PARZEN_VALUES
            self._take(trainer, module, images, batch_idx, self.test_samples, pixels)

    def _can_take(self, batch: Any) -> bool:
        self._left_out = self._left_out or lacks_parts(batch, 1, f"the quality of samples on {self.name}")
        return not self._left_out

    def _take(
        self, trainer: pl.Trainer, module: Any, images: Tensor, batch_idx: int, samples: int, pixels: bool
    ) -> None:
        if batch_idx == 0:  # inside the evaluation, where averaged weights are in place
            self._kept = Kept()
            for fakes in self._fakes(trainer, module, samples):
                self._kept.fake.append(self.extractor(fakes).cpu())
                self._kept.fake_pixels.extend([fakes.flatten(1).cpu()] if pixels else [])
        self._kept.real.append(self.extractor(images.float()).cpu())
        self._kept.real_pixels.extend([images.float().flatten(1).cpu()] if pixels else [])

    def _fakes(self, trainer: pl.Trainer, module: Any, samples: int) -> Iterator[Tensor]:
        """This process's share of the fakes: every world_size-th batch."""
        self.extractor.to(module.device)
        z = latents(mix(self.seed, LATENTS), samples, module.latent_dim)
        batches = z.split(self.batch_size)[: 1 if typed(trainer).fast_dev_run else None]
        for batch in batches[trainer.global_rank :: trainer.world_size]:
            fakes = module.decode(batch.to(module.device, module.dtype)).float()
            if not torch.isfinite(fakes).all():
                raise UserError(
                    f"{type(module).__name__} makes images that are not finite numbers; lower its learning rate, or "
                    f"clip its gradients (gradient_clip_val)."
                )
            yield fakes

    # --- features become figures

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._left_out or trainer.sanity_checking:
            return
        kept, self._kept = self._kept, Kept()
        real, fake = (gather(trainer, batches, module.device) for batches in (kept.real, kept.fake))
        self._log(module, {f"val/frechet_{self.name}": frechet_distance(real, fake)})

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._left_out:
            return
        kept, self._kept = self._kept, Kept()
        real, fake = (gather(trainer, batches, module.device) for batches in (kept.real, kept.fake))
        self._log(module, {f"test/{key}_{self.name}": value for key, value in compare(real, fake).items()})
        if hasattr(self.extractor, "classify"):
            probabilities: Tensor = self.extractor.classify(fake.to(module.device)).cpu()  # type: ignore[operator]
            self._log(module, {"test/smallest_class_share": smallest_class_share(probabilities)})
            self._log(module, {"test/confidence": confidence(probabilities)})
            self._show(trainer, class_counts(probabilities))
        if kept.real_pixels:
            real, fake = (gather(trainer, batches, module.device) for batches in (kept.real_pixels, kept.fake_pixels))
            self._log(module, {f"test/{key}": value for key, value in self._parzen(trainer, real, fake).items()})

    def _parzen(self, trainer: pl.Trainer, real: Tensor, fake: Tensor) -> dict[str, float]:
        batches = images_of(trainer, "val", PARZEN_VALIDATION, self.batch_size)
        validation = torch.cat([images.float().flatten(1).to(fake.device) for images, _ in batches])
        bandwidth = choose_bandwidth(validation, fake)
        points = real[evenly(len(real), PARZEN_TEST)]
        mean, error = mean_and_standard_error(log_likelihood(points, fake, bandwidth))
        return {"parzen_nats": mean, "parzen_nats_stderr": error, "parzen_sigma": bandwidth}

    def _log(self, module: pl.LightningModule, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            module.log(name, value, rank_zero_only=False, sync_dist=False)

    def _show(self, trainer: pl.Trainer, counts: Tensor) -> None:
        if not trainer.is_global_zero or typed(trainer).fast_dev_run:
            return
        classes = getattr(self.extractor, "classes", [str(i) for i in range(len(counts))])
        self.folder.mkdir(parents=True, exist_ok=True)
        write_table(self.folder / "class_histogram.csv", counts, classes)
        picture = self.folder / "class_histogram.png"
        draw_histogram(counts, classes, self.name).savefig(picture, dpi=120, bbox_inches="tight")
        log_picture(trainer, "test/class_histogram", picture)


def compare(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Fréchet and kernel distance, precision and recall of features (N, D) and (M, D)."""
    most = min(len(real), len(fake), MOST_COMPARED)
    precision, recall = precision_recall(real[evenly(len(real), most)], fake[evenly(len(fake), most)])
    distances = {"frechet": frechet_distance(real, fake), "kernel": kernel_distance(real, fake)}
    return {**distances, "precision": precision, "recall": recall}


def gather(trainer: pl.Trainer, batches: list[Tensor], device: torch.device) -> Tensor:
    """Gather every process's batches (B, ...) in one order, batch b of rank r being number b * world_size + r.

    On the device where it is a CUDA one, for others have no float64; else on the CPU.
    """
    parts = [batches]
    if trainer.world_size > 1:
        parts = [[] for _ in range(trainer.world_size)]
        torch.distributed.all_gather_object(parts, batches)
    ordered = torch.cat(in_order(parts))
    return ordered.to(device) if device.type == "cuda" else ordered


def in_order(parts: list[list[Tensor]]) -> list[Tensor]:
    """Batch b of rank r is number b * world_size + r; the last ranks may have one batch less."""
    world_size = len(parts)
    return [parts[i % world_size][i // world_size] for i in range(sum(map(len, parts)))]
