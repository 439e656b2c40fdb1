"""Convolutions and matrix products with constant weights."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.folding.border import is_padded
from vggc.analysis.ranges.range import Range, along_axis, plus, times
from vggc.analysis.ranges.ranges import Ranges, rule
from vggc.graph.arrays import Float64
from vggc.operators.roles import bias_of, group_count


def _weigh(positive: Float64, negative: Float64, given: Range) -> Range:
    """Sums over the last axis of weights times numbers from a range; zero times anything is zero."""
    ends = []
    for up, down, worst in ((given.low, given.high, -np.inf), (given.high, given.low, np.inf)):
        total = positive @ np.where(np.isfinite(up), up, 0.0) + negative @ np.where(np.isfinite(down), down, 0.0)
        endless = (positive > 0) @ ~np.isfinite(up) | (negative < 0) @ ~np.isfinite(down)
        ends.append(np.where(endless, worst, total))
    return Range(*ends)


@rule("Conv", "ConvTranspose")
def _convolution(ranges: Ranges, node: gs.Node) -> Range | None:
    array = ranges.graph.array(node.inputs[1])
    if array is None or array.ndim < 3:
        return None
    weights = array.astype(np.float64).reshape(*array.shape[:2], -1)
    group = group_count(node)
    transposed = node.op == "ConvTranspose"
    inputs = array.shape[0] if transposed else array.shape[1] * group
    given = ranges.along(node.inputs[0], 1, inputs)
    if transposed or is_padded(node):
        # Some results miss some of their inputs.
        given = Range(np.minimum(given.low, 0.0), np.maximum(given.high, 0.0))
    own = weights.reshape(group, -1, *weights.shape[1:])
    own = own.swapaxes(1, 2) if transposed else own
    positive, negative = (each.sum(axis=3) for each in (np.maximum(own, 0), np.minimum(own, 0)))
    blocks = [
        _weigh(positive[block], negative[block], Range(*(each.reshape(group, -1)[block] for each in given)))
        for block in range(group)
    ]
    found = Range(np.concatenate([each.low for each in blocks]), np.concatenate([each.high for each in blocks]))
    bias = _offset(ranges, node, len(found.low))
    return None if bias is None else along_axis(plus(found, bias), array.ndim, 1)


def _offset(ranges: Ranges, node: gs.Node, count: int) -> Range | None:
    bias = bias_of(node)
    if bias is None:
        return Range(np.zeros(count), np.zeros(count))
    found = ranges.of(bias)
    return found if found.low.shape in ((), (count,)) else None


@rule("Gemm")
def _gemm(ranges: Ranges, node: gs.Node) -> Range | None:
    array = ranges.graph.array(node.inputs[1])
    if array is None or array.ndim != 2:
        return None
    weights = array.astype(np.float64) * node.attrs.get("alpha", 1.0)
    weights = weights if node.attrs.get("transB", 0) else weights.T
    given = ranges.along(node.inputs[0], 0 if node.attrs.get("transA", 0) else 1, weights.shape[1])
    found = along_axis(_weigh(np.maximum(weights, 0), np.minimum(weights, 0), given), 2, 1)
    bias = bias_of(node)
    if bias is None:
        return found
    beta = np.asarray(float(node.attrs.get("beta", 1.0)))
    return plus(found, times(ranges.of(bias), Range(beta, beta)))


@rule("MatMul")
def _matmul(ranges: Ranges, node: gs.Node) -> Range | None:
    rank = ranges.graph.rank(node.outputs[0])
    for data, weight in ((0, 1), (1, 0)):
        array, given = ranges.graph.array(node.inputs[weight]), ranges.graph.rank(node.inputs[data])
        if array is None or array.ndim != 2 or rank is None or given is None or given < 2:
            continue
        weights = array.astype(np.float64)
        weights = weights.T if weight else weights
        found = ranges.along(node.inputs[data], given - 1 if weight else given - 2, weights.shape[1])
        result = _weigh(np.maximum(weights, 0), np.minimum(weights, 0), found)
        return along_axis(result, rank, rank - 1 if weight else rank - 2)
    return None
