"""The bodies of If, Loop and Scan as graphs of their own, for passes that look at a graph as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from vggc.graph.graph import Graph
from vggc.graph.node_order import reads, subgraphs

_REPEATED = frozenset({"Loop", "Scan"})


class _BodyGraph(Graph):
    """A body with the nodes themselves, not copies; what it reads from outside are inputs of it.

    A value from outside has no producer here, and new names are new in the whole model.
    """

    def enter(self, outer: Graph) -> None:
        """Take the place in the model: its operator sets, its names, and what edits write into nodes."""
        self.model.opset_import.extend(outer.model.opset_import)
        self._outer_names = frozenset(outer._taken)
        self._names, self._stamp = outer._names, outer._stamp
        self.tidy()

    def _relink(self) -> None:
        super()._relink()
        self._taken |= self._outer_names


def bodies(graph: Graph) -> Iterator[Graph]:
    """Each body of a graph, the inner ones first. What is done to one is done to the graph.

    The shapes of what Loop and Scan hand to their bodies are unknown meanwhile: another iteration may have others.
    """
    owners = [node for node in graph.nodes if any(subgraphs(node))]
    if owners:
        graph.tidy()
    for node in owners:
        yield from _bodies_of(graph, node)


def _bodies_of(graph: Graph, node: gs.Node) -> Iterator[Graph]:
    for body in list(subgraphs(node)):
        for inner in list(body.nodes):
            yield from _bodies_of(graph, inner)
        shapes = {id(value): value.shape for value in body.inputs}
        for value in body.inputs if node.op in _REPEATED else ():
            value.shape = None
        view = _view(graph, body)
        before = _BodyNames(view)
        yield view
        view.tidy()
        for value in body.inputs:
            value.shape = shapes[id(value)]
        body.nodes, body.outputs = view.nodes, view.outputs
        before.keep_apart(graph, view)
        graph.tidy()


def _view(graph: Graph, body: gs.Graph) -> _BodyGraph:
    made = {id(value) for node in body.nodes for value in node.outputs}
    read = (value for node in body.nodes for value in reads(node))
    outside = {
        id(value): value
        for value in (*body.inputs, *read, *body.outputs)
        if isinstance(value, gs.Variable) and value.name and id(value) not in made
    }
    view = _BodyGraph(
        nodes=body.nodes,
        inputs=list(outside.values()),
        outputs=body.outputs,
        opset=graph.opset,
        ir_version=graph.ir_version,
    )
    view.enter(graph)
    return view


class _BodyNames:
    """The names in a body before it is changed. Another body may use them for values of its own."""

    def __init__(self, view: Graph) -> None:
        constants = {id(value) for node in view.nodes for value in node.inputs if isinstance(value, gs.Constant)}
        self._constants = constants
        self._values = {value.name for node in view.nodes for value in node.outputs}

    def keep_apart(self, graph: Graph, view: Graph) -> None:
        """Rename constants that have taken the name of a value: the model holds them for all bodies."""
        for node in view.nodes:
            for value in node.inputs:
                if isinstance(value, gs.Constant) and id(value) not in self._constants and value.name in self._values:
                    self._constants.add(id(value))
                    value.name = graph.fresh_name(value.name)
