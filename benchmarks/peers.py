"""How others train: the loop of most tutorials, and Lightning as the usual templates use it. For throughput.py.

Each has a copy of the same network, the same optimizer and schedule, the same images and batches, and validates after
each epoch. `epoch()` trains one and returns what it cost. For grey images, as torchvision's FashionMNIST keeps them.
"""

from __future__ import annotations

import copy
import os
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import CSVLogger
from timing import Cost, now, since
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchmetrics import MaxMetric, MeanMetric
from torchmetrics.classification import MulticlassAccuracy
from torchvision import transforms
from torchvision.datasets import FashionMNIST

from lightloom.modules.optimization import total_steps
from lightloom.optim.param_groups import build_optimizer


def torchvision_loaders(module: Any, datamodule: Any) -> list[DataLoader]:
    """Training and validation images, one by one from torchvision's data set, through PIL and its transforms."""
    normalise = transforms.Normalize(datamodule.mean, datamodule.std)
    loaders = []
    for name, size in (("train", datamodule.batch_size), ("val", datamodule.eval_batch_size)):
        split = datamodule.split(name)
        dataset = FashionMNIST.__new__(FashionMNIST)  # its constructor would read the files again
        dataset.data, dataset.targets = split.images.squeeze(1), split.labels
        dataset.transform = transforms.Compose([transforms.ToTensor(), normalise])
        dataset.target_transform = None
        training = name == "train"
        loaders.append(DataLoader(dataset, size, shuffle=training, drop_last=training))
    return loaders


class UsualLoop:
    """Data set, transforms, DataLoader and a loop that sums up loss and accuracy."""

    def __init__(self, module: Any, datamodule: Any, trainer: pl.Trainer) -> None:
        self.network = copy.deepcopy(module.network)
        self.optimizer = build_optimizer(module.optimizer, self.network)
        self.scheduler = module.scheduler(self.optimizer, total_steps=total_steps(trainer))["scheduler"]
        self.train, self.val = torchvision_loaders(module, datamodule)

    def epoch(self) -> Cost:
        started = now()
        self.network.train()
        loss_sum = correct = 0.0
        for images, labels in self.train:
            self.optimizer.zero_grad()
            logits = self.network(images)
            loss = cross_entropy(logits, labels)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            loss_sum += loss.item() * len(images)
            correct += (logits.argmax(1) == labels).sum().item()
        self.validate()
        return since(started)

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        self.network.eval()
        loss = correct = 0.0
        for images, labels in self.val:
            logits = self.network(images)
            loss += cross_entropy(logits, labels, reduction="sum").item()
            correct += (logits.argmax(1) == labels).sum().item()
        return loss, correct


class TemplateModule(pl.LightningModule):
    """A module in the manner of lightning-hydra-template: metric objects, updated and logged on each step."""

    def __init__(self, network: nn.Module, num_classes: int, optimizer: Any, scheduler: Any) -> None:
        super().__init__()
        self.network, self.optimizer, self.scheduler = network, optimizer, scheduler
        self.losses = nn.ModuleDict({"train_": MeanMetric(), "val_": MeanMetric()})
        self.accuracies = nn.ModuleDict({s: MulticlassAccuracy(num_classes, average="micro") for s in self.losses})
        self.best = MaxMetric()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def step(self, batch: Any, stage: str) -> Tensor:
        images, labels = batch
        logits = self(images)
        loss = cross_entropy(logits, labels)
        self.losses[f"{stage}_"](loss)
        self.accuracies[f"{stage}_"](logits.argmax(1), labels)
        self.log(f"{stage}/loss", self.losses[f"{stage}_"], on_step=False, on_epoch=True, prog_bar=True)
        self.log(f"{stage}/acc", self.accuracies[f"{stage}_"], on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.step(batch, "train")

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        self.best(self.accuracies["val_"].compute())
        self.log("val/best", self.best.compute(), sync_dist=True, prog_bar=True)

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.optimizer, self.network)
        return {"optimizer": optimizer, "lr_scheduler": self.scheduler(optimizer)}


class Stopwatch(pl.Callback):
    """What an epoch costs, without what surrounds a fit."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.started = now()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.cost = since(self.started)


class TemplateStyle:
    """Its trainer: rich bar, CSV logger, checkpoint of the best and the last epoch, early stopping."""

    def __init__(self, module: Any, datamodule: Any, trainer: pl.Trainer) -> None:
        steps = total_steps(trainer)
        self.module = TemplateModule(
            copy.deepcopy(module.network),
            module.num_classes,
            module.optimizer,
            lambda optimizer: module.scheduler(optimizer, total_steps=steps),
        )
        self.loaders = torchvision_loaders(module, datamodule)
        self.folder = tempfile.TemporaryDirectory()
        self.watch = Stopwatch()
        # The bar draws into nothing, as fast as into any terminal.
        nowhere = Path(os.devnull).open("w")  # noqa: SIM115
        bar = RichProgressBar(console_kwargs={"force_terminal": True, "file": nowhere})
        self.trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=0,
            num_sanity_val_steps=0,
            default_root_dir=self.folder.name,
            logger=CSVLogger(self.folder.name),
            callbacks=[
                bar,
                self.watch,
                ModelCheckpoint(self.folder.name, monitor="val/acc", mode="max", save_last=True),
                EarlyStopping("val/acc", mode="max", patience=100),
            ],
            enable_model_summary=False,
        )

    def epoch(self) -> Cost:
        self.trainer.fit_loop.max_epochs += 1  # type: ignore[operator]
        self.trainer.fit(self.module, *self.loaders)
        return self.watch.cost
