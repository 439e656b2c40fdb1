"""What the numbers of a weight look like: their limits, mean, spread, and the share of zeros."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph.arrays import Array
from vggc.graph.signature import shape_text, type_text
from vggc.graph.weights import StoredWeights

_FEW = 8
"""Constants of at most this many numbers are shown as numbers."""

_RUNS, _RUN = 256, 256
"""A weight of more numbers than the product is read in so many runs of so many numbers, at equal distances.

Single numbers at equal distances would bring every page of a stored weight into memory.
"""

_DIGITS = 4


@dataclass(frozen=True)
class WeightStatistics:
    """A constant input of a node. `kind` is its type and shape.

    numbers  the numbers themselves as text, when there are at most 8
    summary  minimum, maximum, mean, standard deviation, share of zeros; empty when a number is not finite
    read     how many numbers the summary is made from, which is less than the size of a large weight
    size     how many numbers there are
    """

    name: str
    kind: str
    numbers: str
    summary: tuple[float, ...]
    read: int
    size: int


def weight_statistics(value: gs.Constant) -> WeightStatistics | None:
    """The statistics of a constant; None when its numbers cannot be read, as those of sparse tensors."""
    # Not graph.array: a graph keeps what that reads in memory, and writes it in another way.
    held = value._values
    if not isinstance(held, np.ndarray | StoredWeights):
        return None
    array = held.load() if isinstance(held, StoredWeights) else held
    kind = f"{type_text(array.dtype)} {shape_text(array.shape)}"
    name = str(value.name)
    if array.size <= _FEW:
        return WeightStatistics(name, kind, str(array.tolist()), (), array.size, array.size)
    if array.dtype.kind not in "fiubV":
        return WeightStatistics(name, kind, "", (), 0, array.size)
    flat = _some(array.reshape(-1))
    return WeightStatistics(name, kind, "", _summary(flat), flat.size, array.size)


def _some(flat: Array) -> Array:
    """All numbers (numbers,), or runs of them where they are many."""
    if flat.size <= _RUNS * _RUN:
        return flat
    starts = np.linspace(0, flat.size - _RUN, _RUNS).astype(np.int64)
    return np.concatenate([flat[start : start + _RUN] for start in starts])


def _summary(flat: Array) -> tuple[float, ...]:
    # Types of ml_dtypes have no functions of their own for this.
    numbers = flat.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = (
            numbers.min(),
            numbers.max(),
            numbers.mean(),
            numbers.std(),
            np.count_nonzero(numbers == 0) / numbers.size,
        )
    rounded = tuple(_rounded(float(each)) for each in parts)
    return rounded if all(map(math.isfinite, rounded)) else ()


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")
