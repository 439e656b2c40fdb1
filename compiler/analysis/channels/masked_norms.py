"""A norm written out node by node, with the statistics of some channels only: what the sliced norm must equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.records import Norm
from vggc.graph.arrays import Int64
from vggc.graph.writer import onnx_type
from vggc.operators.roles import optional_input

if TYPE_CHECKING:
    from vggc.graph import Graph

_AXES_AS_INPUT = {"ReduceSum": 13, "ReduceMean": 18}
"""The opsets from which on they have their axes as an input."""


def write_out(graph: Graph, node: gs.Node, norm: Norm, size: int, kept: Int64) -> None:
    """Replace `node`, which is `norm` in this graph, by nodes that leave out all but the `kept` of `size` channels.

    What they compute for the other channels has no meaning.
    """
    value, result = node.inputs[0], node.outputs[0]
    dtype, rank = graph.dtype(value), graph.rank(value)
    assert dtype is not None
    assert rank is not None
    # As onnxruntime computes norms: those of half-precision numbers in float32.
    working = dtype if dtype == np.float64 else np.dtype(np.float32)

    def op(op: str, *inputs: gs.Tensor, **attributes: object) -> gs.Variable:
        return graph.add(op, inputs, attributes).outputs[0]

    def constant(array: object) -> gs.Constant:
        return graph.constant(np.asarray(array), hint="mask")

    def reduced(how: str, given: gs.Tensor, over: list[int]) -> gs.Variable:
        if graph.opset >= _AXES_AS_INPUT[how]:
            return op(how, given, constant(np.array(over, np.int64)))
        return op(how, given, axes=over)

    def mean(masked: gs.Tensor) -> gs.Variable:
        # Divided by their number, the sum of the channels that stay is exact where they are equal, or only one.
        found = op("Div", reduced("ReduceSum", masked, [axis]), constant(np.asarray(count, working)))
        return reduced("ReduceMean", found, others) if others else found

    def parameter(index: int, shape: list[int]) -> gs.Variable | None:
        given = optional_input(node, index)
        if given is None:
            return None
        cast = op("Cast", given, to=onnx_type(working))
        return op("Reshape", cast, constant(np.array(shape, np.int64))) if shape else cast

    def scaled(normal: gs.Variable, shape: list[int]) -> gs.Variable:
        for how, each in (("Mul", parameter(1, shape)), ("Add", parameter(2, shape))):
            normal = normal if each is None else op(how, normal, each)
        return normal

    x = op("Cast", value, to=onnx_type(working))
    axis, count, others = norm.axis, len(kept), [each for each in norm.axes if each != norm.axis]
    masking = [size if each == axis else 1 for each in range(rank)]
    if norm.blocks:
        x = op("Reshape", x, constant(np.array([0, norm.blocks, size // norm.blocks, -1], np.int64)))
        axis, count, others = 2, len(kept) // norm.blocks, [3]
        masking = [1, norm.blocks, size // norm.blocks, 1]
    mask = np.zeros(size, working)
    mask[kept] = 1
    stays = constant(mask.reshape(masking))
    centred = x if node.op == "RMSNormalization" else op("Sub", x, mean(op("Mul", x, stays)))
    centred = op("Mul", centred, stays)
    variance = mean(op("Mul", centred, centred))
    epsilon = constant(np.asarray(node.attrs.get("epsilon", 1e-5), working))
    normal = op("Div", centred, op("Sqrt", op("Add", variance, epsilon)))
    if norm.blocks:
        normal = scaled(normal, [norm.blocks, 1, 1]) if norm.by_block else normal
        normal = op("Reshape", normal, op("Shape", value))
        normal = normal if norm.by_block else scaled(normal, [size, *[1] * (rank - 2)])
    else:
        normal = scaled(normal, [])
    graph.remove(node)
    graph.add("Cast", [normal], {"to": onnx_type(dtype)}, output=result, replaces=[node])
