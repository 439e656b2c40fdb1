"""The conditions of `require` and `when`: small objects that are evaluated while the model is compiled.

    accuracy(test) >= original - 1%
    => BoundComparison(
           ">=", Measured(accuracy, {data: test}), Arithmetic("-", Original(accuracy, {data: test}), Fixed(1%))
       )

Every expression knows its `kind`, so that a limit of another kind is refused before anything runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from vggc.diagnostics import Code, fail
from vggc.diagnostics.source import Span
from vggc.graph import Graph
from vggc.values import Bytes, Decibels, Ratio, Seconds

Kind = Literal["number", "ratio", "bytes", "seconds", "decibels", "quantity"]
"""`number` is a literal without a unit, `decibels` one in dB, `quantity` a measure with its own unit (nodes, dB)."""

_LIKE_NUMBERS: tuple[set[Kind], ...] = (
    {"number", "ratio"},
    {"number", "decibels"},
    {"number", "quantity"},
    {"decibels", "quantity"},
)
"""Pairs of kinds that can be added and compared."""

Operator = Literal["+", "-", "*", "/", "of"]
Relation = Literal["==", "!=", "<", "<=", ">", ">="]

_ROUNDING = 1e-12
"""The largest relative difference of equal sides: `0.93 - 0.01` is not exactly 0.92 in binary."""


class State(Protocol):
    """The running compile, as conditions see it."""

    @property
    def graph(self) -> Graph:
        """The graph as it is now."""
        ...

    def measure(self, measure: Any, options: Mapping[str, Any]) -> float:
        """A measure of the graph as it is now."""
        ...

    def original(self, measure: Any, options: Mapping[str, Any]) -> float:
        """The same measure of the model as read."""
        ...


# --- numbers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fixed:
    """A number in the recipe: 0.01, `1%`, `4MiB`."""

    value: float
    kind: Kind

    def evaluate(self, state: State) -> float:
        return self.value


@dataclass(frozen=True)
class Measured:
    """`accuracy(test)`, on the graph as it is when the condition is reached."""

    measure: Any
    options: Mapping[str, Any]
    kind: Kind

    def evaluate(self, state: State) -> float:
        return state.measure(self.measure, self.options)


@dataclass(frozen=True)
class Original:
    """`original`: the measure on the other side of the comparison, on the model as read."""

    measure: Any
    options: Mapping[str, Any]
    kind: Kind

    def evaluate(self, state: State) -> float:
        return state.original(self.measure, self.options)


@dataclass(frozen=True)
class Opset:
    """`opset`: the version of ONNX's own operator set that the model uses."""

    kind: Kind = "quantity"

    def evaluate(self, state: State) -> float:
        return float(state.graph.opset)


@dataclass(frozen=True)
class Arithmetic:
    """`left operator right`. Evaluating raises CompileError at `span` for a division by zero."""

    operator: Operator
    left: Expression
    right: Expression
    kind: Kind
    span: Span

    def evaluate(self, state: State) -> float:
        return compute(self.operator, self.left.evaluate(state), self.right.evaluate(state), self.span)


Expression = Fixed | Measured | Original | Opset | Arithmetic


# --- truths ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoundComparison:
    """`left relation right`. A side that is not a number (NaN) fulfils no relation."""

    relation: Relation
    left: Expression
    right: Expression
    span: Span

    def sides(self, state: State) -> tuple[float, float]:
        """Both sides, each evaluated once, for the report."""
        return self.left.evaluate(state), self.right.evaluate(state)

    def holds(self, left: float, right: float) -> bool:
        """Whether the relation holds between two values; values equal up to rounding are equal."""
        if math.isnan(left) or math.isnan(right):
            return False
        equal = math.isclose(left, right, rel_tol=_ROUNDING)
        match self.relation:
            case "==":
                return equal
            case "!=":
                return not equal
            case "<=":
                return equal or left < right
            case ">=":
                return equal or left > right
            case "<":
                return not equal and left < right
            case ">":
                return not equal and left > right

    def evaluate(self, state: State) -> bool:
        return self.holds(*self.sides(state))


@dataclass(frozen=True)
class HasOperator:
    """`has(Conv)`: whether a node of this operator is in the graph or in the body of an If, Loop or Scan node."""

    operator: str
    domain: str = ""

    def evaluate(self, state: State) -> bool:
        return any(self._is(node) for node in state.graph.nodes) or any(
            self._is(inner)
            for node in state.graph.nodes
            for body in node.subgraphs(recursive=True)
            for inner in body.nodes
        )

    def _is(self, node: Any) -> bool:
        return bool(node.op == self.operator and (node.domain or "") in {self.domain, self.domain or "ai.onnx"})


@dataclass(frozen=True)
class IsDynamic:
    """`dynamic`: whether an input has a dimension that is not a number; `dynamic("image")`: whether this input has one.

    Evaluating raises CompileError at `span` when the model has no input of this name.
    """

    name: str | None
    span: Span

    def evaluate(self, state: State) -> bool:
        inputs = state.graph.inputs
        if self.name is not None:
            inputs = [each for each in inputs if each.name == self.name]
            if not inputs:
                known = ", ".join(f"`{each.name}`" for each in state.graph.inputs)
                raise fail(
                    f"the model has no input `{self.name}`",
                    self.span,
                    help=f"its inputs: {known}",
                    code=Code.MODEL_INPUT,
                )
        return any(state.graph.static_shape(each) is None for each in inputs)


@dataclass(frozen=True)
class Truth:
    """`true`, `false`, or a parameter that is one of them."""

    value: bool

    def evaluate(self, state: State) -> bool:
        return self.value


@dataclass(frozen=True)
class BoundLogical:
    """`not a`, `a and b`, `a or b`. Operands after the deciding one are not evaluated."""

    operator: Literal["not", "and", "or"]
    operands: tuple[Condition, ...]

    def evaluate(self, state: State) -> bool:
        values = (each.evaluate(state) for each in self.operands)
        if self.operator == "not":
            return not next(values)
        return all(values) if self.operator == "and" else any(values)


Condition = BoundComparison | HasOperator | IsDynamic | Truth | BoundLogical


# --- arithmetic --------------------------------------------------------------------------------------------


def kind_of(value: object) -> Kind:
    """The kind of a number in a recipe."""
    kinds: tuple[tuple[type, Kind], ...] = (
        (Ratio, "ratio"),
        (Bytes, "bytes"),
        (Seconds, "seconds"),
        (Decibels, "decibels"),
    )
    return next((kind for known, kind in kinds if isinstance(value, known)), "number")


def combined(operator: Operator, left: Kind, right: Kind) -> Kind | None:
    """The kind of `left operator right`, None when it has no meaning (`4MiB + 2ms`)."""
    scales = ("number", "ratio")
    if operator in ("+", "-"):
        if left == right:
            return left
        if {left, right} in _LIKE_NUMBERS:
            return left if right == "number" or left == "quantity" else right
        return None
    if operator == "of":
        return right if left in scales else None
    if operator == "*":
        if left in scales:
            return left if right == "number" else right
        return left if right in scales else None
    if right == "number":
        return left
    return "number" if left == right else (left if right == "ratio" else None)


def comparable(left: Kind, right: Kind) -> bool:
    """Whether the two sides of a comparison have the same unit."""
    return left == right or {left, right} in _LIKE_NUMBERS


def compute(operator: Operator, left: float, right: float, span: Span) -> float:
    """The result of `left operator right`. Raises CompileError at `span` for a division by zero or an overflow."""
    try:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*" | "of":
                return left * right
            case "/":
                return left / right
    except ZeroDivisionError:
        raise fail("division by zero", span, help="the divisor must not be 0", code=Code.ARITHMETIC) from None
    except OverflowError:
        raise fail(
            "this number is too large", span, help="numbers must be below 2 to the power of 63", code=Code.ARITHMETIC
        ) from None
