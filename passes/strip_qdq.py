"""Remove QuantizeLinear and DequantizeLinear, to get a float model again.

    DequantizeLinear(QuantizeLinear(x, s, z), s, z) => x
    DequantizeLinear(codes, s, z)                   => w        the float weights for the codes

Weights stay rounded. Ranges, and the rounding of values, are removed. A model that another tool has quantized can then
be quantized again. QLinearConv and other operators that compute with integers stay, and so does a pair when something
reads the integers between its two nodes.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64
from vggc.operators.quantizers import is_quantizer
from vggc.operators.roles import optional_input
from vggc.rewrite import Context, whole_graph


@whole_graph(exact=False)
def strip_qdq(graph: Graph, context: Context) -> None:
    """Remove pairs of QuantizeLinear and DequantizeLinear, and convert quantized weights to float weights."""
    for node in list(graph.nodes):
        if not is_quantizer(node, "DequantizeLinear"):
            continue
        codes = graph.array(node.inputs[0])
        source = graph.producer(node.inputs[0])
        if codes is not None:
            _restore(graph, context, node, codes)
        elif source is None or not is_quantizer(source, "QuantizeLinear"):
            context.decline(node, "what it reads is computed with integers")
        elif not _same(graph, source, node):
            context.decline(node, "it has another scale than the QuantizeLinear before it")
        else:
            graph.replace(node.outputs[0], source.inputs[0])
            graph.remove(node)
            context.record("remove pair")


def _same(graph: Graph, quantize: gs.Node, dequantize: gs.Node) -> bool:
    """Whether a pair has one scale and one zero point."""
    one, other = ([each for each in node.inputs[1:] if each.name] for node in (quantize, dequantize))
    if len(one) != len(other) or quantize.attrs.get("axis", 1) != dequantize.attrs.get("axis", 1):
        return False
    arrays = [(graph.array(first), graph.array(second)) for first, second in zip(one, other, strict=True)]
    known = all(first is not None and second is not None for first, second in arrays)
    return all(first is second for first, second in zip(one, other, strict=True)) or (
        known and all(np.array_equal(first, second) for first, second in arrays)  # type: ignore[arg-type]
    )


def _restore(graph: Graph, context: Context, node: gs.Node, codes: Array) -> None:
    scale = graph.array(node.inputs[1])
    zero_point = optional_input(node, 2)
    zero = None if zero_point is None else graph.array(zero_point)
    if scale is None or (zero_point is not None and zero is None):
        context.decline(node, "its scale is computed while the model runs")
        return
    block = int(node.attrs.get("block_size", 0))
    axis = int(node.attrs.get("axis", 1))
    numbers = np.asarray(codes, np.float64)
    if zero is not None:
        numbers = numbers - _along(zero, codes, axis, block)
    weights = (numbers * _along(scale, codes, axis, block)).astype(scale.dtype)
    graph.replace(node.outputs[0], graph.constant(weights, node.inputs[0].name))
    graph.remove(node)
    context.record("restore weights")


def _along(parameter: Array, codes: Array, axis: int, block: int) -> Float64:
    """A scale or zero point as numbers that broadcast against what is quantized by it."""
    values = np.asarray(parameter, np.float64)
    if values.size == 1:
        return values.reshape(())
    if block:
        return np.asarray(np.take(np.repeat(values, block, axis), range(codes.shape[axis]), axis))
    shape = [1] * codes.ndim
    shape[axis] = -1
    return values.reshape(shape)
