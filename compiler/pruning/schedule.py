"""In which order nodes are repaired, and which."""

from __future__ import annotations

from collections.abc import Callable

import onnx_graphsurgeon as gs

from vggc.calibration.epilogue import epilogue
from vggc.calibration.matrix import Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.graph import Graph
from vggc.graph.node_order import dependencies, reads
from vggc.operators.roles import NORMS, PRODUCTS, RECURRENT, is_product, summed_channels

_OTHER_PRODUCTS = RECURRENT | {"Einsum"}
"""Operators beside products that multiply data by weights which can be solved."""

_LOOKING_AT_ALL = (NORMS - {"BatchNormalization"}) | {"Einsum"}
"""Operators whose results may depend on all channels at once."""


class Schedule:
    """The nodes with weights that are to be solved, each behind all that its inputs depend on.

    Of two branches that meet in a sum, one is solved last, for the sum: where the exporter wrote the branch of the
    projection behind the other one, it is moved before it.

    nodes   in the order of their repair
    values  the values of the original by name
    """

    def __init__(
        self,
        graph: Graph,
        original: Graph,
        *,
        everything: bool,
        wanted: Callable[[gs.Node], bool] = lambda node: True,
    ) -> None:
        self._graph = graph
        self._twins = {node.outputs[0].name: node for node in original.nodes if node.outputs}
        self.values = {value.name: value for node in original.nodes for value in node.outputs}
        self._pending = {id(node) for node in self._chosen(original, everything) if wanted(node)}
        self._settled: set[int] = set()
        left = set(self._pending)
        self.nodes: list[gs.Node] = []
        for node in graph.nodes:
            if id(node) not in left:
                continue
            for each in (*self._before(node, left), node):
                left.discard(id(each))
                self.nodes.append(each)
        self._places = {id(each): index for index, each in enumerate(self.nodes)}

    def twin(self, node: gs.Node) -> gs.Node | None:
        """The node of the original with the same first output."""
        return self._twins.get(node.outputs[0].name)

    def is_ready(self, value: gs.Tensor) -> bool:
        """Whether nothing that a value depends on has yet to be repaired."""
        return not self._unfinished(value, self._pending)

    def finish(self, node: gs.Node) -> None:
        """A node has been repaired, or cannot be."""
        self._pending.discard(id(node))

    def expected(self, node: gs.Node) -> list[gs.Tensor]:
        """The original's value that the node behind this one will probably be compared with, if there is one."""
        index = self._places[id(node)] + 1
        if index == len(self.nodes):
            return []
        left = self._pending - {id(node)}
        try:
            found = epilogue(self._graph, self.nodes[index], ready=lambda value: not self._unfinished(value, left))
        except Unsuitable:
            return []
        return [self.values[found.end.name]] if found.end.name in self.values else []

    def _chosen(self, original: Graph, everything: bool) -> list[gs.Node]:
        changed: set[str] = set()
        found = []
        for node in self._graph.nodes:
            differs = everything or any(value.name in changed for value in reads(node))
            product = is_product(node) or node.op in _OTHER_PRODUCTS
            twin = self._twins.get(node.outputs[0].name) if node.outputs else None
            if not differs and (product or node.op.startswith("Reduce") or node.op in _LOOKING_AT_ALL):
                differs = twin is None or _summed(self._graph, node) != _summed(original, twin)
            if not differs and node.op == "Conv" and twin is not None:
                # A convolution over channels that keep their places reads zeros at those of the others.
                differs = [value.name for value in node.inputs[:1]] != [value.name for value in twin.inputs[:1]]
            if differs:
                changed |= {value.name for value in node.outputs}
            if product and differs:
                found.append(node)
        return found

    def _before(self, node: gs.Node, left: set[int]) -> list[gs.Node]:
        """What must be repaired before a node so that the other summand of the sum behind it is final."""
        asked: list[gs.Tensor] = []

        def note(value: gs.Tensor) -> bool:
            asked.append(value)
            return True

        try:
            as_matrix(self._graph, node)
            epilogue(self._graph, node, ready=note)
        except Unsuitable:
            return []
        return [each for value in asked for each in self._unfinished(value, left) if each is not node]

    def _unfinished(self, value: gs.Tensor, left: set[int]) -> list[gs.Node]:
        """The nodes of `left` that a value depends on, each behind those it depends on itself."""
        nodes = dependencies([value], self._producer)
        found = [node for node in nodes if id(node) in left]
        if not found and left is self._pending:
            self._settled |= {id(node) for node in nodes}
        return found

    def _producer(self, value: gs.Tensor) -> gs.Node | None:
        node = self._graph.producer(value)
        return None if node is None or id(node) in self._settled else node


def _summed(graph: Graph, node: gs.Node) -> list[object]:
    """The sizes a node sums over, channels among them: when they differ from the original's, so do its results."""
    for weight in (1, 0) if node.op == "MatMul" else (1,) if node.op in PRODUCTS else ():
        constant = node.inputs[weight]
        if isinstance(constant, gs.Constant):
            # A depthwise convolution that loses channels still reads one for each output.
            return [summed_channels(node, constant.shape, weight)]
    before = graph.producer(node.inputs[0]) if node.op == "InstanceNormalization" else None
    # A group norm of fewer channels may differ only in a dimension that is not known: what is merged into it tells.
    merged = before.inputs if before is not None and before.op == "Reshape" else []
    return [value.shape for value in (*node.inputs, *merged) if value.shape is not None]
