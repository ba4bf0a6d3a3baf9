"""A user's own module with a fault in it."""

from torch import Tensor, nn


class Network(nn.Module):
    """Raises at the first batch."""

    def __init__(self, **facts: object) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, images: Tensor) -> Tensor:
        raise ZeroDivisionError("of the user's own module")
