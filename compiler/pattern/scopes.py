"""Where the nodes of a graph stand: in the graph itself, or in the body of an If, a Loop or a Scan.

Asking and editing that hold for both, and take time that does not grow with the number of edits made so far.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.node_order import subgraphs

_FEW = 16


class Scopes:
    """The graph and its bodies between two `tidy` calls."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order: dict[int, int] = {}
        """by node: a number that is not larger than those of the nodes that read it"""
        self._body: dict[int, gs.Graph] = {}
        self._holder: dict[int, gs.Node] = {}
        self._results: dict[int, int] = {}
        self._nodes: list[gs.Node] = []
        self._visit(graph, None)

    def _visit(self, where: gs.Graph, body: gs.Graph | None) -> None:
        for value in where.outputs:
            self._results[id(value)] = self._results.get(id(value), 0) + 1
        for node in where.nodes:
            for inner in subgraphs(node):
                self._visit(inner, inner)
                self._holder[id(inner)] = node
            self.order[id(node)] = len(self._nodes)
            self._nodes.append(node)
            if body is not None:
                self._body[id(node)] = body

    def nodes(self) -> list[gs.Node]:
        """All nodes, each behind those it reads; the nodes of a body stand before the node that has it."""
        return self._nodes

    def body(self, node: gs.Node) -> gs.Graph | None:
        """The body a node stands in, None for the graph itself."""
        return self._body.get(id(node))

    def is_removed(self, node: gs.Node) -> bool:
        return id(node) in self.graph._removed

    def is_result(self, value: gs.Tensor) -> bool:
        """Whether a value is an output of the graph, or handed out by a body."""
        return id(value) in self._results

    def producer(self, value: gs.Tensor) -> gs.Node | None:
        for node in value.inputs:
            if not self.is_removed(node) and any(each is value for each in node.outputs):
                return node
        return None

    def readers(self, value: gs.Tensor) -> Iterator[gs.Node]:
        """The nodes that read a value. Those that no longer do are forgotten once they are the larger part."""
        found: dict[int, gs.Node] = {}
        stale = 0
        for node in value.outputs:
            if id(node) in found:
                continue
            if self.is_removed(node) or not any(each is value for each in node.inputs):
                stale += 1
                continue
            found[id(node)] = node
            yield node
        if stale > len(found) + _FEW:
            list.clear(value.outputs)
            list.extend(value.outputs, found.values())

    def read_beside(self, value: gs.Tensor, known: Collection[int]) -> gs.Node | None:
        """A node that reads a value and is not among the known ones (by id)."""
        stale = 0
        found = None
        for node in value.outputs:
            if id(node) in known:
                continue
            if not self.is_removed(node) and any(each is value for each in node.inputs):
                found = node
                break
            stale += 1
        if stale > _FEW and 2 * stale > len(value.outputs):
            live = list({id(node): node for node in value.outputs if not self.is_removed(node)}.values())
            list.clear(value.outputs)
            list.extend(value.outputs, live)
        return found

    def few_readers(self, value: gs.Tensor) -> list[gs.Node]:
        """All readers of a value, or none of them where there are many."""
        found: list[gs.Node] = []
        for node in self.readers(value):
            found.append(node)
            if len(found) > _FEW:
                return []
        return found

    # --- edits --------------------------------------------------------------------------------------------

    def settle(self, before: int, body: gs.Graph | None) -> list[gs.Node]:
        """Put the nodes that were added to the graph since it had `before` nodes where they belong, and number them."""
        added = self.graph.nodes[before:]
        if body is not None:
            del self.graph.nodes[before:]
            body.nodes.extend(added)
        for node in added:
            if body is not None:
                self._body[id(node)] = body
                self.graph._inner()[0].add(id(node))
            sources = [self.producer(each) for each in node.inputs]
            self.order[id(node)] = max((self.order.get(id(each), 0) for each in sources if each is not None), default=0)
        return added

    def take_over(self, node: gs.Node, index: int, value: gs.Variable) -> None:
        """Let a new node's output be an existing value, whose producer is gone."""
        fresh = node.outputs[index]
        list.__setitem__(node.outputs, index, value)
        list.clear(value.inputs)
        list.append(value.inputs, node)
        for reader in list(self.readers(fresh)):
            for at, each in enumerate(reader.inputs):
                if each is fresh:
                    list.__setitem__(reader.inputs, at, value)
                    list.append(value.outputs, reader)
        list.clear(fresh.outputs)
        list.clear(fresh.inputs)
        self._raise(value)

    def replace(self, old: gs.Variable, new: gs.Tensor, body: gs.Graph | None) -> gs.Node | None:
        """Let everything that reads `old` read `new`. Returns the Identity that had to be put in, if any."""
        if old is new:
            return None
        identity: gs.Node | None = None
        if body is None or not self.is_result(old):
            before = len(self.graph.nodes)
            handed_out = self._results.pop(id(old), 0)
            self.graph.replace(old, new)
            if len(self.graph.nodes) > before:
                identity = self.settle(before, None)[0]
                self._results[id(old)] = handed_out
            elif handed_out:
                self._results[id(new)] = self._results.get(id(new), 0) + handed_out
        else:
            for reader in list(self.readers(old)):
                for at, each in enumerate(reader.inputs):
                    if each is old:
                        list.__setitem__(reader.inputs, at, new)
                        list.append(new.outputs, reader)
            list.clear(old.outputs)
            list.clear(old.inputs)
            # A body hands out what it computes itself; its outputs have no names that anybody knows.
            before = len(self.graph.nodes)
            self.graph.add("Identity", [new], output=old)
            identity = self.settle(before, body)[0]
        self._raise(identity.outputs[0] if identity is not None else new)
        return identity

    def _raise(self, value: gs.Tensor) -> None:
        """Number the nodes that read a value at least as high as the one that computes it, and so on."""
        source = self.producer(value)
        waiting = [(value, self.order[id(source)])] if source is not None else []
        while waiting:
            each, least = waiting.pop()
            for reader in self.readers(each):
                node: gs.Node | None = reader
                while node is not None and self.order.get(id(node), least) < least:
                    self.order[id(node)] = least
                    waiting.extend((output, least) for output in node.outputs)
                    node = self._holder.get(id(self.body(node)))
