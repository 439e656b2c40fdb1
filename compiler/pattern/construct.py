"""Build the replacement of a match: new nodes, new constants, or values that exist already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.grammar import pattern_syntax as syntax
from vggc.grammar.syntax import Word
from vggc.graph import Graph
from vggc.graph.domains import domain_of
from vggc.graph.extras import node_extras
from vggc.pattern.attributes import EMPTY, as_attribute
from vggc.pattern.compiled import Pattern
from vggc.pattern.evaluate import Evaluator
from vggc.pattern.functions.facts import as_content
from vggc.pattern.inference import input_type, settled
from vggc.pattern.matcher import Found
from vggc.pattern.numbers import Numbers, rounded
from vggc.pattern.operators import OperatorSets, operator_of
from vggc.pattern.rule import Body
from vggc.pattern.values import (
    Absent,
    Content,
    Matched,
    Value,
    Values,
)

_RESHAPING = frozenset({"cast", "flip", "pad", "reshape", "slice", "squeeze", "take", "transpose", "unsqueeze"})


def evaluator_of(graph: Graph, sets: OperatorSets, pattern: Pattern, found: Found, body: Body) -> Evaluator:
    """The evaluator for a match: its names known, the rule's lets to be computed when they are used."""
    names: dict[str, Content] = {}
    outputs = {spec.label: spec.output for spec in found.nodes if spec.label}
    for name, each in found.names.items():
        kind = pattern.kinds[name]
        if isinstance(each, Absent):
            names[name] = each
        elif kind == "value":
            names[name] = Value(each, name)
        elif kind == "values":
            names[name] = Values(each, name)
        elif kind == "node":
            names[name] = Matched(each, name, outputs[name])
        else:
            names[name] = as_content(each)
    evaluator = Evaluator(graph, sets, names, body.functions)
    for let in body.lets:
        evaluator.define(let.name.name, let.value)
    return evaluator


class Builder:
    """Builds the replacement of one match of a recipe's rule. What it adds to the graph is in `made`."""

    def __init__(self, evaluator: Evaluator, found: Found, body: Body, replaced: Sequence[gs.Node]) -> None:
        self._evaluator = evaluator
        self._graph = evaluator.graph
        self._found = found
        self._body = body
        self._replaced = list(replaced)
        self._outputs = _outputs(body.results)
        self._named: set[int] = set()
        self._constants: dict[tuple[object, str], gs.Constant] = {}
        self.made: list[gs.Node] = []

    def build(self) -> list[gs.Tensor]:
        """The value for each root. Raises Declined when something cannot be computed."""
        labelled = sorted(
            range(len(self._body.results)),
            key=lambda at: not isinstance(self._body.results[at], syntax.Construct),
        )
        values: dict[int, gs.Tensor] = {}
        for at in labelled:
            values[at] = self._result(self._body.results[at], self._found.roots[at])
        return [values[at] for at in range(len(values))]

    def _result(self, result: syntax.Result, root: gs.Variable) -> gs.Tensor:
        dtype = self._graph.dtype(root)
        if isinstance(result, syntax.Construct):
            return self._node(result, dtype).outputs[result.output]
        value = self._evaluator.evaluate(result)
        if isinstance(value, Matched):
            value = value.value
        if isinstance(value, Value):
            return value.tensor
        numbers = self._evaluator.numbers(value)
        return self._constant(result, numbers, settled(numbers, dtype), root.name)

    def _node(self, construct: syntax.Construct, result: np.dtype[Any] | None) -> gs.Node:
        operator = domain_of(construct.operator.domain), construct.operator.name
        schema = self._evaluator.sets.schema(operator)
        terms: list[tuple[object, gs.Tensor | Numbers | None]] = []
        for each in construct.inputs:
            terms += self._input(each)
        while terms and terms[-1][1] is None:
            terms.pop()
        given = [value for _, value in terms]
        inputs: list[gs.Tensor | None] = []
        for at, (term, value) in enumerate(terms):
            if isinstance(value, Numbers):
                dtype = input_type(self._graph, schema, given, at, result)
                inputs.append(self._constant(term, value, dtype, self._hint(construct, schema, at)))
            else:
                inputs.append(value)
        like = self._like(construct)
        attributes = self._attributes(construct, operator, schema, like)
        node = self._graph.add(
            construct.operator.name,
            inputs,
            like=like,
            name=like.name if like is not None and like.name and id(like) in self._named else None,
            replaces=self._replaced,
            outputs=self._outputs.get(id(construct), construct.output + 1),
            domain=construct.operator.domain or None,
        )
        extras = node_extras(node)
        if like is not None:
            self._named.add(id(like))
            same_operator = operator_of(like) == operator
            kept = extras.attributes if same_operator else {}
            extras.attributes = {name: each for name, each in kept.items() if name not in attributes}
            node.domain = construct.operator.domain or None
        node.attrs.clear()
        for name, each in attributes.items():
            if each == [] and schema and name in schema.attributes:
                # An empty list has no type of its own, so graphsurgeon could not write it.
                empty = onnx.AttributeProto(name=name, type=EMPTY[schema.attributes[name].type])
                extras.attributes = {**extras.attributes, name: empty}
            elif each is not None:
                node.attrs[name] = each
        self.made.append(node)
        if construct.label:
            self._evaluator.add(construct.label.name, Matched(node, construct.label.name, construct.output))
        return node

    def _hint(self, construct: syntax.Construct, schema: onnx.defs.OpSchema | None, at: int) -> str:
        """A name for a constant that a new node reads: `conv1.B`."""
        like = self._like(construct)
        if like is not None and at < len(like.inputs) and isinstance(like.inputs[at], gs.Constant):
            return like.inputs[at].name or ""
        owner = like.name if like is not None and like.name else self._found.node.name or construct.operator.name
        formal = schema.inputs[min(at, len(schema.inputs) - 1)].name if schema and schema.inputs else f"input{at}"
        return f"{owner}.{formal}"

    def _input(self, each: object) -> list[tuple[object, gs.Tensor | Numbers | None]]:
        """What an input of a new node is; several for `rest...`."""
        match each:
            case syntax.Construct():
                return [(each, self._node(each, None).outputs[each.output])]
            case syntax.OmittedInput():
                return [(each, None)]
            case syntax.Rest():
                values = self._evaluator.named(each.name)
                assert isinstance(values, Values)
                return [(each, tensor) for tensor in values.tensors]
        value = self._evaluator.evaluate(each)  # type: ignore[arg-type]
        if isinstance(value, Matched):
            value = value.value
        if isinstance(value, Absent):
            return [(each, None)]
        if isinstance(value, Value):
            return [(each, value.tensor)]
        if isinstance(value, Values):
            return [(each, tensor) for tensor in value.tensors]
        return [(each, self._evaluator.numbers(value))]

    def _constant(self, term: object, numbers: Numbers, dtype: np.dtype[Any], hint: str) -> gs.Constant:
        """The numbers as a constant of the graph; a `let` that stands in two places is one constant."""
        key = (term.name if isinstance(term, Word) else id(term), dtype.name)
        if key not in self._constants:
            array = np.array(rounded(numbers, dtype))
            self._constants[key] = self._graph.constant(array, hint=self._source_of(term) or hint)
        return self._constants[key]

    def _source_of(self, term: object) -> str:
        """The name of the one constant that a constant is computed from, element by element; else nothing."""
        lets = {each.name.name: each.value for each in self._body.lets}
        for word in _words(term, lets):
            value = self._found.names.get(word)
            if isinstance(value, gs.Constant) and value.name:
                return str(value.name)
        return ""

    # --- attributes ---------------------------------------------------------------------------------------

    def _like(self, construct: syntax.Construct) -> gs.Node | None:
        if construct.like is None:
            return None
        found = self._evaluator.named(construct.like.name)
        assert isinstance(found, Matched)
        return found.node

    def _attributes(
        self,
        construct: syntax.Construct,
        operator: tuple[str, str],
        schema: onnx.defs.OpSchema | None,
        like: gs.Node | None,
    ) -> dict[str, Any]:
        """The attributes of a new node: those of the node it is like, as far as its operator has them, and its own."""
        found: dict[str, Any] = {}
        if like is not None:
            same = operator_of(like) == operator
            found = {name: each for name, each in like.attrs.items() if same or (schema and name in schema.attributes)}
        for each in construct.attributes:
            assert each.name is not None
            name = each.name.name
            value = self._evaluator.evaluate(each.value)
            kind = schema.attributes[name].type if schema and name in schema.attributes else None
            found[name] = (
                None if isinstance(value, Absent) else as_attribute(self._evaluator, operator[1], name, value, kind)
            )
        return found


def _outputs(results: Sequence[syntax.Result]) -> dict[int, int]:
    """How many outputs each labelled new node has: as many as the rule speaks of."""
    labelled: dict[str, syntax.Construct] = {}
    most: dict[str, int] = {}

    def visit(each: object) -> None:
        match each:
            case syntax.Construct():
                if each.label:
                    labelled[each.label.name] = each
                    most[each.label.name] = max(most.get(each.label.name, 1), each.output + 1)
                for inner in each.inputs:
                    visit(inner)
            case syntax.OutputOf():
                most[each.label.name] = max(most.get(each.label.name, 1), each.index + 1)

    for result in results:
        visit(result)
    return {id(construct): most[label] for label, construct in labelled.items()}


def _words(term: object, lets: Mapping[str, syntax.Term]) -> list[str]:
    """The names whose numbers a term changes element by element, left to right."""
    match term:
        case Word():
            return _words(lets[term.name], lets) if term.name in lets else [term.name]
        case syntax.BinaryTerm():
            # Of a sum, no part is the one it comes from.
            return _words(term.left, lets) if term.operator in "*/" else []
        case syntax.NegativeTerm():
            return _words(term.value, lets)
        case syntax.CallTerm() if term.name in _RESHAPING and term.arguments:
            return _words(term.arguments[0].value, lets)
    return []
