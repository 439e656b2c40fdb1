"""Match a pattern at a node of the graph, with every order of the inputs of commutative operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.operators.elementwise import BROADCASTING
from vggc.pattern.compiled import (
    AttributeSpec,
    CaptureSpec,
    InputSpec,
    NodeSpec,
    NumberSpec,
    OutputSpec,
    Pattern,
    RootSpec,
)
from vggc.pattern.equality import enlarges, is_number, same, same_attribute
from vggc.pattern.operators import OperatorSets, attribute, is_commutative, operator_of
from vggc.pattern.values import Absent

MOST_TRIALS = 10_000
"""Comparisons after which looking for one pattern at one node is given up: a pattern can fit in very many ways."""

MOST_CANDIDATES = 256
"""Nodes tried for a further root of a pattern, where a value that both roots share has very many readers."""


@dataclass(frozen=True)
class Found:
    """A match: what each name stands for, the node for each node of the pattern, and the values of the roots.

    Names stand for values (gs.Tensor), the remaining inputs (a tuple of them), attributes (numbers, texts, tuples,
    arrays), nodes (gs.Node), or Absent.
    """

    names: dict[str, Any]
    nodes: dict[NodeSpec, gs.Node]
    roots: tuple[gs.Variable, ...]
    body: gs.Graph | None

    @property
    def node(self) -> gs.Node:
        """The node at which matching began."""
        return next(iter(self.nodes.values()))


Accept = Callable[[Found], bool]
_Task = tuple[InputSpec | int, Any]
_Tasks = tuple[_Task, "_Tasks"] | None


class Matcher:
    """Looks for one pattern in one graph."""

    def __init__(self, pattern: Pattern, graph: Graph, sets: OperatorSets) -> None:
        self._pattern = pattern
        self._graph = graph
        self._sets = sets
        self._names: dict[str, Any] = {}
        self._nodes: dict[NodeSpec, gs.Node] = {}
        self._roots: list[gs.Variable] = []
        self._trail: list[str | NodeSpec | None] = []
        self._late: list[tuple[OutputSpec, gs.Tensor]] = []
        self._body: gs.Graph | None = None
        self._trials = 0
        self._accept: Accept = lambda _: True

    def match(self, node: gs.Node, accept: Accept) -> bool:
        """Whether the pattern, its first root at `node`, matches in a way that `accept` takes.

        Ways are tried in order until one is taken. Raises Declined when there are too many of them.
        """
        anchor = self._pattern.anchor
        if operator_of(node) not in anchor.operators or not self._can_stand_for(anchor, node):
            return False
        self._names, self._nodes, self._late, self._trail, self._trials = {}, {}, [], [], 0
        self._roots = [node.outputs[anchor.output]]
        self._body = self._graph.body(node)
        self._accept = accept
        tasks: _Tasks = None
        for index in reversed(range(1, len(self._pattern.roots))):
            tasks = ((index, None), tasks)
        return self._node(anchor, node, tasks)

    # --- searching ----------------------------------------------------------------------------------------

    def _solve(self, tasks: _Tasks) -> bool:
        while tasks is not None:
            (spec, value), tasks = tasks
            if isinstance(spec, NodeSpec):
                source = self._graph.producer(value)
                if source is None or not self._fits(spec, source, value):
                    return False
                return self._node(spec, source, tasks)
            if isinstance(spec, int):
                return self._root(self._pattern.roots[spec], spec, tasks)
            if not self._leaf(spec, value):
                return False
        return self._finish()

    def _node(self, spec: NodeSpec, node: gs.Node, tasks: _Tasks) -> bool:
        """Match a node whose operator fits, then `tasks`."""
        self._count()
        mark = len(self._trail)
        self._nodes[spec] = node
        self._trail.append(spec)
        if (not spec.label or self._bind(spec.label, node)) and all(
            self._attribute(each, node) for each in spec.attributes
        ):
            for inputs, rest in self._arrangements(spec, node):
                if self._enlarged(node, inputs):
                    continue
                inner = len(self._trail)
                if not spec.rest or self._bind(spec.rest, rest):
                    further = tasks
                    for each in reversed(inputs):
                        further = (each, further)
                    if self._solve(further):
                        return True
                self._undo(inner)
        self._undo(mark)
        return False

    def _arrangements(
        self, spec: NodeSpec, node: gs.Node
    ) -> Iterator[tuple[list[tuple[InputSpec, gs.Tensor | None]], tuple[gs.Tensor, ...]]]:
        """Which input of the node goes with which input of the pattern, and what remains."""
        values: list[gs.Tensor | None] = [each if each.name else None for each in node.inputs]
        while values and values[-1] is None:
            values.pop()
        wanted = len(spec.inputs)
        if len(values) < spec.required or (spec.rest is None and len(values) > wanted):
            return
        given = [*values, *[None] * (wanted - len(values))]
        first = list(zip(spec.inputs, given, strict=False))
        rest = tuple(each for each in values[wanted:] if each is not None)
        if len(rest) == len(values[wanted:]):
            yield first, rest
        if len(values) < 2 or not wanted or any(each is None for each in values):
            return
        if not is_commutative(operator_of(node), self._sets):
            return
        straight = tuple(range(wanted))
        for order in permutations(range(len(values)), min(wanted, len(values))):
            self._count()
            chosen = [values[each] for each in order]
            if order != straight and any(one is not other for one, other in zip(chosen, values, strict=False)):
                left = tuple(each for at, each in enumerate(values) if at not in order and each is not None)
                yield list(zip(spec.inputs, [*chosen, *[None] * (wanted - len(chosen))], strict=True)), left

    def _enlarged(self, node: gs.Node, inputs: Sequence[tuple[InputSpec, gs.Tensor | None]]) -> bool:
        """Whether a constant that stands for a number makes the node's result larger, as a number would not."""
        domain, op = operator_of(node)
        if domain or op not in BROADCASTING:
            return False
        numbers = [value for spec, value in inputs if isinstance(spec, NumberSpec) and isinstance(value, gs.Constant)]
        beside = [each for each in node.inputs if each.name and not any(each is number for number in numbers)]
        return any(each.shape and enlarges(self._graph, each, beside) for each in numbers)

    def _root(self, spec: RootSpec, index: int, tasks: _Tasks) -> bool:
        if isinstance(spec, OutputSpec):
            outputs = self._names[spec.label].outputs
            if spec.index >= len(outputs) or not outputs[spec.index].name:
                return False
            return self._with_root(outputs[spec.index], lambda: self._solve(tasks))
        for node in self._candidates(index):
            if self._can_stand_for(spec, node):
                value = node.outputs[spec.output]
                if self._with_root(value, lambda node=node: self._node(spec, node, tasks)):  # type: ignore[misc]
                    return True
        return False

    def _with_root(self, value: gs.Variable, solve: Callable[[], bool]) -> bool:
        if any(each is value for each in self._roots):
            return False
        self._roots.append(value)
        if solve():
            return True
        self._roots.pop()
        return False

    def _candidates(self, index: int) -> Sequence[gs.Node]:
        """Nodes that may be a further root: found from a value it shares with the roots before."""
        climb = self._pattern.climbs[index - 1]
        assert climb is not None
        start = self._names[climb.capture]
        if climb.label:
            start = start.outputs[climb.output] if climb.output < len(start.outputs) else None
        values: list[gs.Tensor] = [start] if isinstance(start, gs.Tensor) else []
        found: list[gs.Node] = []
        for spec in climb.nodes:
            found = []
            for value in values:
                for node in self._graph.iterate_readers(value):
                    if operator_of(node) in spec.operators and self._graph.body(node) is self._body:
                        found.append(node)
                    if len(found) > MOST_CANDIDATES:
                        raise Declined(f"`{climb.capture}` has more than {MOST_CANDIDATES} readers to choose from")
            values = [node.outputs[spec.output] for node in found if self._can_stand_for(spec, node)]
        return list({id(node): node for node in found}.values())

    def _finish(self) -> bool:
        for spec, value in self._late:
            if not self._leaf(spec, value):
                return False
        return self._accept(Found(dict(self._names), dict(self._nodes), tuple(self._roots), self._body))

    # --- what a single input, output or attribute must be -------------------------------------------------

    def _fits(self, spec: NodeSpec, node: gs.Node, value: gs.Tensor) -> bool:
        return (
            operator_of(node) in spec.operators
            and spec.output < len(node.outputs)
            and node.outputs[spec.output] is value
            and self._graph.body(node) is self._body
        )

    def _can_stand_for(self, spec: NodeSpec, node: gs.Node) -> bool:
        return spec.output < len(node.outputs) and bool(node.outputs[spec.output].name)

    def _leaf(self, spec: InputSpec, value: gs.Tensor | None) -> bool:
        if isinstance(spec, CaptureSpec):
            if value is None and not spec.optional:
                return False
            return not spec.name or self._bind(spec.name, Absent(spec.name) if value is None else value)
        if value is None:
            return False
        if isinstance(spec, NumberSpec):
            return is_number(self._graph, value, spec.number)
        assert isinstance(spec, OutputSpec)
        node = self._names.get(spec.label)
        if node is None:
            self._late.append((spec, value))
            self._trail.append(None)
            return True
        return spec.index < len(node.outputs) and node.outputs[spec.index] is value

    def _attribute(self, spec: AttributeSpec, node: gs.Node) -> bool:
        found = attribute(self._graph, self._sets, node, spec.name)
        if spec.capture is None:
            return found is not None and same_attribute(found, spec.literal)
        if found is None:
            return spec.optional and (not spec.capture or self._bind(spec.capture, Absent(spec.capture)))
        return not spec.capture or self._bind(spec.capture, found)

    def _bind(self, name: str, value: Any) -> bool:
        if name not in self._names:
            self._names[name] = value
            self._trail.append(name)
            return True
        return same(self._graph, self._names[name], value)

    def _undo(self, mark: int) -> None:
        while len(self._trail) > mark:
            entry = self._trail.pop()
            if entry is None:
                self._late.pop()
            elif isinstance(entry, str):
                del self._names[entry]
            else:
                del self._nodes[entry]

    def _count(self) -> None:
        self._trials += 1
        if self._trials > MOST_TRIALS:
            raise Declined(f"the pattern fits in too many ways: the search stopped after {MOST_TRIALS:,} comparisons")
