"""Monitor the balance of a GAN: plot losses, scores and gradients; warn of collapse and vanished gradients."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from annotated_types import Ge
from torch import Tensor

from lightloom.callbacks.images.log import log_picture
from lightloom.callbacks.offers import lacks_parts, lacks_samples, parts_of
from lightloom.callbacks.samples.grid import as_generator, draw
from lightloom.core.figures import new_figure
from lightloom.core.ranges import Seed
from lightloom.ops.indices import share
from lightloom.ops.rng import latents
from lightloom.ops.typed_trainer import typed

log = logging.getLogger("lightloom")
DIVERSITY = "val/diversity"
PANELS = {  # title: how the names of its curves end
    "loss": ("_loss",),
    "D(x), D(G(z))": ("/d_real", "/d_fake"),
    "gradient norm": ("_grad_norm",),
}
MAKERS = ("train/generator_grad_norm", "train/decoder_grad_norm")
# Samples that differ a tenth as much as images do are copies with small changes, and an epoch's mean gradient norm
# varies by one or two orders of magnitude in runs that learn: what is below these is no longer a matter of degree.
COLLAPSED, VANISHED = 0.1, 1e-3
# Of 64 images of MNIST or Fashion-MNIST at most 4 lie nearer to one of them than 0.3 times their mean distance.
ALIKE, MOST_ALIKE = 0.3, 0.5


class Health(pl.Callback):
    """Logs val/diversity, warns of a collapse and of a vanished gradient, and writes health.png into `dirpath`.

    val/diversity: the diversity of `num_images` samples, from fixed noise, over that of as many validation images.
    The curves are of what the module logs as train/..._loss, train/..._grad_norm, train/d_real and train/d_fake, the
    mean judgements of real and generated images. A fault is warned of once, and again only after it has healed.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all

    def __init__(self, dirpath: str, seed: Seed = 0, num_images: Annotated[int, Ge(2)] = 64) -> None:
        self.folder, self.seed, self.num_images = Path(dirpath), seed, num_images
        self.history: dict[str, dict[int, float]] = {}  # name -> epoch -> value
        self.faults: list[str] = []
        self._images: list[Tensor] = []
        self._left_out = False  # the diversity; curves are drawn of what is logged
        self._ended: int | None = None  # the epoch whose metrics of training are still to be read

    @property
    def logged(self) -> list[str]:
        return [] if self._left_out else [DIVERSITY]

    def state_dict(self) -> dict[str, Any]:
        return {"history": {name: dict(curve) for name, curve in self.history.items()}, "faults": list(self.faults)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self.faults = state_dict["history"], state_dict["faults"]

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_samples(module, DIVERSITY, self._left_out)

    # --- diversity

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._left_out = self._left_out or lacks_parts(batch, 1, DIVERSITY)
        if not self._left_out:
            self._images.append(share(parts_of(batch, 1)[0], self.num_images, trainer.num_val_batches))

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        collected, self._images = self._images, []
        if trainer.sanity_checking or trainer.state.fn != "fit" or not collected:
            return
        samples = draw(module, latents(self.seed, self.num_images, as_generator(module).latent_dim))
        real = diversity(torch.cat(collected)[: self.num_images])
        ratio: float | None = trainer.strategy.broadcast(diversity(samples) / real if real else None)
        if ratio is None:
            return  # one image, or images all alike, say nothing
        module.log(DIVERSITY, ratio, sync_dist=True)
        epoch = trainer.current_epoch + 1
        self._note(DIVERSITY, epoch, ratio)
        same = alike(samples, ALIKE * real)
        self._watch(
            "collapse",  # the first samples of any network are much alike
            epoch > 1 and (ratio < COLLAPSED or same > MOST_ALIKE * len(samples)),
            f"{same} of {len(samples)} samples of epoch {epoch} are nearly alike, and all differ {ratio:.2g} times as "
            f"much as images of the data do (expected about 1, at least {COLLAPSED:g}); if that lasts, the generator "
            f"has collapsed: try a lower learning rate or model=wgan_gp.",
        )

    # --- training

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._record(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._ended = trainer.current_epoch + 1  # the epoch's metrics are logged after this hook

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._record(trainer)
        checkpoint["callbacks"][self.state_key] = self.state_dict()

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._record(trainer)
        if self.history and trainer.is_global_zero and not typed(trainer).fast_dev_run:
            self.folder.mkdir(parents=True, exist_ok=True)
            picture = self.folder / "health.png"
            curves(self.history).savefig(picture, dpi=120, bbox_inches="tight")
            log_picture(trainer, "train/health", picture)

    def _record(self, trainer: pl.Trainer) -> None:
        epoch, self._ended = self._ended, None
        if epoch is None:
            return
        for name, value in trainer.callback_metrics.items():
            if name.startswith("train/") and name.endswith(sum(PANELS.values(), ())):
                self._note(name, epoch, float(value))
        for name in MAKERS:
            self._watch_gradient(name, epoch)

    def _watch_gradient(self, name: str, epoch: int) -> None:
        norms = self.history.get(name, {})
        largest = max((norm for norm in norms.values() if math.isfinite(norm)), default=0.0)
        norm = norms.get(epoch, math.nan)
        self._watch(
            name,
            norm < VANISHED * largest,
            f"The generator no longer learns: {name} is {norm:.2g} in epoch {epoch} and was {largest:.2g} (expected at "
            f"least {VANISHED:g} of that); the discriminator is too sure: lower its lr or try model=wgan_gp.",
        )

    def _note(self, name: str, epoch: int, value: float) -> None:
        self.history.setdefault(name, {})[epoch] = value

    def _watch(self, fault: str, found: bool, sentence: str) -> None:
        if found and fault not in self.faults:
            log.warning(sentence)
        self.faults = sorted({*self.faults, fault} if found else {*self.faults} - {fault})


def diversity(images: Tensor) -> float:
    """Mean Euclidean distance between two of the images (N, C, H, W); 0 where there are fewer than two."""
    distances = torch.pdist(images.float().cpu().flatten(1))
    return float(distances.mean()) if len(distances) else 0.0


def alike(images: Tensor, radius: float) -> int:
    """The most of the images (N, C, H, W), N at least 1, that lie within the radius of one of them, itself included."""
    flat = images.float().cpu().flatten(1)
    return int((torch.cdist(flat, flat) <= radius).sum(1).max())


def curves(history: dict[str, dict[int, float]]):
    """A matplotlib figure with a panel for each kind of curve that there is. history: name -> epoch -> value."""
    kinds = {**PANELS, "diversity of samples / of data": (DIVERSITY,)}
    panels = {title: [n for n in sorted(history) if n.endswith(endings)] for title, endings in kinds.items()}
    panels = {title: names for title, names in panels.items() if names}
    figure = new_figure(figsize=(4.5 * len(panels), 3.2))
    for i, (title, names) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), i)
        for name in names:
            epochs, values = zip(*sorted(history[name].items()), strict=True)
            axes.plot(epochs, values, label=name.partition("/")[2], marker="." if len(epochs) < 30 else "")
        axes.set(xlabel="epoch", title=title)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        if title == "gradient norm" and any(v > 0 for name in names for v in history[name].values()):
            axes.set_yscale("log")
        if DIVERSITY in names:
            axes.axhline(COLLAPSED, color="grey", linestyle=":")
            axes.set_ylim(bottom=0)
    return figure
