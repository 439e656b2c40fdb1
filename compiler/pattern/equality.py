"""Decide when two values or attributes of a graph are equal in a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.pattern.values import Absent


def is_number(graph: Graph, value: gs.Tensor, number: float) -> bool:
    """Whether a value is a constant all of whose elements are a number, rounded to its type."""
    dtype = graph.dtype(value)
    if not isinstance(value, gs.Constant) or dtype is None or dtype.kind in "OUSTcb":
        return False
    array = graph.array(value)
    if array is None or not array.size:
        return False
    with np.errstate(all="ignore"):
        wanted = np.asarray(number).astype(dtype)
    if float(wanted.astype(np.float64)) != number and dtype.kind in "iu":
        return False
    return bool(array.flat[0] == wanted) and bool((array == wanted).all())


def enlarges(graph: Graph, value: gs.Constant, beside: Sequence[gs.Tensor]) -> bool:
    """Whether a constant may give an element-by-element result more elements or axes than the other inputs give it."""
    shape = [int(size) for size in value.shape]
    others = [found for each in beside if (found := graph.shape(each)) is not None]
    for at in range(1, len(shape) + 1):
        sizes = [each[-at] for each in others if len(each) >= at]
        if not sizes or (shape[-at] != 1 and shape[-at] not in sizes):
            return True
    return False


def same(graph: Graph, one: Any, other: Any) -> bool:
    """Whether a name may stand for both: the same value, constants of equal content, or equal attributes."""
    if one is other:
        return True
    if isinstance(one, gs.Constant) and isinstance(other, gs.Constant):
        return _equal_constants(graph, one, other)
    if isinstance(one, gs.Tensor | gs.Node) or isinstance(other, gs.Tensor | gs.Node):
        return False
    if isinstance(one, Absent) or isinstance(other, Absent):
        return isinstance(one, Absent) and isinstance(other, Absent)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(same(graph, *each) for each in zip(one, other, strict=True))
    return same_attribute(one, other)


def _equal_constants(graph: Graph, one: gs.Constant, other: gs.Constant) -> bool:
    if one.dtype != other.dtype or list(one.shape) != list(other.shape):
        return False
    first, second = graph.array(one), graph.array(other)
    if first is None or second is None:
        return False
    if first.dtype.kind in "OUST":
        return bool((first == second).all())
    return _same_bytes(first, second)


def same_attribute(found: Any, wanted: Any) -> bool:
    """Whether an attribute has a value; floats are compared in float32, as ONNX stores them."""
    if isinstance(found, np.ndarray) or isinstance(wanted, np.ndarray):
        return isinstance(found, np.ndarray) and isinstance(wanted, np.ndarray) and _same_array(found, wanted)
    if isinstance(found, tuple) or isinstance(wanted, tuple):
        return (
            isinstance(found, tuple)
            and isinstance(wanted, tuple)
            and len(found) == len(wanted)
            and all(same_attribute(*each) for each in zip(found, wanted, strict=True))
        )
    if isinstance(found, str) or isinstance(wanted, str):
        return bool(found == wanted)
    if isinstance(found, float) or isinstance(wanted, float):
        with np.errstate(all="ignore"):
            return bool(np.float32(found) == np.float32(wanted))
    return bool(found == wanted)


def _same_array(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and _same_bytes(one, other)


def _same_bytes(one: Array, other: Array) -> bool:
    """Bytes, not numbers: NaN is equal to itself here, and -0.0 is not 0.0."""
    first, second = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (one, other))
    return bool(np.array_equal(first, second))
