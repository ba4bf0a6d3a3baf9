"""The Transformer: an encoder that reads one text, a decoder that writes another (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import linear

from lightloom.core.errors import UserError
from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.embedding import counts
from lightloom.networks.transformer.attention import Cache, CrossAttention, MultiHeadAttention
from lightloom.networks.transformer.gpt import STD
from lightloom.networks.transformer.layers import Activation, FeedForward, Layer, Norm
from lightloom.networks.transformer.positions import Learned, Positions, Rotary, Sinusoids, added_positions

LONGER = 16  # ids by which a padded batch, with a sign for the beginning and the end, may be longer than a text


@dataclass
class Memory:
    """What a decoder knows of the texts that it translates. seen: bool (B, 1, 1, S), what is no padding.

    keys_and_values: of each layer, (B, heads, S, d) each. caches: of each layer, of the ids that were written; none
    where all ids are given anew.
    """

    seen: Tensor
    keys_and_values: list[tuple[Tensor, Tensor]]
    caches: list[Cache] | None

    def pick(self, rows: Tensor) -> None:
        """Go on with these rows of the batch, int64 (B',)."""
        self.seen = self.seen[rows]
        self.keys_and_values = [(keys[rows], values[rows]) for keys, values in self.keys_and_values]
        for cache in self.caches or ():
            cache.pick(rows)


class DecoderLayer(nn.Module):
    """x (B, T, dim) to the same: attention to what was written, to what is translated, and a network of each place.

    norm, dropout: as in `Layer`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        dropout: float = 0.0,
        norm: Norm = "pre",
        activation: Activation = "relu",
        rotary: Rotary | None = None,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.attention = MultiHeadAttention(dim, heads, True, dropout, rotary=rotary)
        self.attention_norm = nn.LayerNorm(dim)
        self.cross_attention = CrossAttention(dim, heads, dropout)
        self.cross_attention_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, hidden, activation)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], seen: Tensor, cache: Cache | None = None) -> Tensor:
        """memory, seen: as in CrossAttention. cache: as in MultiHeadAttention."""
        x = self.looked_back(x, cache)
        if self.norm == "pre":
            x = x + self.dropout(self.cross_attention(self.cross_attention_norm(x), memory, seen))
            return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))  # type: ignore[no-any-return]
        x = self.cross_attention_norm(x + self.dropout(self.cross_attention(x, memory, seen)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))  # type: ignore[no-any-return]

    def looked_back(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """The first part: what each place makes of itself and those before, (B, T, dim)."""
        if self.norm == "pre":
            return x + self.dropout(self.attention(self.attention_norm(x), cache=cache))  # type: ignore[no-any-return]
        return self.attention_norm(x + self.dropout(self.attention(x, cache=cache)))  # type: ignore[no-any-return]

    def weights(self, x: Tensor, memory: tuple[Tensor, Tensor], seen: Tensor) -> Tensor:
        """How each place of x looks at the text that is translated, (B, heads, T, S)."""
        x = self.looked_back(x)
        return self.cross_attention.weights(self.cross_attention_norm(x) if self.norm == "pre" else x, memory, seen)


class EncoderDecoder(nn.Module):
    """Ids of a text, int64 (B, S), and of what is written of it, (B, T), to logits (B, T, vocab_size) of the id after
    each. 0 is what follows the end of either.

    tied: one vector for an id in the source, in the target and in the output (section 3.4). max_length: ids of a text,
    without the signs for its beginning and end. positions: sinusoids, as in the paper, learned vectors, or rotary.
    Linear maps begin as Glorot & Bengio 2010 have it, vectors of ids N(0, 0.02^2).
    """

    def __init__(
        self,
        vocab_size: Count,
        max_length: Count,
        encoder_layers: Count = 3,
        decoder_layers: Count = 3,
        heads: Count = 4,
        dim: Count = 128,
        mlp_ratio: Count = 4,
        dropout: BelowOne = 0.1,
        positions: Positions = "sinusoidal",
        norm: Norm = "pre",
        activation: Activation = "relu",
        tied: bool = True,
    ) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise UserError(
                f"model.network.dim {dim} is no multiple of 2 x {heads} heads; set model.network.heads or dim."
            )
        self.max_length, longest = max_length, max_length + LONGER
        self.source = nn.Embedding(vocab_size, dim)
        self.target = self.source if tied else nn.Embedding(vocab_size, dim)
        self.head = None if tied else nn.Linear(dim, vocab_size, bias=False)
        self.scale = math.sqrt(dim) if positions == "sinusoidal" else 1.0
        self.source_positions = added_positions(positions, longest, dim)
        self.target_positions = added_positions(positions, longest, dim)
        rotary = Rotary(longest, dim // heads) if positions == "rotary" else None
        self.dropout = nn.Dropout(dropout)
        layer = (dim, heads, mlp_ratio * dim)
        self.encoder = nn.ModuleList(
            Layer(*layer, False, dropout, norm, activation, rotary=rotary) for _ in range(encoder_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(*layer, dropout, norm, activation, rotary) for _ in range(decoder_layers)
        )
        self.encoder_norm = nn.LayerNorm(dim) if norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(dim) if norm == "pre" else nn.Identity()
        self._initialize()

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, self.encode(source))

    def encode(self, source: Tensor, cached: bool = False) -> Memory:
        """What the decoder is to know of texts, int64 (B, S). cached: it will be given each id that is written once."""
        seen = counts(source)[:, None, None]  # by each query: (B, 1, 1, S)
        x = self._embedded(source, self.source, self.source_positions)
        for layer in self.encoder:
            x = layer(x, seen)
        x = self.encoder_norm(x)
        remembered = [layer.cross_attention.remember(x) for layer in self.decoder]  # type: ignore[operator, union-attr]
        return Memory(seen, remembered, [Cache() for _ in self.decoder] if cached else None)

    def decode(self, target: Tensor, memory: Memory) -> Tensor:
        """Logits (B, T, vocab_size) of the id after each of target, int64 (B, T): those that the caches do not know."""
        caches: Sequence[Cache | None] = memory.caches or [None] * len(self.decoder)
        x = self._embedded(target, self.target, self.target_positions, len(memory.caches[0]) if memory.caches else 0)
        for layer, known, cache in zip(self.decoder, memory.keys_and_values, caches, strict=True):
            x = layer(x, known, memory.seen, cache)
        x = self.decoder_norm(x)
        return linear(x, self.target.weight) if self.head is None else self.head(x)

    def alignment(self, source: Tensor, target: Tensor) -> Tensor:
        """How the last layer, its heads on average, looks at source while it predicts what follows each of target.

        (B, T, S), rows that sum to 1, 0 at padding of the source.
        """
        memory = self.encode(source)
        x = self._embedded(target, self.target, self.target_positions)
        *before, last = zip(self.decoder, memory.keys_and_values, strict=True)
        for layer, known in before:
            x = layer(x, known, memory.seen)
        return last[0].weights(x, last[1], memory.seen).mean(1)  # type: ignore[operator, no-any-return]

    def _embedded(
        self, ids: Tensor, embedding: nn.Embedding, positions: Learned | Sinusoids | None, start: int = 0
    ) -> Tensor:
        x = embedding(ids) * self.scale
        return self.dropout(x if positions is None else x + positions(ids.shape[1], start))  # type: ignore[no-any-return]

    def _initialize(self) -> None:
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            elif isinstance(part, nn.Embedding):
                nn.init.normal_(part.weight, std=STD)
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=STD)
