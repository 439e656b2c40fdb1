"""Cut some nodes out of a graph, as a separate model."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.node_order import reads


def around(graph: Graph, nodes: Iterable[gs.Node], depth: int) -> set[str]:
    """The names of the values that nodes compute, those of all nodes at most `depth` away from them included."""
    made_by = {id(value): node for node in graph.nodes for value in node.outputs}
    readers: dict[int, list[gs.Node]] = {}
    for node in graph.nodes:
        for value in reads(node):
            readers.setdefault(id(value), []).append(node)
    reached = {id(node): node for node in nodes}
    front = list(reached.values())
    for _ in range(depth):
        near = [made_by[id(value)] for node in front for value in reads(node) if id(value) in made_by]
        near += [reader for node in front for value in node.outputs for reader in readers.get(id(value), ())]
        front = [node for node in {id(each): each for each in near}.values() if id(node) not in reached]
        reached |= {id(node): node for node in front}
    return {value.name for node in reached.values() for value in node.outputs if value.name}


def cut(graph: Graph, computed: Collection[str]) -> Graph:
    """A model of the nodes that compute these values. The values that they read from other nodes are its inputs.

    Its outputs are the results that none of its nodes reads, and results that are outputs of the graph.
    """
    twin = graph.copy()
    nodes = [node for node in twin.nodes if any(value.name in computed for value in node.outputs)]
    made = {id(value) for node in nodes for value in node.outputs}
    read = {id(value): value for node in nodes for value in reads(node)}
    outer = {id(value): value for value in twin.inputs}
    known = {id(value) for node in twin.nodes for value in node.outputs} | outer.keys()
    inputs = [
        value
        for value in read.values()
        if isinstance(value, gs.Variable) and id(value) in known and id(value) not in made
    ]
    results = {id(value) for value in twin.outputs}
    outputs: list[gs.Tensor] = [
        value
        for node in nodes
        for value in node.outputs
        if value.name and (id(value) not in read or id(value) in results)
    ]
    for value in inputs:
        list.clear(value.inputs)
    twin.nodes, twin.inputs, twin.outputs = nodes, inputs, outputs
    twin.tidy()
    twin.infer_shapes()
    return twin
