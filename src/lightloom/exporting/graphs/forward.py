"""Of a module that is none of the others: its `forward`, on an example of its own or of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor

from lightloom.exporting.contract import Graph, Shape, example_of, graphs


class Forward(Graph):
    """A batch, as the module's example_input_array has it or its data draws it, to what the module's forward returns.

    values: of which inputs are drawn.
    """

    use, needs, input = "forward", "forward, and a tensor example_input_array or data with example()", "inputs"

    def __init__(
        self, module: Any, shape: Shape, example: tuple[int, ...] = (2,), values: Tensor | None = None
    ) -> None:
        super().__init__(module, shape, example)
        self.values: Tensor = module.example_input_array if values is None else values
        self.meaning = f"{str(self.values.dtype).removeprefix('torch.')}, as in training"
        with torch.no_grad():
            count = len(self(self.draw(0, self.example)))
        self.outputs = ("output",) if count == 1 else tuple(f"output_{i}" for i in range(count))

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        if isinstance(getattr(module, "example_input_array", None), Tensor):
            return True
        if any(one.accepts(module, data) for one in graphs() if one is not cls):
            return False
        return is_overridden("forward", module, pl.LightningModule) and example_of(module, data) is not None

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        values = example_of(module, data)
        assert values is not None
        return cls(module, ("batch", *values.shape[1:]), values=values)

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        found = self.module(inputs)
        return tuple(found) if isinstance(found, tuple | list) else (found,)

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Tensor:
        """Values of the example at random places: of its type and in its range, as tokens have to be."""
        shape, values = self.filled(sizes), self.values.flatten().cpu()
        generator = torch.Generator().manual_seed(seed)
        return values[torch.randint(len(values), shape, generator=generator)]
