"""A kind of data that this project has never heard of: characters of a text, and a network that foretells the next."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from lightloom.data.identity import Identity, of_text
from lightloom.data.loading import Batches, KeyedDataModule, evaluation_order, training_order

TEXT = "the quick brown fox jumps over the lazy dog; " * 60
PARTS = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}


@dataclass(frozen=True)
class Windows:
    """Every `length` characters of a text."""

    text: str
    starts: Tensor
    length: int
    labelled: bool = True

    def __len__(self) -> int:
        return len(self.starts)

    def identity(self) -> Identity:
        return of_text("".join(self.text[i : i + self.length] for i in self.starts.tolist()))

    def pick(self, indices: Tensor) -> "Windows":
        return Windows(self.text, self.starts[indices], self.length)


class Encoded(Dataset):
    def __init__(self, windows: Windows, vocabulary: dict[str, int]) -> None:
        self.windows, self.codes = windows, torch.tensor([vocabulary[c] for c in windows.text])

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        offsets = torch.arange(self.windows.length)
        return self.codes[self.windows.starts[batch[0]][:, None] + offsets]


class Text(KeyedDataModule):
    """Batches int64 (B, length)."""

    must_match: ClassVar[tuple[str, ...]] = ("vocab_size", "state_sha256")

    def __init__(
        self,
        name: str,
        kind: str,
        vocab_size: int | None = None,
        length: int = 9,
        batch_size: int = 16,
        eval_batch_size: int = 16,
        seed: int = 0,
        shuffle: bool = True,
        text: str = TEXT,
    ) -> None:
        super().__init__()
        self.name, self.kind, self.length, self.text = name, kind, length, text
        self.batch_size, self.eval_batch_size, self.seed, self.shuffle = batch_size, eval_batch_size, seed, shuffle
        self.vocabulary = {c: i for i, c in enumerate(sorted(set(text)))}

    def facts(self) -> dict[str, Any]:
        return {"vocab_size": len(self.vocabulary)}

    def state(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary}

    def split(self, name: str) -> Windows:
        low, high = (int(share * (len(self.text) - self.length)) for share in PARTS[name])
        return self.splits.setdefault(name, Windows(self.text, torch.arange(low, high, 3), self.length))

    def train_dataloader(self) -> Batches:
        train = self.split("train")
        return Batches(Encoded(train, self.vocabulary), training_order(self, len(train)))

    def eval_loader(self, name: str) -> Batches:
        split = self.split(name)
        return Batches(Encoded(split, self.vocabulary), evaluation_order(self, len(split), name))


class NextCharacter(pl.LightningModule):
    """An LSTM over characters."""

    def __init__(self, vocab_size: int, embedding: nn.Module, width: int = 12, dropout: float = 0.2) -> None:
        super().__init__()
        self.embedding, self.dropout = embedding, nn.Dropout(dropout)
        self.lstm = nn.LSTM(embedding.embedding_dim, width, batch_first=True)
        self.head = nn.Linear(width, vocab_size)

    def loss(self, batch: Tensor) -> Tensor:
        hidden, _ = self.lstm(self.dropout(self.embedding(batch[:, :-1])))
        return cross_entropy(self.head(hidden).flatten(0, 1), batch[:, 1:].flatten())

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch), batch_size=len(batch))

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("test/loss", self.loss(batch), batch_size=len(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)
