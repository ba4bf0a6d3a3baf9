"""Pickles from the internet, as CIFAR's batches are: arrays and plain values are built of them, and nothing else."""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

import numpy as np

PLACES = ("PUT", "BINPUT", "LONG_BINPUT")  # of pickle's operations those that number what they have built


def unpickled(content: bytes) -> dict[Any, Any]:
    """The dictionary that a pickle holds: arrays, lists of numbers and names, whichever version of Python wrote it.

    Raises what pickle and NumPy please where there is none, or where it asks for more memory than it has bytes.
    """
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in PLACES and isinstance(argument, int) and argument > len(content):
            raise pickle.UnpicklingError(f"it numbers {argument:,} objects")  # for which pickle would make room
    found = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    return {key: _plain(values, len(content)) for key, values in found.items()}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and plain values only: a pickle from the internet must not run code."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {"_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}
        allowed |= {"scalar": np.uint8(0).__reduce__()[0], "_frombuffer": np.empty(1).__reduce_ex__(5)[0]}
        if (module, name) == ("_codecs", "encode"):  # bytes, as Python 3 writes them for protocol 2
            return _as_bytes
        if module.partition(".")[0] != "numpy" or name not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[name]


def _as_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for bytes in {encoding}")
    return text.encode("latin1")


def _plain(values: Any, most: int) -> Any:
    """Lists of numbers and names as Python has them, whichever version wrote them; images as they are. most: bytes."""
    if isinstance(values, np.ndarray) and values.nbytes > most:
        raise pickle.UnpicklingError(f"it states an array of {values.nbytes:,} bytes")
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values.tolist()
    if isinstance(values, list):
        return [v.decode() if isinstance(v, bytes) else v.item() if isinstance(v, np.generic) else v for v in values]
    return values
