"""Files in batches: what can be read, in order; and results of batches in which images have several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightloom.core.errors import UserError
from lightloom.data.loading import loader
from lightloom.data.sampling import EvenBatches
from lightloom.predict.faults import Faults

Readable = tuple[list[int], list[Tensor], list[tuple[int, str]]]


class ReadableItems(Dataset[Readable]):
    """An item for a batch is the numbers of the files that can be read, what they hold, and why others cannot."""

    def __init__(self, read: Callable[[int], Tensor]) -> None:
        self.read = read

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Readable:
        numbers: list[int] = []
        found: list[Tensor] = []
        wrong: list[tuple[int, str]] = []
        for number in batch[0].tolist():
            try:
                found.append(self.read(number))
                numbers.append(number)
            except UserError as error:
                wrong.append((number, str(error)))
        return numbers, found, wrong


def readable(
    read: Callable[[int], Tensor], names: Sequence[str], size: int, num_workers: int, faults: Faults
) -> Iterator[tuple[list[int], list[Tensor]]]:
    """Numbers of the files that can be read, and what they hold, in order and up to `size` at a time.

    read: the file of a number, or UserError, which is noted in `faults` by its name.
    """
    for numbers, found, wrong in loader(ReadableItems(read), EvenBatches(len(names), size), num_workers, seed=0):
        for number, reason in wrong:
            faults.add(names[number], reason)
        if numbers:
            yield numbers, found


def by_shape(find: Callable[[list[Tensor]], list[Any]], images: Sequence[Tensor]) -> list[Any]:
    """A result for each image, in order; images of one shape are looked at together.

    Of several shapes a detector pads all but the largest, and finds something else than in each alone.
    """
    groups: dict[torch.Size, list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(image.shape, []).append(number)
    results: list[Any] = [None] * len(images)
    for numbers in groups.values():
        for number, result in zip(numbers, find([images[i] for i in numbers]), strict=True):
            results[number] = result
    return results
