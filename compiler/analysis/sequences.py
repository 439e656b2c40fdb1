"""Sequences of parts that are only taken out one by one: PyTorch's exporter makes them of x.chunk() and x.split()."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.operators.roles import optional_input

SPLIT_OPSET = 13
"""The first opset in which the sizes of a Split are an input, and may differ."""

_MOST = 1024
"""Parts beyond which a Split with an output for each would be no simpler."""


@dataclass(frozen=True)
class Parts:
    """What a SplitToSequence computes.

    axis   along which the parts lie, not negative
    sizes  of the parts along it
    takes  the nodes that take a part out, each with the index of the part
    """

    axis: int
    sizes: list[int]
    takes: list[tuple[gs.Node, int]]


def parts(graph: Graph, node: gs.Node) -> Parts | None:
    """The parts of a SplitToSequence, when Split can compute them: None unless their sizes and indices are known."""
    shape = graph.shape(node.inputs[0])
    sequence = node.outputs[0]
    if graph.opset < SPLIT_OPSET or not shape or graph.is_result(sequence):
        return None
    axis = int(node.attrs.get("axis", 0)) % len(shape)
    sizes = _sizes(graph, node, shape[axis])
    if sizes is None or not 0 < len(sizes) <= _MOST:
        return None
    takes = []
    for reader in graph.readers(sequence):
        index = _index(graph, reader, len(sizes))
        if index is None:
            return None
        takes.append((reader, index))
    return Parts(axis, sizes, takes) if takes else None


def _sizes(graph: Graph, node: gs.Node, along: int | str | None) -> list[int] | None:
    """The sizes of the parts of an axis. A scalar is the size of all parts but the last, which may be smaller."""
    given = optional_input(node, 1)
    if given is None:
        # Without sizes, parts have size 1, and lose the axis unless `keepdims` says otherwise.
        return [1] * along if isinstance(along, int) and node.attrs.get("keepdims", 1) else None
    array = graph.array(given)
    if array is None:
        return None
    if array.ndim:
        return [int(size) for size in array]
    size = int(array)
    if not isinstance(along, int) or size < 1:
        return None
    return [min(size, along - start) for start in range(0, along, size)]


def _index(graph: Graph, node: gs.Node, count: int) -> int | None:
    """Which part a node takes out, when it is a SequenceAt of the graph itself with a constant index."""
    if node.op != "SequenceAt" or not is_standard(node) or graph.body(node) is not None:
        return None
    array = graph.array(node.inputs[1])
    if array is None or array.size != 1 or not -count <= int(array.reshape(-1)[0]) < count:
        return None
    return int(array.reshape(-1)[0]) % count
