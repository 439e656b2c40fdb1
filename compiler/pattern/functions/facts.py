"""Questions about the graph: shapes, types, readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.graph.extras import node_extras
from vggc.pattern import operators
from vggc.pattern.functions.function import Anything, Like, function, is_absent
from vggc.pattern.numbers import Numbers
from vggc.pattern.values import Absent, Content, Matched, UnknownDimension, Value, Values, dimensions

if TYPE_CHECKING:
    from vggc.pattern.evaluate import Evaluator


@function
def shape(rule: Evaluator, x: Like) -> Content:
    """The dimensions of a value, as a list. Dimensions that are not known when compiling can only be compared."""
    return dimensions(rule.graph, x) if isinstance(x, Value) else _numbers(x).shape


@function
def rank(rule: Evaluator, x: Like) -> Content:
    """The number of dimensions of a value."""
    if not isinstance(x, Value):
        return _numbers(x).ndim
    found = rule.graph.rank(x.tensor)
    if found is None:
        raise Declined(f"the rank of `{x.name}` is not known")
    return found


@function
def size(rule: Evaluator, x: Like) -> Content:
    """The number of elements of a value."""
    if not isinstance(x, Value):
        return _numbers(x).size
    total = 1
    for each in dimensions(rule.graph, x):
        if isinstance(each, UnknownDimension):
            raise Declined(each.reason)
        total *= int(each)
    return total


@function
def dtype(rule: Evaluator, x: Like) -> Content:
    """The type of a value, as a text: `"float32"`, `"int64"`, `"bool"`, `"string"`."""
    if not isinstance(x, Value):
        numbers = _numbers(x)
        found = numbers.dtype
        if found is None:
            raise Declined("numbers written in the rule have no type")
        return found.name
    known = rule.graph.dtype(x.tensor)
    if known is None:
        raise Declined(f"the type of `{x.name}` is not known")
    return "string" if known.kind in "OUST" else known.name


@function
def constant(rule: Evaluator, x: Anything) -> Content:
    """Whether a value is a compile-time constant."""
    if isinstance(x, Matched):
        x = Anything(x.value)
    return isinstance(x, Value) and isinstance(x.tensor, gs.Constant)


@function
def readers(rule: Evaluator, x: Value) -> Content:
    """The number of nodes that read a value."""
    return len(rule.graph.readers(x.tensor))


@function
def is_output(rule: Evaluator, x: Value) -> Content:
    """Whether a value is an output of the model."""
    return rule.graph.is_output(x.tensor)


@function
def is_input(rule: Evaluator, x: Value) -> Content:
    """Whether a value is an input of the model."""
    return any(each is x.tensor for each in rule.graph.inputs)


@function
def present(rule: Evaluator, x: Anything) -> Content:
    """Whether an optional input, output or attribute is present."""
    return not is_absent(x)


@function
def operator(rule: Evaluator, node: Matched) -> Content:
    """The operator of a labelled node, as a text: for a pattern with alternatives."""
    return operators.spell(operators.operator_of(node.node))


@function
def has_attribute(rule: Evaluator, node: Matched, name: str) -> Content:
    """Whether a labelled node has an attribute; a default does not count."""
    return name in node.node.attrs or name in node_extras(node.node).attributes


@function
def attribute(rule: Evaluator, node: Matched, name: str) -> Content:
    """An attribute of a labelled node, or its default."""
    found = operators.attribute(rule.graph, rule.sets, node.node, name)
    return Absent(f"{node.name}'s {name}") if found is None else as_content(found)


@function
def count(rule: Evaluator, x: Anything) -> Content:
    """The number of inputs in `rest...`, or of items in a list."""
    if isinstance(x, Values):
        return len(x.tensors)
    if isinstance(x, tuple):
        return len(x)
    raise Declined("only a list or the remaining inputs can be counted")


def as_content(value: object) -> Content:
    """An attribute as a term stands for it: arrays as numbers, the rest as it is."""
    if hasattr(value, "dtype"):
        return Numbers.of(value)  # type: ignore[arg-type]
    return value  # type: ignore[return-value]


def _numbers(value: object) -> Numbers:
    assert isinstance(value, Numbers)
    return value
