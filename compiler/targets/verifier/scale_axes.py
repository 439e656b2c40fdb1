"""Scales for each channel: along a wrong axis, TensorRT builds without a warning and runs the layer in float."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.graph.links import static_shape
from vggc.operators.quantizers import is_quantizer
from vggc.operators.roles import PRODUCTS, ROLES, output_axis
from vggc.targets.verifier.finding import Finding, LoweredGraph
from vggc.targets.verifier.quantizers import quantizers, refused_quantizer

_PER_TENSOR = "quantize activations with one scale for the whole tensor"


def channel_axes(subject: LoweredGraph) -> Iterator[Finding]:
    """Weights must have one scale, or one for each output channel. Activations must have one scale."""
    graph = subject.graph
    for node in quantizers(graph):
        if "block_size" in node.attrs and int(node.attrs["block_size"]) > 0:
            continue
        count = _scales(node)
        if count <= 1:
            continue
        if not _is_weight(graph, node.inputs[0]):
            yield refused_quantizer(
                subject, node, f"it has {count} scales, but an activation may have only one", _PER_TENSOR
            )
            continue
        rank = graph.rank(node.inputs[0])
        if rank is None or node.op != "DequantizeLinear":
            continue
        axis = int(node.attrs.get("axis", 1))
        axis = axis + rank if axis < 0 else axis
        for reader, wanted in _wanted(graph, node.outputs[0], rank):
            if axis != wanted:
                problem = (
                    f"its scales are along axis {axis}, but the output channels of {graph.label(reader)} "
                    f"along axis {wanted}: it would run in float"
                )
                yield refused_quantizer(
                    subject, node, problem, f"quantize these weights with axis={wanted}, or with one scale"
                )


def _scales(node: gs.Node) -> int:
    """The number of scales of a quantizer; 0 when it is not known."""
    shape = static_shape(node.inputs[1]) if len(node.inputs) > 1 else None
    return 0 if shape is None else math.prod(shape)


def _is_weight(graph: Graph, value: gs.Tensor) -> bool:
    """Whether a value is a constant, or a constant that is quantized in the graph."""
    if isinstance(value, gs.Constant):
        return True
    node = graph.producer(value)
    return is_quantizer(node, "QuantizeLinear") and isinstance(node.inputs[0], gs.Constant)


def _wanted(graph: Graph, weights: gs.Tensor, rank: int) -> Iterator[tuple[gs.Node, int]]:
    """Each node that multiplies by the dequantized weights, and the axis of its output channels in them."""
    for reader in graph.readers(weights):
        if not is_standard(reader):
            continue
        if reader.op == "Transpose" and len(reader.outputs) == 1:
            order = reader.attrs.get("perm") or list(range(rank))[::-1]
            yield from ((node, order[axis]) for node, axis in _wanted(graph, reader.outputs[0], rank))
        elif reader.op in PRODUCTS:
            place = next(index for index, value in enumerate(reader.inputs) if value is weights)
            if place == ROLES[reader.op].weight or reader.op == "MatMul":
                yield reader, output_axis(reader, place, rank)
