"""What is exported of a module: a `Graph`, from one tensor to the answers, preprocessing inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor, nn

from lightloom.config.foreign import as_config, plain
from lightloom.config.instantiate import build_datamodule, import_target
from lightloom.core.discovery import discover
from lightloom.exporting.checks import of_values

Shape = tuple[int | str, ...]
Input = Tensor | tuple[Tensor, ...]  # what a graph takes: one tensor, or one for each of its inputs
EXAMPLES = 8  # inputs that are drawn to know their shape and their values


class Graph(nn.Module):
    """A module's answers to inputs. A capability is a subclass in a file of `lightloom.exporting.graphs`.

    shape: of the first input; a dimension with a name may be of any size. outputs: names of the answers, whose first
    dimension may be of any size. example: sizes of the named dimensions while the graph is recorded, two at least: a
    size of one would be taken for a constant.

    Of the class: input: name of the first input. labels: of further ones, int64 (B,). use: its name for `use=`. needs:
    the method that a module must have, in words. traced: what it does depends on what it sees, which only ONNX's older
    exporter records. refused: format -> why it cannot say it. of_data: its inputs are those of the data, with which a
    file is checked too. facts: of the data, for whoever asks the file.
    """

    use: str
    needs: str
    input = "inputs"
    labels: tuple[str, ...] = ()
    meaning = "float32 in [0, 1]"
    outputs: tuple[str, ...]
    facts: tuple[str, ...] = ("kind", "classes")
    traced = False
    refused: Mapping[str, str] = MappingProxyType({})
    of_data = True

    def __init__(self, module: Any, shape: Shape, example: tuple[int, ...] = (2,)) -> None:
        super().__init__()
        self.module, self.shape, self.example = module, shape, example
        self.eval()

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        """Can the module do it? data: the facts of the data that it was trained with."""
        return False

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        """The graph of a module that is accepted."""
        return cls(module, batch_shape(module, data) or ())

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of all inputs."""
        return (self.input, *self.labels)

    @property
    def free(self) -> dict[int, str]:
        """The dimensions that may be of any size, with their names."""
        return {i: size for i, size in enumerate(self.shape) if isinstance(size, str)}

    def sizes(self) -> list[tuple[int, ...]]:
        """Sizes of the free dimensions, other than the example's, that a recorded graph must be right at."""
        return [(1,), (3,)]

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Input:
        """A random input, a function of the seed and the sizes of the free dimensions."""
        return torch.rand(*self.filled(sizes), generator=torch.Generator().manual_seed(seed))

    def filled(self, sizes: tuple[int, ...]) -> list[int]:
        """The shape with these sizes of the free dimensions."""
        given = dict(zip(self.free, sizes, strict=True))
        return [given[i] if isinstance(size, str) else size for i, size in enumerate(self.shape)]

    def real(self, batch: Any) -> list[Tensor]:
        """Inputs from a batch of the data."""
        return [batch[0] if isinstance(batch, tuple | list) else batch]

    @contextmanager
    def recording(self) -> Iterator[None]:
        """While the graph is traced."""
        yield

    def difference(self, found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
        """Between a file's answers and these, relative to the largest value; infinite where their shapes differ."""
        return of_values(found, expected)

    def remark(self, inputs: Iterable[Any]) -> str | None:
        """What a comparison on these inputs does not tell."""
        return None


def several(x: Input) -> tuple[Tensor, ...]:
    """What a graph is called with."""
    return x if isinstance(x, tuple) else (x,)


def graphs() -> list[type[Graph]]:
    """All capabilities, in the order of their files."""
    found = discover("lightloom.exporting.graphs", "*.py")
    return [one for module in found for one in vars(module).values() if _is_own(one, module.__name__)]


def _is_own(found: Any, module: str) -> bool:
    return isinstance(found, type) and issubclass(found, Graph) and found.__module__ == module


def batch_shape(module: Any, data: Mapping[str, Any]) -> Shape | None:
    """Of a batch, as `example_of` has it; or None."""
    example = example_of(module, data)
    return None if example is None else ("batch", *example.shape[1:])


def example_of(module: Any, data: Mapping[str, Any]) -> Tensor | None:
    """A batch: Lightning's `example_input_array` of the module, else what its data draws (`Data.example`); or None.

    data: the configuration of a datamodule.
    """
    own = getattr(module, "example_input_array", None)
    if isinstance(own, Tensor):
        return own
    target = data.get("_target_")
    if target is None or not hasattr(import_target(str(target)), "example"):
        return None
    drawn = build_datamodule(as_config(plain(data))).example(EXAMPLES, 0)  # whoever asks has judged it
    return drawn if isinstance(drawn, Tensor) else None
