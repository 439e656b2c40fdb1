"""Operators that look at each element by itself: arithmetic, batch norms, activations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import Affine, batch_norm
from vggc.analysis.ranges.range import Range, along_axis, plus, times
from vggc.analysis.ranges.ranges import Ranges, rule
from vggc.graph.arrays import Float64, is_float
from vggc.operators.activations import ACTIVATIONS, clamp_limits
from vggc.operators.randomness import may_drop


@rule("BatchNormalization")
def _batch_norm(ranges: Ranges, node: gs.Node) -> Range | None:
    rank, affine = ranges.graph.rank(node.outputs[0]), batch_norm(ranges.graph, node)
    if rank is None or rank < 2 or not isinstance(affine, Affine):
        return None
    scale, shift = (along_axis(Range(each, each), rank, 1) for each in (affine.scale, affine.shift))
    return plus(times(ranges.of(node.inputs[0]), scale), shift)


@rule("Add", "Sum", "Mean", "Sub", "Mul", "Div", "Min", "Max")
def _arithmetic(ranges: Ranges, node: gs.Node) -> Range | None:
    given = [ranges.of(value) for value in node.inputs]
    if ranges.graph.opset < 7 and len(given) > 1:
        return None
    found = given[0]
    for each in given[1:]:
        if node.op in ("Add", "Sum", "Mean"):
            found = plus(found, each)
        elif node.op == "Sub":
            found = plus(found, Range(-each.high, -each.low))
        elif node.op == "Mul":
            found = times(found, each)
        elif node.op == "Div":
            if not ((each.low > 0) | (each.high < 0)).all():
                return None
            found = times(found, Range(1 / each.high, 1 / each.low))
        else:
            choose = np.minimum if node.op == "Min" else np.maximum
            found = Range(choose(found.low, each.low), choose(found.high, each.high))
    count = len(given) if node.op == "Mean" else 1
    return Range(found.low / count, found.high / count)


_RISING: dict[str, Callable[[Float64], Float64]] = {
    "Ceil": np.ceil,
    "Dropout": np.asarray,
    "Erf": np.vectorize(math.erf, otypes=[float]),
    "Exp": np.exp,
    "Floor": np.floor,
    "Identity": np.asarray,
}
"""Functions of one number, activations aside, that never fall."""


@rule(*_RISING)
def _rising(ranges: Ranges, node: gs.Node) -> Range | None:
    if may_drop(node):
        return None
    function = _RISING[node.op]
    return Range(*(np.asarray(function(each)) for each in ranges.of(node.inputs[0])))


_FUNCTIONS = {op: activation.function for op, activation in ACTIVATIONS.items() if activation.function is not None}


@rule(*_FUNCTIONS)
def _activation(ranges: Ranges, node: gs.Node) -> Range | None:
    """Its values at both ends, and at its lowest point where that lies between them."""
    if node.attrs.get("alpha", 0.0) < 0:
        return None
    function, lowest_at = _FUNCTIONS[node.op], ACTIVATIONS[node.op].lowest_at
    given = ranges.of(node.inputs[0])
    ends = [function(node, bound) for bound in given]
    low, high = np.minimum(*ends), np.maximum(*ends)
    if lowest_at is not None:
        between = (given.low < lowest_at) & (given.high > lowest_at)
        low = np.where(between, function(node, np.asarray(lowest_at)), low)
    return Range(np.asarray(low), np.asarray(high))


@rule("Cast")
def _cast(ranges: Ranges, node: gs.Node) -> Range | None:
    dtype = ranges.graph.dtype(node.inputs[0])
    return ranges.of(node.inputs[0]) if dtype is not None and is_float(dtype) else None


@rule("Neg")
def _neg(ranges: Ranges, node: gs.Node) -> Range | None:
    found = ranges.of(node.inputs[0])
    return Range(-found.high, -found.low)


@rule("Abs")
def _abs(ranges: Ranges, node: gs.Node) -> Range | None:
    found = ranges.of(node.inputs[0])
    return Range(np.maximum(np.maximum(found.low, -found.high), 0), np.maximum(np.abs(found.low), np.abs(found.high)))


@rule("Clip")
def _clip(ranges: Ranges, node: gs.Node) -> Range | None:
    limits = clamp_limits(ranges.graph, node)
    if limits is None:
        return None
    # A Clip whose limits cross gives the upper one.
    return Range(*(np.minimum(np.maximum(bound, limits[0]), limits[1]) for bound in ranges.of(node.inputs[0])))


@rule("PRelu")
def _prelu(ranges: Ranges, node: gs.Node) -> Range | None:
    array = ranges.graph.array(node.inputs[1])
    if array is None:
        return None
    slope = array.astype(np.float64)
    if (slope < 0).any():
        return None
    return Range(*(np.where(each > 0, each, slope * each) for each in ranges.of(node.inputs[0])))


@rule("Softmax", "LogSoftmax")
def _softmax(ranges: Ranges, node: gs.Node) -> Range | None:
    zero = np.asarray(0.0)
    return Range(zero, np.asarray(1.0)) if node.op == "Softmax" else Range(np.asarray(-np.inf), zero)
