"""Evaluate the terms of a rule: guards, `let`, and the values of new constants and attributes.

An evaluator over the syntax tree, with numpy's meaning of arithmetic and comparison; nothing of Python's `eval`. The
size of every result is limited by that of the weights a rule starts from.
"""

from __future__ import annotations

import operator as python_operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vggc.diagnostics import Declined
from vggc.grammar import pattern_syntax as syntax
from vggc.grammar.syntax import Bool, Number, String, Word
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.pattern.functions import Function, call
from vggc.pattern.numbers import Numbers, elementwise
from vggc.pattern.operators import OperatorSets
from vggc.pattern.values import (
    Absent,
    Content,
    Matched,
    UnknownDimension,
    Value,
    Values,
    describe,
    equal,
    equal_lists,
    known,
    scalars,
    whole,
)

LEAST_LIMIT = 1 << 20
"""Numbers that a result may have whatever the weights a rule starts from."""

GROWTH = 4
"""How many times as many numbers as those weights have a result may have."""

_ARITHMETIC: Mapping[str, Callable[..., Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
}
_COMPARISONS: Mapping[str, Callable[..., Array]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


class Evaluator:
    """Computes the terms of one match. `names` are the captures and labels; lets are added with `define`."""

    def __init__(
        self,
        graph: Graph,
        sets: OperatorSets,
        names: Mapping[str, Content],
        functions: Mapping[str, Function],
    ) -> None:
        self.graph = graph
        self.sets = sets
        self._names = dict(names)
        self._functions = functions
        self._lets: dict[str, syntax.Term] = {}
        self._constants: dict[int, Numbers] = {}
        self.limit = LEAST_LIMIT

    def define(self, name: str, term: syntax.Term) -> None:
        """Make a `let` known; it is computed when it is first used."""
        self._lets[name] = term

    def add(self, name: str, value: Content) -> None:
        """Make known what a name stands for: a node that the replacement makes."""
        self._names[name] = value

    def holds(self, guard: syntax.Term) -> bool:
        """Whether a condition holds. Raises Declined where that is not known."""
        return self.truth(self.evaluate(guard))

    def evaluate(self, term: syntax.Term) -> Content:
        """What a term stands for. Raises Declined, with the reason, when it cannot be computed."""
        match term:
            case Number() | Bool() | String():
                return term.value
            case Word():
                return self.named(term.name)
            case syntax.OutputOf():
                return self._output(term)
            case syntax.ListTerm():
                return scalars([self.evaluate(each) for each in term.items])
            case syntax.CallTerm():
                return self._call(term)
            case syntax.ElementTerm():
                return self._element(self.evaluate(term.value), self.evaluate(term.index))
            case syntax.NegativeTerm():
                return self._arithmetic("-", 0, self.evaluate(term.value))
            case syntax.BinaryTerm():
                return self._arithmetic(term.operator, self.evaluate(term.left), self.evaluate(term.right))
            case syntax.DefaultTerm():
                return self._default(term)
            case syntax.ComparisonTerm():
                return self._compare(term.operator, self.evaluate(term.left), self.evaluate(term.right))
            case syntax.LogicalTerm():
                return self._logical(term)

    def named(self, name: str) -> Content:
        """What a capture, a label or a `let` stands for."""
        if name not in self._names and name in self._lets:
            self._names[name] = self.evaluate(self._lets[name])
        if name == "opset" and name not in self._names:
            return self.sets.opset
        return self._names[name]

    # --- numbers ------------------------------------------------------------------------------------------

    def numbers(self, value: Content) -> Numbers:
        """The numbers of a value. Raises Declined when they are not known at compile time."""
        value = known(value)
        if isinstance(value, Matched):
            value = value.value
        match value:
            case Numbers():
                return value
            case bool() | int() | float():
                return Numbers.written(value)
            case tuple():
                return self._list(value)
            case Value():
                return self._constant(value)
        raise Declined(f"arithmetic does not work on {describe(value)}")

    def _constant(self, value: Value) -> Numbers:
        found = self._constants.get(id(value.tensor))
        if found is None:
            array = self.graph.array(value.tensor)
            if array is None:
                raise Declined(f"`{value.name}` is not a compile-time constant")
            found = self._constants[id(value.tensor)] = Numbers.of(array)
            self.limit = max(LEAST_LIMIT, GROWTH * sum(each.size for each in self._constants.values()))
        return found

    def _list(self, items: tuple[Content, ...]) -> Numbers:
        for each in items:
            known(each)
            if isinstance(each, str):
                raise Declined("arithmetic does not work on texts")
        return Numbers.written(np.asarray(items, None if items else np.int64))

    def truth(self, value: Content) -> bool:
        """A condition: several truth values hold together when all of them do."""
        value = known(value)
        if isinstance(value, bool):
            return value
        if isinstance(value, Numbers) and value.kind == "b":
            return bool(value.exact().all())
        raise Declined(f"{describe(value)} is not a condition")

    def _arithmetic(self, operator: str, left: Content, right: Content) -> Content:
        left, right = known(left), known(right)
        if _is_plain(left) and _is_plain(right):
            return _scalar(operator, left, right)  # type: ignore[arg-type]
        operands = self.numbers(left), self.numbers(right)
        if any(each.kind == "b" for each in operands):
            raise Declined("arithmetic does not work on truth values")
        kind = "f" if operator == "/" or any(each.kind == "f" for each in operands) else "i"
        return elementwise(_ARITHMETIC[operator], *operands, kind=kind, limit=self.limit)

    def _compare(self, operator: str, left: Content, right: Content) -> Content:
        if operator in ("==", "!="):
            same = self._same(left, right)
            if same is not None:
                return same == (operator == "==")
        left, right = known(left), known(right)
        operands = self.numbers(left), self.numbers(right)
        return elementwise(_COMPARISONS[operator], *operands, kind="b", limit=self.limit)

    def _same(self, left: Content, right: Content) -> bool | None:
        """Whether two values are the same, where that is one question and not one for each of their numbers."""
        if isinstance(left, Matched):
            left = left.value
        if isinstance(right, Matched):
            right = right.value
        if isinstance(left, Value) and isinstance(right, Value) and left.tensor is right.tensor:
            return True
        if isinstance(left, str | UnknownDimension) or isinstance(right, str | UnknownDimension):
            if isinstance(left, bool | int | float | str | UnknownDimension) and not isinstance(
                right, Value | Numbers | tuple
            ):
                return equal(left, right)  # type: ignore[arg-type]
            return None
        if isinstance(left, tuple) and isinstance(right, tuple):
            return equal_lists(left, right)
        if isinstance(left, tuple | Numbers | Value) and isinstance(right, tuple | Numbers | Value):
            first, second = self.numbers(left), self.numbers(right)
            lists = isinstance(left, tuple) or isinstance(right, tuple)
            return False if lists and first.shape != second.shape else None
        return None

    # --- other terms --------------------------------------------------------------------------------------

    def _logical(self, term: syntax.LogicalTerm) -> bool:
        if term.operator == "not":
            return not self.holds(term.operands[0])
        if term.operator == "and":
            return all(self.holds(each) for each in term.operands)
        return any(self.holds(each) for each in term.operands)

    def _default(self, term: syntax.DefaultTerm) -> Content:
        for each in term.choices:
            found = self.evaluate(each)
            if not isinstance(found, Absent):
                return found
        return found

    def _output(self, term: syntax.OutputOf) -> Content:
        found = self.named(term.label.name)
        assert isinstance(found, Matched)
        outputs = found.node.outputs
        if term.index >= len(outputs) or not outputs[term.index].name:
            return Absent(term.span.text)
        return Value(outputs[term.index], term.span.text)

    def _element(self, value: Content, index: Content) -> Content:
        at = whole(index, "an index")
        value = known(value)
        if isinstance(value, Values):
            _check_index(at, len(value.tensors))
            return Value(value.tensors[at], f"{value.name}[{at}]")
        if isinstance(value, tuple):
            _check_index(at, len(value))
            return value[at]  # type: ignore[no-any-return]
        found = self.numbers(value)
        if not found.ndim:
            raise Declined("a single number has no elements")
        _check_index(at, found.shape[0])
        return Numbers(found.exact()[at], found.dtype)

    def _call(self, term: syntax.CallTerm) -> Content:
        given = [self.evaluate(each.value) for each in term.arguments if each.name is None]
        named = {each.name.name: self.evaluate(each.value) for each in term.arguments if each.name is not None}
        return call(self, self._functions[term.name], given, named)


def _is_plain(value: Content) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scalar(operator: str, left: int | float, right: int | float) -> int | float:
    """Arithmetic of two numbers that the rule writes or finds in shapes and attributes."""
    if operator == "/" and right == 0:
        raise Declined("it divides by zero")
    compute: Mapping[str, Callable[[Any, Any], int | float]] = {
        "+": python_operator.add,
        "-": python_operator.sub,
        "*": python_operator.mul,
        "/": python_operator.truediv,
    }
    try:
        result = compute[operator](left, right)
    except OverflowError:
        raise Declined("a number is too large") from None
    if isinstance(result, int) and abs(result) >= 1 << 63:
        raise Declined("a number is too large")
    return result


def _check_index(index: int, length: int) -> None:
    if not -length <= index < length:
        raise Declined(f"there is no element {index}: there are {length}")
