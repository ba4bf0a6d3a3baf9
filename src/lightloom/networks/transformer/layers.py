"""A layer of a Transformer: attention, then a network of each place alone, each with a residual and a norm."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lightloom.networks.transformer.attention import Cache, MultiHeadAttention
from lightloom.networks.transformer.positions import Rotary

Norm = Literal["pre", "post"]
Activation = Literal["gelu", "relu"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


class FeedForward(nn.Sequential):
    """Two linear maps of each place (B, T, dim), with `hidden` values between them.  Section 3.3, eq. 2."""

    def __init__(self, dim: int, hidden: int, activation: Activation = "gelu", bias: bool = True) -> None:
        super().__init__(nn.Linear(dim, hidden, bias), ACTIVATIONS[activation](), nn.Linear(hidden, dim, bias))


class Layer(nn.Module):
    """x (B, T, dim) to the same.

    norm: post, after the residual is added, as the paper has it; pre, before each part, which trains without warm-up
    (Xiong et al. 2020). dropout: of the attention's weights and of what each part adds.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        is_causal: bool = False,
        dropout: float = 0.0,
        norm: Norm = "pre",
        activation: Activation = "gelu",
        bias: bool = True,
        rotary: Rotary | None = None,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.attention = MultiHeadAttention(dim, heads, is_causal, dropout, bias, rotary)
        self.attention_norm = nn.LayerNorm(dim, bias=bias)
        self.feed_forward = FeedForward(dim, hidden, activation, bias)
        self.feed_forward_norm = nn.LayerNorm(dim, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, seen: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """seen, cache: as in MultiHeadAttention."""
        if self.norm == "pre":
            x = x + self.dropout(self.attention(self.attention_norm(x), seen, cache))
            return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))  # type: ignore[no-any-return]
        x = self.attention_norm(x + self.dropout(self.attention(x, seen, cache)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))  # type: ignore[no-any-return]
