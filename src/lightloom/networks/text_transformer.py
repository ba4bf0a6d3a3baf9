"""A Transformer encoder of texts (Vaswani et al. 2017), with a vector of its own for the class (Devlin et al. 2019)."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.embedding import Embedding, counts


class TextTransformer(nn.Module):
    """Ids int64 (B, T), padded with 0 on the right, to logits (B, num_classes). T is at most max_length, up to 8 more.

    Pre-norm layers (Xiong et al. 2020); places are learned vectors.
    """

    def __init__(
        self,
        vocab_size: Count,
        num_classes: Count,
        max_length: Count,
        dim: Count = 128,
        heads: Count = 4,
        layers: Count = 2,
        mlp_ratio: Count = 4,
        dropout: BelowOne = 0.1,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise UserError(f"model.network.dim {dim} is not divisible by {heads} heads; set model.network.heads.")
        self.embedding = Embedding(vocab_size, dim, scale=0.02)
        self.places = nn.Parameter(torch.empty(1, max_length + 8, dim).normal_(std=0.02))
        self.of_class = nn.Parameter(torch.zeros(1, 1, dim))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(dim, heads, mlp_ratio, qkv_bias=True, proj_drop=dropout, attn_drop=dropout) for _ in range(layers)
        )
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) + self.places[:, : ids.shape[1]]
        x = self.dropout(torch.cat([self.of_class.expand(x.shape[0], -1, -1), x], 1))
        inside = counts(ids)
        seen = torch.cat([inside[:, :1], inside], 1)[:, None, None]  # by each query: (B, 1, 1, T + 1)
        for block in self.blocks:
            x = block(x, attn_mask=seen)
        return self.head(self.norm(x[:, 0]))  # type: ignore[no-any-return]
