"""BERT: an encoder that sees a text from both sides (Devlin et al. 2019), to fill in what is masked, or to classify."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.embedding import PAD, counts
from lightloom.networks.transformer.gpt import STD
from lightloom.networks.transformer.layers import Activation, Layer, Norm
from lightloom.networks.transformer.positions import Learned

LONGER = 8  # ids by which a padded batch may be longer than the longest text


class Encoder(nn.Module):
    """Ids int64 (B, T), 0 after the end of each text, to a vector of the whole text and of each place: (B, 1 + T, dim).

    The id `vocab_size` is the mask. A vector of its own, the first, stands for the text.
    """

    def __init__(
        self,
        vocab_size: Count,
        max_length: Count,
        dim: Count = 128,
        heads: Count = 4,
        layers: Count = 2,
        mlp_ratio: Count = 4,
        dropout: BelowOne = 0.1,
        norm: Norm = "pre",
        activation: Activation = "gelu",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size + 1, dim, padding_idx=PAD)
        self.whole = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = Learned(max_length + LONGER, dim)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            Layer(dim, heads, mlp_ratio * dim, False, dropout, norm, activation) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim) if norm == "pre" else nn.Identity()
        initialize(self)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) + self.positions(ids.shape[1])
        x = self.dropout(torch.cat([self.whole.expand(x.shape[0], -1, -1), x], 1))
        inside = counts(ids)
        seen = torch.cat([inside[:, :1], inside], 1)[:, None, None]  # by each query: (B, 1, 1, 1 + T)
        for layer in self.layers:
            x = layer(x, seen)
        return self.norm(x)  # type: ignore[no-any-return]


class Bert(nn.Module):
    """Logits (B, T, vocab_size) of what stands at each place of ids int64 (B, T), some of which are masked."""

    def __init__(self, backbone: Encoder) -> None:
        super().__init__()
        self.backbone = backbone
        vocab_size, dim = backbone.embedding.num_embeddings - 1, backbone.embedding.embedding_dim
        self.transform = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim))
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        initialize(self.transform)

    def forward(self, ids: Tensor) -> Tensor:
        vectors = self.transform(self.backbone(ids)[:, 1:])
        return linear(vectors, self.backbone.embedding.weight[:-1], self.bias)


class BertClassifier(nn.Module):
    """Logits (B, num_classes) of texts, ids int64 (B, T), by the vector of the whole."""

    def __init__(self, backbone: Encoder, num_classes: Count) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.embedding.embedding_dim, num_classes)
        initialize(self.head)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.backbone(ids)[:, 0])  # type: ignore[no-any-return]


def initialize(network: nn.Module) -> None:
    """Matrices N(0, 0.02^2), biases of linear layers and the vector of padding 0."""
    for part in network.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=STD)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
        if isinstance(part, nn.Embedding):
            nn.init.zeros_(part.weight[PAD])
