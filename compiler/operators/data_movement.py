"""Operators that only move numbers, or choose among them, and operators that only look at shapes."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.operators.roles import optional_input

SHAPE_READERS = frozenset({"Shape", "Size"})
"""Their results depend on the shape of what they read, never on its numbers."""

FLATTENERS = frozenset({"Flatten", "Reshape", "Squeeze"})
"""They can make a matrix (N, C * H * W) of (N, C, H, W)."""

RESHAPERS = FLATTENERS | {"Unsqueeze"}
"""They keep the order of the numbers and change only the shape."""

_MOVERS = RESHAPERS | {"DepthToSpace", "Identity", "MaxPool", "Slice", "SpaceToDepth", "Transpose"}


def moves(graph: Graph, node: gs.Node) -> bool:
    """Whether quantizing in front of a node and quantizing behind it is the same, with one scale.

    Operators of one data input; what a Concat hands on has one scale only where all its inputs have that scale.
    """
    if not is_standard(node) or len([value for value in node.outputs if value.name]) != 1:
        return False
    return node.op in _MOVERS or pads_with_zero(graph, node)


def pads_with_zero(graph: Graph, node: gs.Node) -> bool:
    """Whether a node pads with zeros, or with numbers of its input."""
    if node.op != "Pad" or not is_standard(node):
        return False
    if node.attrs.get("mode", "constant") != "constant":
        return True
    if graph.opset < 11:
        return float(node.attrs.get("value", 0.0)) == 0.0
    value = optional_input(node, 2)
    filling = np.zeros(()) if value is None else graph.array(value)
    return filling is not None and not np.any(filling)
