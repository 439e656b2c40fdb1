"""The order of nodes while rules rewrite a graph, those inside the bodies of If, Loop and Scan included.

It is kept up to date in time that does not grow with the number of edits made so far.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.node_order import subgraphs


class Scopes:
    """The nodes of a graph and of its bodies between two `tidy` calls.

    nodes  all nodes, each behind those it reads; the nodes of a body stand before the node that has it
    order  by id of a node a number that is not larger than those of the nodes that read it
    """

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[gs.Node] = []
        self.order: dict[int, int] = {}
        self._graph = graph
        self._holder: dict[int, gs.Node] = {}
        self._visit(graph)

    def _visit(self, where: gs.Graph) -> None:
        for node in where.nodes:
            for inner in subgraphs(node):
                self._visit(inner)
                self._holder[id(inner)] = node
            self.order[id(node)] = len(self.nodes)
            self.nodes.append(node)

    # --- edits --------------------------------------------------------------------------------------------

    def settle(self, before: int, body: gs.Graph | None) -> list[gs.Node]:
        """Put the nodes that were added to the graph since it had `before` nodes where they belong, and number them."""
        added = self._graph.nodes[before:]
        self._graph.move_last(len(added), body)
        for node in added:
            self._number(node)
        return added

    def take_over(self, node: gs.Node, index: int, value: gs.Variable) -> None:
        """Let a new node's output be an existing value, whose producer is gone."""
        fresh = node.outputs[index]
        self._graph.set_output(node, index, value)
        self._graph.replace(fresh, value)
        self._raise(value)

    def replace(self, old: gs.Variable, new: gs.Tensor, body: gs.Graph | None) -> gs.Node | None:
        """Let everything that reads `old` read `new`. Returns the Identity that this takes, if any."""
        identity = self._graph.replace(old, new, body)
        if identity is not None:
            self._number(identity)
        self._raise(new if identity is None else old)
        return identity

    # --- the order ----------------------------------------------------------------------------------------

    def _number(self, node: gs.Node) -> None:
        sources = [self._graph.producer(value) for value in node.inputs]
        self.order[id(node)] = max((self.order.get(id(each), 0) for each in sources if each is not None), default=0)

    def _raise(self, value: gs.Tensor) -> None:
        """Number the nodes that read a value at least as high as the one that computes it, and so on."""
        source = self._graph.producer(value)
        waiting = [(value, self.order[id(source)])] if source is not None else []
        while waiting:
            each, least = waiting.pop()
            for reader in self._graph.readers(each):
                node: gs.Node | None = reader
                while node is not None and self.order.get(id(node), least) < least:
                    self.order[id(node)] = least
                    waiting.extend((output, least) for output in node.outputs)
                    node = self._holder.get(id(self._graph.body(node)))
