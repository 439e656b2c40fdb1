"""How much two arrays differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vggc.graph.arrays import Array, Bools
from vggc.graph.signature import shape_text

_BLOCK = 1 << 22
"""How many elements are compared at a time, in float64."""


@dataclass(frozen=True)
class Distance:
    """`error` is max|a - b| / max|a| for floats, the share of elements that differ for everything else.

    Infinite when the arrays cannot be subtracted: other shapes, or NaN or infinity in other places. `index`, `before`
    and `after` tell of the element where it is largest.
    """

    error: float
    index: tuple[int, ...] = ()
    before: Any = None
    after: Any = None
    note: str = ""

    def __str__(self) -> str:
        if not self.error:
            return "equal"
        what = self.note or f"relative error {self.error:.2g}"
        if self.before is None:
            return what
        return f"{what}: {_text(self.before)} became {_text(self.after)} at {list(self.index)}"


def distance(before: Array, after: Array) -> Distance:
    """How far `after` is from `before`, two arrays of one shape.

    Where `before` is zero throughout, the error is the largest difference.
    """
    if before.shape != after.shape:
        return Distance(math.inf, note=f"shape {shape_text(before.shape)} became {shape_text(after.shape)}")
    if before.dtype != after.dtype:
        return Distance(math.inf, note=f"type {before.dtype} became {after.dtype}")
    if before.size == 0:
        return Distance(0.0)
    if has_fractions(before.dtype):
        return _floats(before, after)
    different = before != after
    count = int(np.count_nonzero(different))
    if not count:
        return Distance(0.0)
    at = _index(before, int(np.argmax(different)))
    note = f"{count} of {before.size} elements differ"
    return Distance(count / before.size, at, before[at], after[at], note)


def has_fractions(dtype: np.dtype[Any]) -> bool:
    """Whether numbers of a type are rounded: floats and complex numbers, those that numpy itself lacks among them."""
    return dtype.kind in "fcV" and "int" not in dtype.name


def same_class(before: Array, after: Array) -> Bools:
    """Where two arrays of logits, (samples, classes, *places), choose the same class: (samples, *places).

    Integers, and arrays of one dimension, hold the classes themselves. NaN agrees with nothing.
    """
    one, other = _chosen(before), _chosen(after)
    agree: Bools = (one == other) & (one >= 0)
    return agree


def _chosen(logits: Array) -> Array:
    """The class of each sample (or place); -1 where there is a NaN."""
    logits = searchable(logits)
    if logits.ndim < 2 or logits.dtype.kind in "iub":
        return logits
    best: Array = np.argmax(logits, axis=1)
    best[np.isnan(logits).any(axis=1)] = -1
    return best


def searchable(array: Array) -> Array:
    """The array in its own shape: bfloat16 and float8 as float32, which numpy can search."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _floats(before: Array, after: Array) -> Distance:
    old, new = np.ascontiguousarray(before).reshape(-1), np.ascontiguousarray(after).reshape(-1)
    scale = largest = 0.0
    worst = 0
    for at in range(0, old.size, _BLOCK):
        a, b = _wide(old[at : at + _BLOCK]), _wide(new[at : at + _BLOCK])
        finite = np.isfinite(a) & np.isfinite(b)
        if not finite.all():
            same = finite | (a == b) | (np.isnan(a) & np.isnan(b))
            if not same.all():
                return _lost(before, after, at + int(np.argmin(same)))
            a, b = np.where(finite, a, 0), np.where(finite, b, 0)
        gap = np.abs(a - b)
        scale = max(scale, float(np.abs(a).max()))
        place = int(np.argmax(gap))
        if gap[place] > largest:
            largest, worst = float(gap[place]), at + place
    index = _index(before, worst)
    return Distance(largest / scale if scale else largest, index, before[index], after[index])


def _lost(before: Array, after: Array, position: int) -> Distance:
    index = _index(before, position)
    finite = bool(np.isfinite(_wide(before[index])))
    note = "numbers became NaN or infinite" if finite else "NaN or infinity is in other places"
    return Distance(math.inf, index, before[index], after[index], note)


def _wide(array: Any) -> Array:
    return np.asarray(array).astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _index(array: Array, position: int) -> tuple[int, ...]:
    return tuple(int(each) for each in np.unravel_index(position, array.shape))


def _text(number: Any) -> str:
    if isinstance(number, str):
        return repr(str(number))
    if np.asarray(number).dtype.kind in "biu":
        return str(number)
    return f"{complex(number):.7g}" if np.iscomplexobj(number) else f"{float(number):.7g}"
