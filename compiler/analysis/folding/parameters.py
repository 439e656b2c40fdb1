"""The new weights of a linear operator that takes in what is before and behind it, each rounded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import Affine
from vggc.analysis.folding.border import border_map, is_padded
from vggc.analysis.folding.quantized import Quantized, quantized, requantized
from vggc.analysis.linear import Linear, rescaled, response, rounded
from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64


@dataclass(frozen=True)
class Parameters:
    """A weight, a bias, and what is added to each position: (1, channels, height, width). None stays what it was.

    `bias` is None too where there is none and none is needed; it has a Gemm's beta in it.
    """

    weight: Array | Quantized | None = None
    bias: Array | None = None
    border: Array | None = None


def new_parameters(
    graph: Graph, operator: Linear, after: Affine, before: Affine | None = None, image: list[int] | None = None
) -> Parameters:
    """The parameters of y = after(operator(before(x))). `image` is the size of the input that a Conv pads.

    Raises Declined when the type of the weights cannot hold them.
    """
    rescales = after.scales or (before is not None and before.scales)
    weight = _weight(graph, operator, after, before) if rescales else None
    shift, border = after.shift, None
    by_position: Float64 | None = None
    if before is not None and before.shift.any():
        extra = response(operator, operator.weight(graph), before.shift)
        if operator.node.op == "Conv":
            extra, by_position = _positions(operator, extra, image)
        shift = shift + after.scale * extra
    dtype = operator.dtype(graph)
    if by_position is not None:
        scaled = by_position * after.scale.reshape(-1, *([1] * (by_position.ndim - 1)))
        border = _fitting(graph, operator, scaled[np.newaxis], dtype)
    return Parameters(weight, _bias(graph, operator, after, shift, dtype), border)


def bias_values(graph: Graph, value: gs.Tensor) -> Array:
    """The numbers of a bias, in its shape. Raises Declined for a sparse one."""
    array = graph.array(value)
    if array is not None:
        return array
    codes = quantized(graph, value)
    if codes is None:
        raise Declined(f"`{value.name}` is a sparse constant")
    return codes.values.astype(codes.scale.dtype)


def _weight(graph: Graph, operator: Linear, after: Affine, before: Affine | None) -> Array | Quantized:
    label = graph.label(operator.node)
    entry = before.scale if before is not None and before.scales else None
    if operator.quantized is not None:
        if entry is not None:
            raise Declined(f"the weight of {label} is quantized: it has no scale for each input channel")
        if operator.group > 1 and not operator.rows_are_outputs:
            raise Declined(f"the weight of {label} is quantized: its groups share their scales")
        axis = 0 if operator.rows_are_outputs else 1
        return requantized(operator.quantized, after.scale, axis, label, graph.opset)
    numbers = operator.weight(graph)
    array = rescaled(operator, numbers, after.scale, entry)
    if array is None:
        raise Declined(f"the weight of {label}, rescaled, does not fit {numbers.dtype}")
    return array


def _positions(operator: Linear, extra: Float64, image: list[int] | None) -> tuple[Float64, Float64 | None]:
    """What a constant input adds: the same everywhere, or by position."""
    everywhere = extra.reshape(extra.shape[0], -1).sum(1)
    if not is_padded(operator.node):
        return everywhere, None
    if image is None:
        raise AssertionError("a shift before a padded image of unknown size is not planned")
    found = border_map(operator.node, extra, image)
    flat = found.reshape(len(found), -1)
    if (flat == flat[:, :1]).all():
        return flat[:, 0], None
    return np.zeros(len(found)), found


def _bias(graph: Graph, operator: Linear, after: Affine, shift: Float64, dtype: np.dtype[Any]) -> Array | None:
    """beta * bias * scale + shift in the type of the weight, or None where it stays what it was."""
    values, old = shift, operator.bias
    if not shift.any() and (old is None or not after.scales):
        return None
    if old is not None:
        numbers = bias_values(graph, old)
        beta = operator.node.attrs.get("beta", 1.0) if operator.node.op == "Gemm" else 1.0
        values, dtype = beta * numbers.astype(np.float64) * after.scale + values, numbers.dtype
    return _fitting(graph, operator, values, dtype)


def _fitting(graph: Graph, operator: Linear, values: Float64, dtype: np.dtype[Any]) -> Array:
    array = rounded(values, dtype)
    if array is None:
        raise Declined(f"the bias of {graph.label(operator.node)} does not fit {dtype}")
    return array
