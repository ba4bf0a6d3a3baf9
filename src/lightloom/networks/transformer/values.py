"""What a text is expected to come to, id by id."""

from __future__ import annotations

from torch import Tensor, nn


class Values(nn.Module):
    """A number for each of ids, linear in a causal network's state there; 0 at first.

    trunk: the network, whose output over the vocabulary is left out; None takes that which is given with the ids.
    dim: of its states.
    """

    def __init__(self, dim: int, trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(dim, 1)
        if trunk is not None:
            trunk.head = None  # type: ignore[assignment]
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, network: nn.Module) -> Tensor:
        """ids: int64 (B, T). Returns float (B, T)."""
        states = (self.trunk or network).states(ids)  # type: ignore[operator]
        return self.head(states)[..., 0]  # type: ignore[no-any-return]
