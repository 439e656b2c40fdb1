"""Operators that multiply by a constant weight: Conv, ConvTranspose, Gemm and MatMul."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import Channels, Vector, is_float
from vggc.graph import Array, Graph
from vggc.rewrite import Declined

_CHUNK = 1 << 22
_SIGNIFICAND = {
    np.dtype(np.float16): 11,
    np.dtype(ml_dtypes.bfloat16): 8,
    np.dtype(np.float32): 24,
    np.dtype(np.float64): 53,
}


def weight_of(graph: Graph, node: gs.Node) -> gs.Constant:
    """The constant weight of a linear operator. Raises Declined when it has none that can be rescaled."""
    label = graph.label(node)
    for value, what in zip(node.inputs[1:3], ("weight", "bias"), strict=False):
        if not isinstance(value, gs.Constant) and value.name:
            maker = graph.producer(value)
            by = f"by {graph.label(maker)}" if maker else "only at run time"
            raise Declined(f"the {what} of {label} is computed {by}")
    weight = node.inputs[1]
    dtype = graph.dtype(weight)
    if dtype is None or not is_float(dtype) or 0 in weight.shape:
        raise Declined(f"the weight of {label} is not a floating-point constant")
    if node.op == "MatMul" and len(weight.shape) != 2:
        raise Declined(f"the weight of {label} is no matrix")
    if node.op == "Gemm" and graph.opset < 7:
        raise Declined(f"{label} is older than opset 7, where the bias of a Gemm broadcasts by an attribute")
    return weight


def output_channels(graph: Graph, node: gs.Node) -> Channels:
    """Where the result of a linear operator has its channels. Raises Declined like `weight_of`."""
    shape = weight_of(graph, node).shape
    if node.op == "Conv":
        return Channels(shape[0], len(shape), 1 - len(shape))
    if node.op == "ConvTranspose":
        return Channels(shape[1] * node.attrs.get("group", 1), len(shape), 1 - len(shape))
    if node.op == "Gemm":
        return Channels(shape[0 if node.attrs.get("transB", 0) else 1], 2, -1)
    return Channels(shape[1], graph.rank(node.inputs[0]), -1)


def rescaled(weights: Array, scale: Vector, axis: int, group: int = 1) -> Array | None:
    """Weights multiplied per output channel, computed in float64 and rounded once.

    The output channels are axis `axis`; with `group`, axis 0 holds the groups one behind another and `scale` runs
    over (group, channel in group), as in a ConvTranspose. None where the weights' own type cannot hold the result.
    """
    grouped = weights.reshape(group, weights.shape[0] // group, *weights.shape[1:])
    factors = scale.reshape(group, *(-1 if at == axis else 1 for at in range(weights.ndim)))
    out = np.empty(grouped.shape, weights.dtype)
    error = total = 0.0
    # Pieces of bounded size: a float64 copy of a large weight would cost twice its size again.
    step = max(1, _CHUNK * grouped.shape[1] // max(1, weights.size // group))
    with np.errstate(all="ignore"):
        for each in range(group):
            for start in range(0, grouped.shape[1], step):
                part = slice(start, start + step)
                factor = factors[each] if axis else factors[each, part]
                exact = grouped[each, part].astype(np.float64) * factor
                out[each, part] = exact.astype(weights.dtype)
                error += float(np.square(out[each, part].astype(np.float64) - exact).sum())
                total += float(np.square(exact).sum())
    # NaN and infinity fail the comparison, and so do weights so small that the type keeps few of their digits.
    return out.reshape(weights.shape) if error <= (2 * unit_roundoff(weights.dtype)) ** 2 * total else None


def rounded(values: Vector, dtype: np.dtype[Any]) -> Array | None:
    """Float64 numbers in another type, or None where they do not fit."""
    with np.errstate(all="ignore"):
        out = values.astype(dtype)
    return out if np.isfinite(out.astype(np.float64)).all() else None


def unit_roundoff(dtype: np.dtype[Any]) -> float:
    """The largest relative error of rounding to a type, subnormal numbers aside."""
    return float(2.0 ** -_SIGNIFICAND[dtype])
