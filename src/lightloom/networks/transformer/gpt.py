"""GPT: a stack of causal layers that predicts each token from those before it (Radford et al. 2018, 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import linear

from lightloom.core.errors import UserError
from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.transformer.attention import Cache
from lightloom.networks.transformer.layers import Activation, Layer, Norm
from lightloom.networks.transformer.positions import Positions, Rotary, added_positions

STD = 0.02  # of initial weights, as GPT-2 has it


class GPT(nn.Module):
    """Ids int64 (B, T), T at most block_size, to logits (B, T, vocab_size) of the id after each.

    tied: the logits are products with the vectors of the ids (Press & Wolf 2017). mlp_ratio: of hidden values between
    the two maps of a layer to `dim`. norm, activation: see `Layer`. positions: learned vectors, sinusoids, or rotary.
    Weights are initially N(0, 0.02^2), those that write into the residual less, by the root of how many do.
    """

    def __init__(
        self,
        vocab_size: Count,
        block_size: Count,
        layers: Count = 4,
        heads: Count = 4,
        dim: Count = 128,
        mlp_ratio: Count = 4,
        dropout: BelowOne = 0.0,
        positions: Positions = "learned",
        norm: Norm = "pre",
        activation: Activation = "gelu",
        tied: bool = True,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise UserError(
                f"model.network.dim {dim} is no multiple of 2 x {heads} heads; set model.network.heads or dim."
            )
        self.block_size = block_size
        self.embedding = nn.Embedding(vocab_size, dim)
        self.scale = math.sqrt(dim) if positions == "sinusoidal" else 1.0  # as Vaswani et al., section 3.4
        self.positions = added_positions(positions, block_size, dim)
        rotary = Rotary(block_size, dim // heads) if positions == "rotary" else None
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            Layer(dim, heads, mlp_ratio * dim, True, dropout, norm, activation, bias, rotary) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim, bias=bias) if norm == "pre" else nn.Identity()
        self.head = None if tied else nn.Linear(dim, vocab_size, bias=False)
        self._initialize()

    def forward(self, ids: Tensor, cache: Sequence[Cache] | None = None) -> Tensor:
        """cache: one of each layer, of `empty_cache` or of the ids before these; it knows these ids too afterwards."""
        x = self.states(ids, cache)
        return linear(x, self.embedding.weight) if self.head is None else self.head(x)

    def states(self, ids: Tensor, cache: Sequence[Cache] | None = None) -> Tensor:
        """What logits are linear in: a vector (B, T, dim) of each of ids, int64 (B, T), and those before it."""
        start = len(cache[0]) if cache else 0
        x = self.embedding(ids) * self.scale
        if self.positions is not None:
            x = x + self.positions(ids.shape[1], start)
        x = self.dropout(x)
        for i, layer in enumerate(self.layers):
            x = layer(x, cache=cache[i] if cache else None)
        return self.norm(x)  # type: ignore[no-any-return]

    def empty_cache(self) -> list[Cache]:
        """For ids that nothing was before."""
        return [Cache() for _ in self.layers]

    def _initialize(self) -> None:
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                writes = name.endswith(("attention.out.weight", "feed_forward.2.weight"))
                nn.init.normal_(weight, std=STD / math.sqrt(2 * len(self.layers)) if writes else STD)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)
