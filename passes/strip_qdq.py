"""Remove QuantizeLinear and DequantizeLinear, to get a float model again.

    DequantizeLinear(QuantizeLinear(x, s, z), s, z) => x
    DequantizeLinear(codes, s, z)                   => w        the float weights for the codes

Weights stay rounded. Ranges, and the rounding of values, are removed. A model that another tool has quantized can then
be quantized again. QLinearConv and other operators that compute with integers stay, and so does a pair when something
reads the integers between its two nodes.

Other tools remove an activation when the integers have its limits. So where the integers begin at the zero point and
the value could be negative, a Relu takes the place of the pair, and a Clip when the largest number is whole, such as 6.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.analysis.ranges import Ranges
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64
from vggc.operators.activations import UNLIMITED, Limits, clamp_limits
from vggc.operators.quantizers import is_quantizer
from vggc.operators.roles import optional_input
from vggc.rewrite import Context, whole_graph

_CLIP_INPUTS = 11
"""The first opset in which the limits of a Clip are inputs."""

_WHOLE = 1e-6
"""How near the largest number of a grid is to a whole one that was the limit of a Clip: scales are float32."""


@whole_graph(exact=False)
def strip_qdq(graph: Graph, context: Context) -> None:
    """Remove pairs of QuantizeLinear and DequantizeLinear, and convert quantized weights to float weights."""
    clamps: list[gs.Node] = []
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
        elif (limits := _limits(graph, source)) is None:
            context.decline(node, "some of its channels cannot be negative, and others can")
        else:
            if limits == UNLIMITED:
                graph.replace(node.outputs[0], source.inputs[0])
                graph.remove(node)
            else:
                graph.remove(node)
                clamps.append(_clamp(graph, source, node.outputs[0], limits))
            context.record("remove pair")
    _keep_needed(graph, context, clamps)


def _limits(graph: Graph, quantize: gs.Node) -> Limits | None:
    """The limits that an activation may have left to a QuantizeLinear: 0 at one end of the integers.

    None when only some of the channels have such a limit.
    """
    zero_point = optional_input(quantize, 2)
    if zero_point is None:
        number = int(quantize.attrs.get("output_dtype", 0)) or onnx.TensorProto.UINT8
        zero: Array | None = np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(number))
    else:
        zero = graph.array(zero_point)
    if zero is None or "int" not in zero.dtype.name:
        return UNLIMITED
    ends = ml_dtypes.iinfo(zero.dtype)  # type: ignore[no-untyped-call]
    lowest, highest = (np.asarray(zero, np.int64) == each for each in (ends.min, ends.max))
    if any(each.any() and not each.all() for each in (lowest, highest)):
        return None
    scale = graph.array(quantize.inputs[1])
    steps = 0.0 if scale is None or scale.size > 1 else float(scale.reshape(-1)[0]) * (ends.max - ends.min)
    reach = round(steps) if round(steps) and abs(steps - round(steps)) < _WHOLE * steps else np.inf
    if lowest.all():
        return 0.0, reach
    return (-reach, 0.0) if highest.all() else UNLIMITED


def _clamp(graph: Graph, quantize: gs.Node, output: gs.Variable, limits: Limits) -> gs.Node:
    """A Relu or Clip of what a QuantizeLinear reads."""
    value, name = quantize.inputs[0], quantize.name or output.name
    if limits == (0.0, np.inf):
        return graph.add("Relu", [value], name=f"{name}_relu", output=output)
    if graph.opset < _CLIP_INPUTS:
        finite = {end: float(limit) for end, limit in zip(("min", "max"), limits, strict=True) if np.isfinite(limit)}
        return graph.add("Clip", [value], finite, name=f"{name}_clip", output=output)
    dtype = graph.dtype(quantize.inputs[1])
    ends = [graph.constant(np.asarray(each, dtype), f"{name}_limit") if np.isfinite(each) else None for each in limits]
    return graph.add("Clip", [value, *ends], name=f"{name}_clip", output=output)


def _keep_needed(graph: Graph, context: Context, clamps: list[gs.Node]) -> None:
    """Remove new clamps of values that are on the right side of 0 anyway: their activation is still there."""
    if not clamps:
        return
    graph.tidy()
    graph.infer_shapes()
    ranges = Ranges(graph)
    for node in clamps:
        value, (low, high) = node.inputs[0], clamp_limits(graph, node) or UNLIMITED
        known = ranges.of(value).hull()
        if (low == 0 and known.low >= 0) or (high == 0 and known.high <= 0):
            graph.replace(node.outputs[0], value)
            graph.remove(node)
        else:
            context.record("restore activation")


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
