"""What stands behind a node with weights: a scale and shift of its channels, a residual sum, an activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from vggc.analysis.affine import Affine, ChannelAxis, batch_norm, elementwise
from vggc.calibration.matrix import AsMatrix, Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.operators.activations import UNLIMITED, Limits, saturation


@dataclass(frozen=True, eq=False)
class Epilogue:
    """What is done to the results y of a node: end = affine(y) + other.

    end       the value that holds it: the nodes in between are read by nothing else
    other     the other operand of a residual sum, None without one
    gate      limits beyond which the activation that reads `end`, and it alone, gives the same for all numbers
    """

    end: gs.Tensor
    affine: Affine
    other: gs.Tensor | None = None
    gate: Limits = UNLIMITED


def epilogue(graph: Graph, node: gs.Node, ready: Callable[[gs.Tensor], bool] = lambda value: False) -> Epilogue:
    """What follows a node up to its activation. A residual sum belongs to it when its other operand is `ready`."""
    channels = _channels(graph, node)
    affine = Affine.identity(channels.count)
    value, other = node.outputs[0], None
    while True:
        reader = graph.only_reader(value)
        if reader is None or not is_standard(reader):
            break
        step = _step(graph, reader, value, channels)
        if step is None and other is None and reader.op == "Add":
            first, second = reader.inputs
            other = second if first is value else first
            if not _alike(graph, value, other, reader.outputs[0]) or not ready(other):
                other = None
                break
        elif step is None or other is not None:
            break
        else:
            affine = affine.then(step)
        value = reader.outputs[0]
    return Epilogue(value, affine, other, gate(graph, value))


def _channels(graph: Graph, node: gs.Node) -> ChannelAxis:
    found: AsMatrix = as_matrix(graph, node)
    count = found.blocks * found.outputs
    rank = graph.rank(node.outputs[0])
    if rank is None:
        raise Unsuitable("the rank of its output is not known")
    return ChannelAxis(count, rank, found.channel_axis(rank))


def _step(graph: Graph, node: gs.Node, value: gs.Tensor, channels: ChannelAxis) -> Affine | None:
    """What a node does to each channel, where it only scales and shifts."""
    if node.op == "Identity":
        return Affine.identity(channels.count)
    if node.op == "BatchNormalization":
        found = batch_norm(graph, node) if node.inputs[0] is value and channels.is_second_axis else ""
        return None if isinstance(found, str) else found
    return elementwise(graph, node, value, channels)


def _alike(graph: Graph, value: gs.Tensor, other: gs.Tensor, result: gs.Tensor) -> bool:
    """Whether two summands have one shape, as far as that is known."""
    shapes = [graph.shape(each) for each in (value, other, result)]
    return (
        isinstance(other, gs.Variable)
        and shapes[0] is not None
        and all(shape is not None and len(shape) == len(shapes[0]) for shape in shapes)
        and all(len(set(sizes)) == 1 for sizes in zip(*(shape[1:] for shape in shapes if shape), strict=True))
    )


def gate(graph: Graph, value: gs.Tensor) -> Limits:
    """The limits beyond which the activation that reads a value, and it alone, gives the same for all numbers."""
    node = graph.only_reader(value)
    return UNLIMITED if node is None else saturation(graph, node)
