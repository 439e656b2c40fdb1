"""Operators that look at each element by itself: arithmetic, batch norms, activations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import Affine, batch_norm
from vggc.analysis.ranges.range import Numbers, Range, along_axis, plus, times
from vggc.analysis.ranges.ranges import Ranges, rule
from vggc.graph import Array
from vggc.graph.arrays import is_float
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


def _selu(node: gs.Node, x: Numbers) -> Numbers:
    alpha, gamma = node.attrs.get("alpha", 1.6732632423543772), node.attrs.get("gamma", 1.0507009873554805)
    return np.asarray(gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


_RISING: dict[str, Callable[[gs.Node, Numbers], Numbers]] = {
    "Ceil": lambda node, x: np.ceil(x),
    "Dropout": lambda node, x: x,
    "Elu": lambda node, x: np.where(x > 0, x, node.attrs.get("alpha", 1.0) * np.expm1(np.minimum(x, 0))),
    "Erf": lambda node, x: np.vectorize(math.erf, otypes=[float])(x),
    "Exp": lambda node, x: np.exp(x),
    "Floor": lambda node, x: np.floor(x),
    "HardSigmoid": lambda node, x: np.clip(node.attrs.get("alpha", 0.2) * x + node.attrs.get("beta", 0.5), 0, 1),
    "Identity": lambda node, x: x,
    "LeakyRelu": lambda node, x: np.where(x > 0, x, node.attrs.get("alpha", 0.01) * x),
    "Relu": lambda node, x: np.maximum(x, 0),
    "Selu": _selu,
    "Sigmoid": lambda node, x: 1 / (1 + np.exp(-x)),
    "Softplus": lambda node, x: np.logaddexp(0, x),
    "Tanh": lambda node, x: np.tanh(x),
}
"""Functions of one number that never fall, given that their `alpha` is not negative."""


@rule(*_RISING)
def _rising(ranges: Ranges, node: gs.Node) -> Range | None:
    if may_drop(node) or node.attrs.get("alpha", 0.0) < 0:
        return None
    function = _RISING[node.op]
    return Range(*(np.asarray(function(node, each)) for each in ranges.of(node.inputs[0])))


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


@rule("HardSwish")
def _hard_swish(ranges: Ranges, node: gs.Node) -> Range | None:
    found = ranges.of(node.inputs[0])
    low, high = (each * np.clip(each / 6 + 0.5, 0, 1) for each in found)
    # Up to -3 it is zero, falls to -0.375 at -1.5, and rises from there.
    falls = (found.low < -1.5) & (found.high > -3) & ~found.is_constant
    least = np.where(found.low == -np.inf, 0.0, low)
    return Range(np.where(falls, -0.375, np.minimum(least, high)), np.maximum(least, high))


@rule("Clip")
def _clip(ranges: Ranges, node: gs.Node) -> Range | None:
    low, high = ranges.of(node.inputs[0])
    for index, name, limit in ((1, "min", np.maximum), (2, "max", np.minimum)):
        array: Array | float | None = node.attrs.get(name)
        if len(node.inputs) > index and node.inputs[index].name:
            array = ranges.graph.array(node.inputs[index])
            if array is None:
                return None
        if array is not None:
            low, high = limit(low, np.float64(array)), limit(high, np.float64(array))
    return Range(low, high)


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
