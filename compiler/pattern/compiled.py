"""Patterns compiled for matching: their nodes, what they capture, and the path from one root to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vggc.diagnostics.source import Span
from vggc.grammar import pattern_syntax as syntax
from vggc.grammar.syntax import Bool, Number, String, Word
from vggc.graph.domains import domain_of
from vggc.pattern.operators import Operator

Kind = Literal["value", "values", "attribute", "node"]
"""What a name of a pattern stands for: an input, the remaining inputs, an attribute, a labelled node."""


@dataclass(frozen=True, eq=False, slots=True)
class CaptureSpec:
    """A value with a name; `name` is "" for `_`, which is any value."""

    name: str
    optional: bool


@dataclass(frozen=True, eq=False, slots=True)
class NumberSpec:
    """A constant all of whose elements are one number."""

    number: float
    optional: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class OutputSpec:
    """An output of the node with that label."""

    label: str
    index: int
    span: Span
    optional: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class AttributeSpec:
    """An attribute that has a value, or whose value is captured (`capture` "" for any)."""

    name: str
    literal: Any
    capture: str | None
    optional: bool


@dataclass(frozen=True, eq=False, slots=True)
class NodeSpec:
    """A node of a pattern. `rest` names the remaining inputs ("" for any), None where there may be none."""

    operators: frozenset[Operator]
    inputs: tuple[InputSpec, ...]
    rest: str | None
    attributes: tuple[AttributeSpec, ...]
    label: str
    output: int
    syntax: syntax.NodePattern
    optional: bool = False
    required: int = field(default=0)
    """inputs that must be there"""


InputSpec = NodeSpec | CaptureSpec | NumberSpec | OutputSpec
RootSpec = NodeSpec | OutputSpec


@dataclass(frozen=True, eq=False)
class Climb:
    """How to find candidates for a further root: from a captured value, up through nodes that read it, to the root."""

    capture: str
    label: bool
    """whether `capture` is a label, whose node's output is where to start"""
    output: int
    nodes: tuple[NodeSpec, ...]


@dataclass(frozen=True, eq=False)
class Pattern:
    """A whole pattern. `climbs` leads to each root but the first; None for a root that is an output of a label."""

    roots: tuple[RootSpec, ...]
    climbs: tuple[Climb | None, ...]
    kinds: dict[str, Kind]
    depth: int
    """nodes on the longest way from a root to a captured value"""

    @property
    def anchor(self) -> NodeSpec:
        """The first root, where matching begins."""
        first = self.roots[0]
        assert isinstance(first, NodeSpec)
        return first

    def nodes(self) -> Iterator[NodeSpec]:
        """Every node of the pattern, each before those below it."""
        for root in self.roots:
            if isinstance(root, NodeSpec):
                yield from nodes_below(root)


def nodes_below(node: NodeSpec) -> Iterator[NodeSpec]:
    """A node and all below it."""
    yield node
    for each in node.inputs:
        if isinstance(each, NodeSpec):
            yield from nodes_below(each)


def compile_pattern(roots: Sequence[syntax.Root]) -> Pattern:
    """A pattern of syntax that has been checked (`vggc.pattern.checks`)."""
    specs = tuple(_root(each) for each in roots)
    climbs: list[Climb | None] = []
    for index, root in enumerate(specs[1:], 1):
        climbs.append(None if isinstance(root, OutputSpec) else find_climb(root, specs[:index]))
    depth = max(_depth(each) for each in specs if isinstance(each, NodeSpec))
    return Pattern(specs, tuple(climbs), _kinds(specs), depth)


def find_climb(root: NodeSpec, before: Sequence[RootSpec]) -> Climb | None:
    """The shortest way from something that the roots before capture up to this root; None where nothing is shared."""
    known = _kinds(before)
    ways = [each for each in _ways(root, ()) if each.capture in known and known[each.capture] in ("value", "node")]
    return min(ways, key=lambda each: len(each.nodes), default=None)


def _ways(node: NodeSpec, above: tuple[NodeSpec, ...]) -> Iterator[Climb]:
    path = (node, *above)
    for each in node.inputs:
        if isinstance(each, CaptureSpec) and each.name and not each.optional:
            yield Climb(each.name, False, 0, path)
        elif isinstance(each, OutputSpec):
            yield Climb(each.label, True, each.index, path)
        elif isinstance(each, NodeSpec):
            yield from _ways(each, path)


def _root(root: syntax.Root) -> RootSpec:
    return _node(root) if isinstance(root, syntax.NodePattern) else _output(root)


def _output(output: syntax.OutputOf) -> OutputSpec:
    return OutputSpec(output.label.name, output.index, output.span)


def _node(node: syntax.NodePattern) -> NodeSpec:
    rest: str | None = None
    inputs: list[InputSpec] = []
    for each in node.inputs:
        match each:
            case syntax.Rest():
                rest = each.name
            case syntax.NodePattern():
                inputs.append(_node(each))
            case syntax.OutputOf():
                inputs.append(_output(each))
            case syntax.Capture():
                inputs.append(CaptureSpec(each.name, each.optional))
            case syntax.Wildcard():
                inputs.append(CaptureSpec("", each.optional))
            case syntax.ConstantPattern():
                inputs.append(NumberSpec(each.number.value))
    required = max((at + 1 for at, each in enumerate(inputs) if not each.optional), default=0)
    operators = frozenset((domain_of(each.domain), each.name) for each in node.operators)
    label = node.label.name if node.label else ""
    attributes = tuple(_attribute(each) for each in node.attributes)
    return NodeSpec(operators, tuple(inputs), rest, attributes, label, node.output, node, required=required)


def _attribute(attribute: syntax.AttributeMatch) -> AttributeSpec:
    value = attribute.value
    if isinstance(value, syntax.Capture):
        return AttributeSpec(attribute.name.name, None, value.name, value.optional)
    if isinstance(value, syntax.Wildcard):
        return AttributeSpec(attribute.name.name, None, "", value.optional)
    return AttributeSpec(attribute.name.name, literal(value), None, False)


def literal(value: Number | String | Bool | syntax.Literals | Word) -> Any:
    """What an attribute is compared with."""
    if isinstance(value, syntax.Literals):
        return tuple(literal(each) for each in value.items)
    if isinstance(value, Word):
        return value.name
    return int(value.value) if isinstance(value, Bool) else value.value


def _kinds(roots: Sequence[RootSpec]) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for root in roots:
        for node in nodes_below(root) if isinstance(root, NodeSpec) else ():
            if node.label:
                kinds[node.label] = "node"
            if node.rest:
                kinds[node.rest] = "values"
            for each in node.inputs:
                if isinstance(each, CaptureSpec) and each.name:
                    kinds[each.name] = "value"
            for attribute in node.attributes:
                if attribute.capture:
                    kinds[attribute.capture] = "attribute"
    return kinds


def _depth(node: NodeSpec) -> int:
    return 1 + max((_depth(each) for each in node.inputs if isinstance(each, NodeSpec)), default=0)
