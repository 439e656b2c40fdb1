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

_MOST = 1 << 16
"""The most numbers of a weight that are read; of a larger one, numbers at equal distances."""

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
    flat = array.reshape(-1)[:: max(1, math.ceil(array.size / _MOST))]
    return WeightStatistics(name, kind, "", _summary(flat), flat.size, array.size)


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
