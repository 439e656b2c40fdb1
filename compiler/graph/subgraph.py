"""A few nodes of a graph as a graph of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.extras import node_extras


def part(
    graph: Graph, nodes: Sequence[gs.Node], outputs: Sequence[gs.Tensor], known: Mapping[int, Array] | None = None
) -> Graph:
    """A graph of copies of `nodes` that computes `outputs`; what it reads and does not compute are its inputs.

    `known` gives, by id, the numbers of values that shall be constants there. Values keep their names, weights are
    shared, and the links of the nodes themselves stay as they are. The nodes have no bodies.
    """
    made = {id(value): gs.Variable(value.name, value.dtype, value.shape) for node in nodes for value in node.outputs}
    twins: dict[int, gs.Tensor] = {**made}
    inputs: list[gs.Variable] = []

    def twin(value: gs.Tensor) -> gs.Tensor:
        if id(value) not in twins:
            if isinstance(value, gs.Constant):
                twins[id(value)] = gs.Constant(value.name, value._values)
            elif known and id(value) in known:
                twins[id(value)] = gs.Constant(value.name, known[id(value)])
            else:
                twins[id(value)] = copy = gs.Variable(value.name, value.dtype, value.shape)
                if value.name:
                    inputs.append(copy)
        return twins[id(value)]

    copies = []
    for node in nodes:
        ends = [twin(value) for value in node.inputs], [made[id(value)] for value in node.outputs]
        copies.append(gs.Node(node.op, node.name, node.attrs, *ends, domain=node.domain))
        node_extras(copies[-1]).attributes = node_extras(node).attributes
    results = [twin(value) for value in outputs]
    found = Graph(nodes=copies, inputs=inputs, outputs=results, opset=graph.opset, ir_version=graph.ir_version)
    found.model.opset_import.extend(graph.model.opset_import)
    return found
