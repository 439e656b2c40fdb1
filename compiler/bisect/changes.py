"""Separate the changes that a step made: everything between two values that both graphs have is one change.

A value's name keeps its meaning. So a value with the same name, type and shape before and after the step is a place
where the two graphs can be joined. A change is the part of the graph between such a value and the next shared values
before it, where this part differs between the graphs: a convolution and its batch norm that became one node, a weight
that was scaled, the quantizers around a layer. `joined` makes the graph before the step with some of its changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.bisect.channel_scales import Scales
from vggc.execution.intermediates import variables
from vggc.graph import Graph
from vggc.graph.extras import node_extras
from vggc.graph.node_order import subgraphs


@dataclass(frozen=True)
class Change:
    """A difference in how `value` is computed: the nodes before and after the step, as messages name them."""

    value: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    rule: str
    """the rule that made the change, empty when the step is not made of rules"""

    def __str__(self) -> str:
        return f"`{self.value}` of {self.after[-1] if self.after else 'nothing'}"


@dataclass(frozen=True)
class Segment:
    """The nodes that compute a value from shared values, in order, and these shared values in the order of reading."""

    nodes: tuple[gs.Node, ...]
    inputs: tuple[str, ...]


def changes(before: Graph, after: Graph, shared: frozenset[str], hashes: dict[int, str]) -> list[Change]:
    """The changes of a step between the shared values, in the order of the graph after the step.

    `hashes` keeps the hashes of constants from call to call.
    """
    old, new = Segments(before, shared), Segments(after, shared)
    differing = []
    for name in variables(after):
        if name not in shared:
            continue
        was, now = old.of(name), new.of(name)
        if _signature(before, was, name, hashes) != _signature(after, now, name, hashes):
            rules = [node_extras(node).metadata.get("vggc.rule", "") for node in now.nodes]
            rule = next((each for each in reversed(rules) if each), "")
            differing.append(Change(name, _labels(before, was), _labels(after, now), rule))
    return differing


def _labels(graph: Graph, segment: Segment) -> tuple[str, ...]:
    return tuple(graph.label(node) for node in segment.nodes)


def shared_values(before: Graph, after: Graph) -> frozenset[str]:
    """Inputs, outputs, and values with the same name, type and shape in both graphs, whose shapes are inferred."""
    old, new = variables(before), variables(after)
    same = {
        name
        for name in old.keys() & new.keys()
        if before.dtype(old[name]) == after.dtype(new[name]) and before.shape(old[name]) == after.shape(new[name])
    }
    return frozenset(same | {value.name for graph in (before, after) for value in (*graph.inputs, *graph.outputs)})


class Segments:
    """The segments of a graph between shared values."""

    def __init__(self, graph: Graph, shared: frozenset[str]) -> None:
        self._shared = shared
        self._made_by = {value.name: node for node in graph.nodes for value in node.outputs if value.name}
        self._position = {id(node): at for at, node in enumerate(graph.nodes)}

    def of(self, name: str) -> Segment:
        """The segment that computes a shared value; empty for an input or a constant."""
        inputs: dict[str, None] = {}
        nodes: dict[int, gs.Node] = {}
        stack = [self._made_by[name]] if name in self._made_by else []
        while stack:
            node = stack.pop()
            if id(node) in nodes:
                continue
            nodes[id(node)] = node
            for value in reversed(node.inputs):
                if isinstance(value, gs.Constant) or not value.name:
                    continue
                if value.name in self._shared or value.name not in self._made_by:
                    inputs[value.name] = None
                else:
                    stack.append(self._made_by[value.name])
        return Segment(tuple(sorted(nodes.values(), key=lambda each: self._position[id(each)])), tuple(inputs))


def _signature(graph: Graph, segment: Segment, name: str, hashes: dict[int, str]) -> tuple[Any, ...]:
    """A key that is equal for two segments with the same nodes and constants."""
    inner = {value.name: (at, slot) for at, node in enumerate(segment.nodes) for slot, value in enumerate(node.outputs)}

    def read(value: gs.Tensor) -> Any:
        if isinstance(value, gs.Constant):
            return _hash(graph, value, hashes)
        return value.name if value.name in segment.inputs else inner.get(value.name, "")

    nodes = tuple(
        (
            node.op,
            node.domain or "",
            tuple(sorted((key, _plain(each)) for key, each in node.attrs.items())),
            tuple(read(value) for value in node.inputs),
        )
        for node in segment.nodes
    )
    return (*nodes, inner.get(name))


def _plain(attribute: Any) -> str:
    if isinstance(attribute, np.ndarray | gs.Constant):
        array = attribute.values if isinstance(attribute, gs.Constant) else attribute
        return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    # Bodies are compared by identity. Two graphs never share one, so a node with a body always counts as changed.
    return f"{attribute.name} {id(attribute)}" if isinstance(attribute, gs.Graph) else repr(attribute)


def _hash(graph: Graph, value: gs.Constant, hashes: dict[int, str]) -> str:
    if id(value) not in hashes:
        array = graph.array(value)
        content = b"sparse" if array is None else np.ascontiguousarray(array).tobytes()
        hashes[id(value)] = hashlib.sha256(repr((value.dtype, value.shape)).encode() + content).hexdigest()
    return hashes[id(value)]


def separable(after: Graph, found: Iterable[Change]) -> bool:
    """Whether the changes can be made one by one in the graph before. Nodes with bodies cannot be copied."""
    labels = {label for each in found for label in each.after}
    return not any(after.label(node) in labels and any(subgraphs(node)) for node in after.nodes)


def joined(before: Graph, after: Graph, chosen: Sequence[Change], shared: frozenset[str], scaled: Scales) -> Graph:
    """The graph before a step with the chosen changes between shared values, which must be in their order.

    Values that the step has `scaled` are scaled where they enter a change, and scaled back where they leave it.
    """
    graph = before.copy()
    segments = Segments(after, shared)
    now: dict[str, gs.Variable] = {value.name: value for value in (*graph.inputs, *variables(graph).values())}
    constants: dict[int, gs.Constant] = {}
    for change in chosen:
        segment = segments.of(change.value)
        inner: dict[str, gs.Variable] = {}
        for name in segment.inputs:
            if name in scaled:
                inner[name] = _scaled(graph, "Mul", now[name], scaled[name])
        for node in segment.nodes:
            inputs = [_copied(graph, value, now, inner, constants) for value in node.inputs]
            twin = graph.add(
                node.op, inputs, node.attrs, name=node.name or None, outputs=len(node.outputs), domain=node.domain
            )
            node_extras(twin).attributes = node_extras(node).attributes
            for value, made in zip(node.outputs, twin.outputs, strict=True):
                made.dtype, made.shape = value.dtype, value.shape
                if value.name:
                    inner[value.name] = made
        new = inner.get(change.value)
        if new is None:
            continue
        if change.value in scaled:
            new = _scaled(graph, "Div", new, scaled[change.value])
        old = now[change.value]
        graph.replace(old, new)
        if new.name != change.value:
            # The name keeps its meaning. Nothing reads the old value any more.
            old.name, new.name = new.name, change.value
        now[change.value] = new
    graph.tidy()
    graph.infer_shapes()
    return graph


def _scaled(graph: Graph, op: str, value: gs.Tensor, factor: Any) -> gs.Variable:
    made = graph.add(op, [value, graph.constant(factor.astype(graph.dtype(value) or np.float32), "scale")]).outputs[0]
    made.dtype, made.shape = value.dtype, value.shape
    return made


def _copied(
    graph: Graph,
    value: gs.Tensor,
    now: dict[str, gs.Variable],
    inner: dict[str, gs.Variable],
    constants: dict[int, gs.Constant],
) -> gs.Tensor | None:
    """The value that a copied node reads instead of a value of its own graph."""
    if isinstance(value, gs.Constant):
        if id(value) not in constants:
            twin = gs.Constant(graph.fresh_name(value.name), np.zeros(0))
            twin._values, twin.data_location = value._values, value.data_location
            constants[id(value)] = twin
        return constants[id(value)]
    if not value.name:
        return None
    return inner[value.name] if value.name in inner else now[value.name]
