"""Compile-time numbers: numpy arrays computed in float64, rounded once to the type they stand for.

Elementwise arithmetic on large arrays is put off and done in pieces when the result is rounded, so that a folded weight
never has a float64 copy of itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

from vggc.diagnostics import Declined
from vggc.graph.arrays import Array

Elementwise = Callable[..., Array]

_EAGER = 1 << 16
_PIECE = 1 << 20
_FLOATS = ("float64", "float32", "bfloat16", "float16")
"""Float types by how much they can hold."""


class Numbers:
    """An array of floats (computed as float64), integers (int64) or truth values.

    `dtype` is the type of the weights it comes from, None for numbers that the rule itself writes: those take the type
    of what they are combined with.
    """

    __slots__ = ("_array", "_make", "_operands", "dtype", "kind", "shape")

    def __init__(self, array: Array, dtype: np.dtype[Any] | None) -> None:
        self.shape: tuple[int, ...] = array.shape
        self.dtype = dtype
        self.kind = kind_of(array.dtype)
        self._array: Array | None = array
        self._make: Elementwise | None = None
        self._operands: tuple[Numbers, ...] = ()

    @classmethod
    def of(cls, array: Array) -> Numbers:
        """Those of a weight, which stand for its type."""
        return cls(array, array.dtype)

    @classmethod
    def written(cls, value: Any) -> Numbers:
        """Those a rule writes: a number, a truth value or a list of them."""
        return cls(np.asarray(value), None)

    @classmethod
    def later(cls, make: Elementwise, operands: tuple[Numbers, ...], shape: tuple[int, ...], kind: str) -> Numbers:
        """What `make` computes of the operands, element by element, when it is needed."""
        found = cls.__new__(cls)
        found.shape, found.kind, found.dtype = shape, kind, promoted(operands)
        found._array, found._make, found._operands = None, make, operands
        return found

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def leaf(self) -> Array | None:
        """The array as it is stored, when nothing is left to compute."""
        return self._array

    def exact(self) -> Array:
        """All elements as float64, int64 or bool."""
        if self._array is None:
            self._array = self._rows(0, self.shape[0] if self.shape else 1)
        return widened(self._array)

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        """The elements, exact, in pieces along the first axis."""
        rows = self.shape[0] if self.shape else 1
        step = max(1, _PIECE * rows // max(1, self.size))
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            yield slice(start, stop), self._rows(start, stop)

    def _rows(self, start: int, stop: int) -> Array:
        """Rows `start` to `stop` of the first axis; an axis of length 1 stands for any row."""
        if self._array is not None:
            return widened(self._array[start:stop] if self.shape else self._array)
        assert self._make is not None
        parts = []
        for each in self._operands:
            aligned = each.ndim == self.ndim and each.ndim > 0 and each.shape[0] == self.shape[0]
            parts.append(each._rows(start, stop) if aligned else each.exact())
        with np.errstate(all="ignore"):
            return np.asarray(self._make(*parts))


def kind_of(dtype: np.dtype[Any]) -> str:
    """`f`, `i` or `b`. Raises Declined for types without arithmetic: texts, complex numbers."""
    if dtype.kind in "fib":
        return dtype.kind
    if dtype.kind == "u":
        return "i"
    if dtype.kind == "V" and dtype.names is None:
        return "f" if "float" in dtype.name else "i"
    raise Declined(f"arithmetic does not work on {'texts' if dtype.kind in 'OUST' else dtype.name}")


def widened(array: Array) -> Array:
    """The array in the type that arithmetic uses."""
    kind = kind_of(array.dtype)
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise Declined("a number of type uint64 is too large for arithmetic")
    return array.astype({"f": np.float64, "i": np.int64, "b": np.bool_}[kind], copy=False)


def promoted(operands: tuple[Numbers, ...]) -> np.dtype[Any] | None:
    """The type of a result: the widest type of floats among the operands, else of integers; None if none has one."""
    strong = [each.dtype for each in operands if each.dtype is not None]
    floats = [each for each in strong if kind_of(each) == "f"]
    if floats:
        if len({each.name for each in floats}) == 1:
            return floats[0]
        if {each.name for each in floats} == {"bfloat16", "float16"}:
            return np.dtype(np.float32)
        known = [each for each in floats if each.name in _FLOATS]
        return min(known or floats, key=lambda each: _FLOATS.index(each.name) if each.name in _FLOATS else 9)
    integers = [each for each in strong if kind_of(each) == "i"]
    if any(each.kind == "f" for each in operands):
        return None
    return max(integers, key=lambda each: (each.itemsize, each.kind == "i"), default=None)


def elementwise(make: Elementwise, *operands: Numbers, kind: str, limit: int) -> Numbers:
    """What `make` computes of broadcast operands. Raises Declined when shapes do not fit or the result is too large."""
    shape = broadcast(*(each.shape for each in operands))
    within(math.prod(shape), limit)
    found = Numbers.later(make, operands, shape, kind)
    if found.size <= _EAGER:
        found.exact()
    return found


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of arrays combined element by element."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(list(each)) for each in shapes)
        raise Declined(f"numbers of shapes {listed} cannot be combined") from None


def within(size: int, limit: int) -> None:
    """Raise Declined for a result of more elements than the limit."""
    if size > limit:
        raise Declined(f"a result has {size:,} numbers, more than the {limit:,} allowed for weights of this size")


def rounded(numbers: Numbers, dtype: np.dtype[Any]) -> Array:
    """The numbers in a type, each rounded once.

    Raises Declined when the type cannot hold them: they overflow, are not finite, are no whole numbers, or so small
    that the type keeps few of their digits.
    """
    leaf = numbers.leaf
    if leaf is not None and leaf.dtype == dtype:
        return leaf
    if kind_of(dtype) == "f":
        return _rounded_floats(numbers, dtype)
    exact = numbers.exact()
    if kind_of(dtype) == "b":
        if numbers.kind != "b":
            raise Declined("numbers are not truth values")
        return exact
    if numbers.kind == "f":
        if not np.isfinite(exact).all() or (exact != np.rint(exact)).any() or (np.abs(exact) >= 2.0**63).any():
            raise Declined(f"numbers that are not whole do not fit {dtype.name}")
        exact = exact.astype(np.int64)
    exact = exact.astype(np.int64, copy=False)
    limits = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]
    if exact.size and (int(exact.min()) < int(limits.min) or int(exact.max()) > int(limits.max)):
        raise Declined(f"numbers from {exact.min()} to {exact.max()} do not fit {dtype.name}")
    return exact.astype(dtype)


def _rounded_floats(numbers: Numbers, dtype: np.dtype[Any]) -> Array:
    out = np.empty(numbers.shape, dtype)
    error = total = 0.0
    with np.errstate(all="ignore"):
        for rows, exact in numbers.pieces():
            piece = exact.astype(np.float64, copy=False).astype(dtype)
            lost = piece.astype(np.float64) - exact
            error += float(np.square(lost).sum())
            total += float(np.square(exact.astype(np.float64, copy=False)).sum())
            if out.ndim:
                out[rows] = piece
            else:
                out[()] = piece
    roundoff = float(ml_dtypes.finfo(dtype).eps) / 2  # type: ignore[no-untyped-call]
    # NaN and infinity fail the comparison, and so do numbers so small that the type keeps few of their digits.
    if not error <= (2 * roundoff) ** 2 * total:
        raise Declined(f"the numbers computed do not fit {dtype.name}")
    return out
