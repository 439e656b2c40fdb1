"""The bias of a node that has none itself: an Add of a constant behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, is_float
from vggc.graph.domains import is_standard


@dataclass(frozen=True, eq=False)
class AddedBias:
    """An Add whose input `index` is a number for each channel."""

    graph: Graph
    node: gs.Node
    index: int

    def increase(self, bias: Float64, name: str) -> None:
        """Add more, (channels,), by a constant of that name."""
        given = self.graph.array(self.node.inputs[self.index])
        assert given is not None
        if bias.any():
            total = given.astype(np.float64) + bias.reshape(given.shape)
            self.graph.set_input(self.node, self.index, self.graph.constant(total.astype(given.dtype), hint=name))


def added_bias(graph: Graph, value: gs.Tensor, channels: int, behind: int = 0) -> AddedBias | None:
    """The Add of a bias to a value, and to nothing else; `behind` is the number of axes behind that of the channels."""
    reader = graph.only_reader(value)
    if reader is None or reader.op != "Add" or not is_standard(reader):
        return None
    index = 1 if reader.inputs[0] is value else 0
    array = graph.array(reader.inputs[index])
    rank = graph.rank(value)
    if array is None or rank is None or array.ndim > rank or not is_float(array.dtype):
        return None
    is_bias = array.size == channels and array.ndim > behind and array.shape[array.ndim - 1 - behind] == channels
    return AddedBias(graph, reader, index) if is_bias else None


def add_bias(graph: Graph, node: gs.Node, bias: Array, *, behind: int, name: str) -> None:
    """Add (channels,) numbers to what a node computes, by a new Add whose result has the name of the node's."""
    constant = graph.constant(bias.reshape(-1, *[1] * behind), hint=name)
    value = node.outputs[0]
    inner = gs.Variable(graph.fresh_name(f"{value.name}_product"), value.dtype, value.shape)
    node.outputs = [inner]
    graph.add("Add", [inner, constant], output=value)
