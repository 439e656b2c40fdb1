"""Operators that multiply by a constant weight: Conv, ConvTranspose, Gemm and MatMul."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import ChannelAxis
from vggc.analysis.folding.quantized import Quantized, quantized
from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, is_float
from vggc.operators.roles import CONVOLUTIONS, bias_of, group_count, output_axis, output_channels, summed_channels

_CHUNK = 1 << 22
_SIGNIFICAND = {
    np.dtype(np.float16): 11,
    np.dtype(ml_dtypes.bfloat16): 8,
    np.dtype(np.float32): 24,
    np.dtype(np.float64): 53,
}


@dataclass(frozen=True)
class Linear:
    """A node with a constant weight, the weight's shape, and where the node's result has its channels."""

    node: gs.Node
    shape: tuple[int, ...]
    channels: ChannelAxis
    quantized: Quantized | None = None

    @property
    def group(self) -> int:
        return group_count(self.node)

    @property
    def rows_are_outputs(self) -> bool:
        """Whether axis 0 of the weight, within a group, is the output channels; otherwise axis 1 is."""
        return output_axis(self.node) == 0

    @property
    def entry(self) -> ChannelAxis:
        """Where the node's input has the channels that the weight's other axis runs over."""
        inner = summed_channels(self.node, self.shape) * self.group
        if self.node.op in CONVOLUTIONS:
            return ChannelAxis(inner, len(self.shape), 1 - len(self.shape))
        if self.node.op == "Gemm":
            return ChannelAxis(inner, 2, -2 if self.node.attrs.get("transA", 0) else -1)
        return ChannelAxis(inner, self.channels.rank, -1)

    @property
    def bias(self) -> gs.Tensor | None:
        return bias_of(self.node)

    def weight(self, graph: Graph) -> Array:
        """The numbers of the weight, in its own shape: what they stand for where it is quantized."""
        return self.quantized.values if self.quantized is not None else _numbers(graph, self.node.inputs[1])

    def dtype(self, graph: Graph) -> np.dtype[Any]:
        return self.quantized.scale.dtype if self.quantized is not None else self.weight(graph).dtype


def linear(graph: Graph, node: gs.Node) -> Linear:
    """A node of PRODUCTS as such. Raises Declined when it has no constant weight that can be rescaled."""
    weight = node.inputs[1]
    codes = None if isinstance(weight, gs.Constant) else quantized(graph, weight)
    for value, what in zip(node.inputs[1:3], ("weight", "bias"), strict=False):
        if not isinstance(value, gs.Constant) and value.name and quantized(graph, value) is None:
            maker = graph.producer(value)
            by = f"by {graph.label(maker)}" if maker else "only at run time"
            raise Declined(f"the {what} of {graph.label(node)} is computed {by}")
    dtype = codes.scale.dtype if codes is not None else graph.dtype(weight)
    sizes = codes.codes.shape if codes is not None else graph.static_shape(weight)
    if dtype is None or not is_float(dtype) or sizes is None or 0 in sizes:
        raise Declined(f"the weight of {graph.label(node)} is not a floating-point constant")
    shape = tuple(sizes)
    if node.op == "MatMul" and len(shape) != 2:
        raise Declined(f"the weight of {graph.label(node)} is not a matrix")
    if node.op == "Gemm" and graph.opset < 7:
        raise Declined(
            f"{graph.label(node)} is older than opset 7, where the bias of a Gemm broadcasts by an attribute"
        )
    return Linear(node, shape, _channels(graph, node, shape), codes)


def _channels(graph: Graph, node: gs.Node, shape: tuple[int, ...]) -> ChannelAxis:
    count = output_channels(node, shape)
    if node.op in CONVOLUTIONS:
        return ChannelAxis(count, len(shape), 1 - len(shape))
    return ChannelAxis(count, 2 if node.op == "Gemm" else graph.rank(node.inputs[0]), -1)


def rescaled(operator: Linear, weights: Array, scale: Float64, entry: Float64 | None = None) -> Array | None:
    """Weights times `scale`, (output channels,), and `entry`, (input channels,), in the weights' own shape and type.

    They are computed in float64 and rounded once. None where the weights' own type cannot hold the result.
    """
    grouped = _grouped(operator, weights)
    factors = [_along(operator, scale, grouped, outputs=True)]
    if entry is not None:
        factors.append(_along(operator, entry, grouped, outputs=False))
    out = np.empty(grouped.shape, weights.dtype)
    error = total = 0.0
    with np.errstate(all="ignore"):
        for each in _pieces(grouped):
            exact = grouped[each].astype(np.float64)
            for factor in factors:
                exact *= factor[each[0], each[1] if factor.shape[1] > 1 else slice(None)]
            out[each] = exact.astype(weights.dtype)
            error += float(np.square(out[each].astype(np.float64) - exact).sum())
            total += float(np.square(exact).sum())
    # NaN and infinity fail the comparison, and so do weights so small that the type keeps few of their digits.
    return out.reshape(weights.shape) if error <= (2 * unit_roundoff(weights.dtype)) ** 2 * total else None


def response(operator: Linear, weights: Array, shift: Float64) -> Float64:
    """What a constant input, `shift` (input channels,), adds to each output channel, by position of the kernel.

    In float64, (output channels, kernel height, ...) for Conv and (output channels,) for Gemm and MatMul. A Gemm's
    alpha is in it.
    """
    grouped = _grouped(operator, weights)
    factor = _along(operator, shift, grouped, outputs=False)
    inner = 2 if operator.rows_are_outputs else 1
    out = np.zeros([size for axis, size in enumerate(grouped.shape) if axis != inner])
    with np.errstate(all="ignore"):
        for each in _pieces(grouped):
            exact = grouped[each].astype(np.float64)
            product = exact * factor[each[0], each[1] if factor.shape[1] > 1 else slice(None)]
            if operator.rows_are_outputs:
                out[each] = product.sum(inner - 1)
            else:
                out[each[0]] += product.sum(inner - 1)
    return float(operator.node.attrs.get("alpha", 1.0)) * out.reshape(-1, *weights.shape[2:])


def _grouped(operator: Linear, weights: Array) -> Array:
    """Axis 0 apart in groups, one behind another as both operators have them: (group, rows, columns, ...)."""
    return weights.reshape(operator.group, weights.shape[0] // operator.group, *weights.shape[1:])


def _along(operator: Linear, factor: Float64, grouped: Array, *, outputs: bool) -> Float64:
    axis = 1 if operator.rows_are_outputs == outputs else 2
    return factor.reshape(operator.group, *(-1 if at == axis else 1 for at in range(1, grouped.ndim)))


def _pieces(grouped: Array) -> Iterator[tuple[int, slice]]:
    """Pieces of bounded size: a float64 copy of a large weight would cost twice its size again."""
    groups, rows = grouped.shape[:2]
    step = max(1, _CHUNK * rows // max(1, grouped.size // groups))
    for group in range(groups):
        for start in range(0, rows, step):
            yield group, slice(start, start + step)


def _numbers(graph: Graph, value: gs.Tensor) -> Array:
    array = graph.array(value)
    if array is None:
        raise Declined(f"`{value.name}` is a sparse constant")
    return array


def rounded(values: Float64, dtype: np.dtype[Any]) -> Array | None:
    """Float64 numbers in another type, in their own shape, or None where they do not fit."""
    with np.errstate(all="ignore"):
        out = values.astype(dtype)
    return out if np.isfinite(out.astype(np.float64)).all() else None


def unit_roundoff(dtype: np.dtype[Any]) -> float:
    """The largest relative error of rounding to a type, subnormal numbers aside."""
    return float(2.0 ** -_SIGNIFICAND[dtype])
