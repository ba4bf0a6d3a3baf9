"""Parts as other people write them: plain Lightning, with no thought of this project.

The pair for digits has the structure of lightning-hydra-template's MNIST module and datamodule; the two small modules
that of the autoencoder and the classifier in Lightning's own introduction.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics import MaxMetric, MeanMetric
from torchmetrics.classification import MulticlassAccuracy


class TheirDigits(pl.LightningDataModule):
    """scikit-learn's digits, 28 x 28: fetched in prepare_data, read and split in setup."""

    def __init__(self, folder: str, sizes: tuple[int, int, int] = (256, 64, 64), batch_size: int = 32) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.train: Any = None
        self.val: Any = None
        self.test: Any = None
        self.per_device = batch_size

    @property
    def file(self) -> Path:
        return Path(self.hparams.folder) / "digits.pt"

    def prepare_data(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with (self.file.parent / "prepared.txt").open("a") as note:
            note.write("once\n")
        digits = load_digits()
        small = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
        torch.save((F.interpolate(small, (28, 28)), torch.tensor(digits.target)), self.file)

    def setup(self, stage: str | None = None) -> None:
        if self.trainer is not None:
            self.per_device = self.hparams.batch_size // self.trainer.world_size
        if self.train is None:
            images, labels = torch.load(self.file)
            sizes = [*self.hparams.sizes, len(images) - sum(self.hparams.sizes)]
            parts = random_split(TensorDataset(images, labels), sizes, torch.Generator().manual_seed(42))
            self.train, self.val, self.test, _ = parts

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.per_device, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, self.per_device)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, self.per_device)


class DenseNet(nn.Module):
    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(784, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TheirClassifier(pl.LightningModule):
    """Metrics as attributes, an optimizer that wants its parameters, hyperparameters of its own."""

    ignored: tuple[str, ...] = ("net", "optimizer", "scheduler")

    def __init__(
        self, net: nn.Module, optimizer: Callable, scheduler: Callable | None = None, compile: bool = False
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=list(self.ignored))
        self.net, self.optimizer, self.scheduler = net, optimizer, scheduler
        self.train_acc, self.val_acc, self.test_acc = (MulticlassAccuracy(10) for _ in range(3))
        self.train_loss, self.val_loss, self.test_loss = (MeanMetric() for _ in range(3))
        self.val_acc_best = MaxMetric()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def on_train_start(self) -> None:
        self.val_loss.reset()
        self.val_acc.reset()

    def step(self, batch: tuple[Tensor, Tensor], stage: str) -> Tensor:
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        for name, value in (("loss", (loss,)), ("acc", (logits.argmax(1), y))):
            metric = getattr(self, f"{stage}_{name}")
            metric(*value)
            self.log(f"{stage}/{name}", metric, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self.step(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        self.val_acc_best(self.val_acc.compute())
        self.log("val/acc_best", self.val_acc_best.compute(), sync_dist=True)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.step(batch, "test")

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(params=self.parameters())
        if self.scheduler is None:
            return optimizer
        schedule = {"scheduler": self.scheduler(optimizer=optimizer), "monitor": "val/loss", "interval": "epoch"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class KeepsItsParts(TheirClassifier):
    """Saves all it is given, network and optimizer too."""

    ignored = ()


class LitAutoEncoder(pl.LightningModule):
    """A training step and an optimizer: the least that a LightningModule is."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(28 * 28, 64), nn.ReLU(), nn.Linear(64, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 28 * 28))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x = batch[0].flatten(1)
        loss = F.mse_loss(self.decoder(self.encoder(x)), x)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class LitClassifier(pl.LightningModule):
    """With an evaluation that logs, and returns nothing."""

    def __init__(self, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(28 * 28, 10)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val/acc", -self.loss(batch))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("test/loss", self.loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
