"""Match the values of two models that should be the same.

Values are matched by name when both models compute a value of that name, because a name keeps its meaning in vggc. For
names that are only numbers, the operators must agree too. Other nodes are matched by structure: starting from the
inputs, the counterpart of a node is the nearest node with the same operator that reads the counterpart of its input,
at most `_REACH` nodes further. A node without a counterpart takes the position of its first input, so that the nodes
after a folded or inserted node can still be matched. Two values matched by structure are compared only when nodes of
the same operators read them, because a convolution before a batch norm does not compute what the folded one computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.node_order import reads

How = Literal["name", "structure"]

_REACH = 4


@dataclass(frozen=True)
class NodeMatch:
    """A node of each model, and how the two were matched."""

    before: gs.Node
    after: gs.Node
    how: How


@dataclass(frozen=True)
class Matching:
    """The counterparts of two models. `nodes` are in the order of the first model.

    `values` are the names of values that should be equal, with the match of their nodes. Inputs and outputs are matched
    by name, and the remaining ones by position.
    """

    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    nodes: tuple[NodeMatch, ...]
    values: tuple[tuple[str, str, NodeMatch], ...]


def match(before: Graph, after: Graph) -> Matching:
    """Match two models whose nodes are in topological order. Linear in nodes and values."""
    inputs = _pairs([value.name for value in before.inputs], [value.name for value in after.inputs])
    outputs = _pairs([value.name for value in before.outputs], [value.name for value in after.outputs])
    nodes = _NodeMatcher(before, after, inputs).run()
    values = []
    old, new = _Readers(before), _Readers(after)
    output_names = dict(outputs)
    for node_match in nodes:
        for first, second in zip(node_match.before.outputs, node_match.after.outputs, strict=False):
            if not first.name or not second.name:
                continue
            named = first.name == second.name
            if named or output_names.get(first.name) == second.name or old.operators(first) == new.operators(second):
                values.append((first.name, second.name, node_match))
    return Matching(inputs, outputs, tuple(nodes), tuple(values))


def _pairs(before: list[str], after: list[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of equal names, and pairs of the other names in their order."""
    same = set(before) & set(after)
    rest = iter(name for name in after if name not in same)
    found = [(name, name if name in same else next(rest, "")) for name in before]
    return tuple((first, second) for first, second in found if second)


class _Readers:
    """The nodes that read each value of a graph. Reads in bodies of If and Loop count as reads of that node."""

    def __init__(self, graph: Graph) -> None:
        self._outputs = {id(value) for value in graph.outputs}
        self._nodes: dict[int, list[gs.Node]] = {}
        for node in graph.nodes:
            for value in {id(each): each for each in reads(node)}.values():
                self._nodes.setdefault(id(value), []).append(node)

    def of(self, value: gs.Tensor) -> list[gs.Node]:
        return self._nodes.get(id(value), [])

    def operators(self, value: gs.Tensor) -> list[str]:
        return sorted([node.op for node in self.of(value)] + ["an output"] * (id(value) in self._outputs))


class _NodeMatcher:
    """Matches the nodes of one graph, in their order, with those of another."""

    def __init__(self, before: Graph, after: Graph, inputs: tuple[tuple[str, str], ...]) -> None:
        self._before = before
        self._after = after
        self._readers = _Readers(after)
        self._named = {value.name: node for node in after.nodes for value in node.outputs if value.name}
        values = {value.name: value for value in after.inputs}
        own = {value.name: value for value in before.inputs}
        self._place: dict[int, gs.Tensor] = {id(own[first]): values[second] for first, second in inputs}
        self._used: set[int] = set()

    def run(self) -> list[NodeMatch]:
        by_name = {id(node): twin for node in self._before.nodes if (twin := self._by_name(node)) is not None}
        self._used.update(id(twin) for twin in by_name.values())
        matches = []
        for node in self._before.nodes:
            twin, how = by_name.get(id(node)), "name"
            if twin is None:
                twin, how = self._by_structure(node), "structure"
            if twin is not None:
                self._used.add(id(twin))
                matches.append(NodeMatch(node, twin, "name" if how == "name" else "structure"))
            self._place_results(node, twin)
        return matches

    def _by_name(self, node: gs.Node) -> gs.Node | None:
        for value in node.outputs:
            twin = self._named.get(value.name) if value.name else None
            if twin is not None and (twin.op == node.op or not value.name.isdecimal()):
                return twin
        return None

    def _by_structure(self, node: gs.Node) -> gs.Node | None:
        places = [place for value in node.inputs if (place := self._place.get(id(value))) is not None]
        best: gs.Node | None = None
        for place in places[:1]:
            for twin in self._below(place):
                if twin.op != node.op or id(twin) in self._used:
                    continue
                if self._alike(node, twin):
                    return twin
                best = best or twin
        return best

    def _below(self, value: gs.Tensor) -> Iterator[gs.Node]:
        """The nodes after a value, the nearest first."""
        queue = deque((node, 1) for node in self._readers.of(value))
        seen = {id(node) for node, _ in queue}
        while queue:
            node, depth = queue.popleft()
            yield node
            for result in node.outputs if depth < _REACH else ():
                for reader in self._readers.of(result):
                    if id(reader) not in seen:
                        seen.add(id(reader))
                        queue.append((reader, depth + 1))

    def _alike(self, node: gs.Node, twin: gs.Node) -> bool:
        """Whether the shapes of the constants, and those of the first results, agree."""
        own, other = (
            [tuple(each.shape) for each in one.inputs if isinstance(each, gs.Constant)] for one in (node, twin)
        )
        return own == other and _sizes(self._before, node) == _sizes(self._after, twin)

    def _place_results(self, node: gs.Node, twin: gs.Node | None) -> None:
        """Record the values of the other graph that correspond to the results of a node."""
        if twin is not None:
            for first, second in zip(node.outputs, twin.outputs, strict=False):
                self._place[id(first)] = second
            return
        place = next((place for value in node.inputs if (place := self._place.get(id(value))) is not None), None)
        if place is not None:
            for value in node.outputs:
                self._place[id(value)] = place


def _sizes(graph: Graph, node: gs.Node) -> list[int | None] | None:
    """The static sizes of a node's first result, None for each dynamic one."""
    shape = graph.shape(node.outputs[0]) if node.outputs else None
    return None if shape is None else [each if isinstance(each, int) else None for each in shape]
