"""Of a module that is none of the others: its `forward`, where it has Lightning's `example_input_array`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightloom.exporting.contract import Graph, Shape


class Forward(Graph):
    """A batch, as the module's example_input_array has it, to what the module's forward returns."""

    use, needs, input = "forward", "forward and a tensor example_input_array", "inputs"

    def __init__(self, module: Any, shape: Shape, example: tuple[int, ...] = (2,)) -> None:
        super().__init__(module, shape, example)
        self.values: Tensor = module.example_input_array
        self.meaning = f"{str(self.values.dtype).removeprefix('torch.')}, as in training"
        with torch.no_grad():
            count = len(self(self.draw(0, self.example)))
        self.outputs = ("output",) if count == 1 else tuple(f"output_{i}" for i in range(count))

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return isinstance(getattr(module, "example_input_array", None), Tensor)

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        found = self.module(inputs)
        return tuple(found) if isinstance(found, tuple | list) else (found,)

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Tensor:
        """Values of the example at random places: of its type and in its range, as tokens have to be."""
        shape, values = self.filled(sizes), self.values.flatten().cpu()
        generator = torch.Generator().manual_seed(seed)
        return values[torch.randint(len(values), shape, generator=generator)]
