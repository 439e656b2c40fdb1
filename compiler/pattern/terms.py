"""Patterns and replacements as trees of one form, so that they can be compared when rules are bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from vggc.diagnostics.source import Span
from vggc.grammar import pattern_syntax as syntax
from vggc.grammar.syntax import Bool, Number, RuleStatement, String, Word
from vggc.graph.domains import domain_of
from vggc.pattern.compiled import literal
from vggc.pattern.operators import NEWEST, Operator, OperatorSets

UNKNOWN = object()
"""An attribute that is there, with any value."""


@dataclass(frozen=True)
class TreeLeaf:
    """What stands below the nodes: a captured value, or a constant (`number` None where it is computed)."""

    name: str = ""
    constant: bool = False
    number: float | None = None
    optional: bool = False


@dataclass(frozen=True, eq=False)
class Tree:
    """A node: its possible operators, its inputs, and what is known of its attributes."""

    operators: frozenset[Operator]
    inputs: tuple[Tree | TreeLeaf, ...]
    rest: bool
    attributes: Mapping[str, Any]
    optional: frozenset[str]
    """attributes that are captured if they are there"""
    output: int
    label: str
    span: Span
    made: bool = False
    """whether a replacement makes it: an attribute that is not given has its default"""
    like: bool = False
    """whether it copies the attributes of another node, of which not all are known"""

    def nodes(self) -> Iterator[Tree]:
        """This node and all below it."""
        yield self
        for each in self.inputs:
            if isinstance(each, Tree):
                yield from each.nodes()

    @property
    def size(self) -> int:
        return sum(1 for _ in self.nodes())


def tree_of(node: syntax.NodePattern) -> Tree | None:
    """A pattern as a tree; None for one that refers to outputs by label, which no tree says."""
    inputs: list[Tree | TreeLeaf] = []
    rest = False
    for each in node.inputs:
        match each:
            case syntax.NodePattern():
                inner = tree_of(each)
                if inner is None:
                    return None
                inputs.append(inner)
            case syntax.Capture() | syntax.Wildcard():
                inputs.append(TreeLeaf(each.name if isinstance(each, syntax.Capture) else "", optional=each.optional))
            case syntax.ConstantPattern():
                inputs.append(TreeLeaf(constant=True, number=float(each.number.value)))
            case syntax.Rest():
                rest = True
            case syntax.OutputOf():
                return None
    attributes: dict[str, Any] = {}
    optional = set()
    for match in node.attributes:
        value = match.value
        if isinstance(value, syntax.Capture | syntax.Wildcard):
            if value.optional:
                optional.add(match.name.name)
            else:
                attributes[match.name.name] = UNKNOWN
        else:
            attributes[match.name.name] = literal(value)
    operators = frozenset((domain_of(each.domain), each.name) for each in node.operators)
    label = node.label.name if node.label else ""
    return Tree(operators, tuple(inputs), rest, attributes, frozenset(optional), node.output, label, node.span)


def made_tree(construct: syntax.Construct, rule: RuleStatement, labels: Mapping[str, Tree]) -> Tree:
    """A new node of a replacement as a tree."""
    inputs: list[Tree | TreeLeaf] = []
    rest = False
    for each in construct.inputs:
        match each:
            case syntax.Construct():
                inputs.append(made_tree(each, rule, labels))
            case syntax.Rest():
                rest = True
            case syntax.OmittedInput():
                inputs.append(TreeLeaf(optional=True))
            case Number():
                inputs.append(TreeLeaf(constant=True, number=float(each.value)))
            case Word() if each.name not in {let.name.name for let in rule.lets}:
                inputs.append(labels.get(each.name, TreeLeaf(each.name)))
            case _:
                inputs.append(TreeLeaf(constant=True))
    like = labels.get(construct.like.name) if construct.like else None
    attributes = dict(like.attributes) if like else {}
    for argument in construct.attributes:
        assert argument.name is not None
        attributes[argument.name.name] = _known(argument.value)
    return Tree(
        frozenset({(domain_of(construct.operator.domain), construct.operator.name)}),
        tuple(inputs),
        rest,
        attributes,
        frozenset(),
        construct.output,
        "",
        construct.span,
        made=True,
        like=like is not None,
    )


def _known(term: object) -> Any:
    """The value of an attribute that a rule writes; UNKNOWN for one it computes."""
    match term:
        case Number() | Bool():
            return int(term.value) if isinstance(term, Bool) else term.value
        case String():
            return term.value
        case syntax.ListTerm():
            items = tuple(_known(each) for each in term.items)
            return UNKNOWN if any(each is UNKNOWN for each in items) else items
    return UNKNOWN


def default_of(operators: frozenset[Operator], name: str) -> Any:
    """The default that all these operators have for an attribute, in the newest opset; None where they differ."""
    found = []
    for operator in operators:
        schema = OperatorSets.at(NEWEST).schema(operator)
        given = schema.attributes[name].default_value if schema and name in schema.attributes else None
        if given is None or given.type == onnx.AttributeProto.UNDEFINED:
            return None
        value = onnx.helper.get_attribute_value(given)
        found.append(value.decode() if isinstance(value, bytes) else tuple(value) if isinstance(value, list) else value)
    return found[0] if found and all(each == found[0] for each in found) else None
