"""Bind the conditions of `when` and `require`: from syntax to objects that are evaluated on the model."""

from __future__ import annotations

import onnx

from vggc.binding.comparisons import bind_comparison, find_measure, measure_names, unknown_name
from vggc.binding.scope import CONDITION_WORDS, BindingErrors, Scope
from vggc.diagnostics import Code, fail, nearest
from vggc.grammar import syntax
from vggc.options import describe
from vggc.pipeline.conditions import (
    Arithmetic,
    BoundComparison,
    BoundLogical,
    Condition,
    Expression,
    HasOperator,
    IsDynamic,
    Measured,
    Opset,
    Truth,
)


def bind_condition(value: syntax.Value, scope: Scope) -> Condition:
    """The condition of a `when`. Raises CompileError with everything wrong in it, or Undetermined."""
    match value:
        case syntax.Logical():
            diagnostics = BindingErrors()
            operands = []
            for each in value.operands:
                with diagnostics.collect():
                    operands.append(bind_condition(each, scope))
            diagnostics.raise_errors()
            return BoundLogical(value.operator, tuple(operands))
        case syntax.Comparison():
            return bind_comparison(value, scope)
        case syntax.Call() if value.name == "has":
            return _has(value)
        case syntax.Call() if value.name == "dynamic":
            return _dynamic(value)
        case syntax.Word() if value.name == "dynamic":
            return IsDynamic(None, value.span)
        case syntax.Bool():
            return Truth(value.value)
        case syntax.Word() | syntax.Call():
            return _truth(value, scope)
    raise fail(
        "this is not a condition",
        value.span,
        help="write a comparison (`nodes > 100`) or a question (`has(Softmax)`, `dynamic`)",
        code=Code.NOT_A_CONDITION,
    )


def bind_requirement(value: syntax.Comparison, scope: Scope) -> BoundComparison:
    """The condition of a `require`, which measures something. Raises CompileError, or Undetermined."""
    bound = bind_comparison(value, scope)
    if not isinstance(bound, BoundComparison) or not any(_measures(side) for side in (bound.left, bound.right)):
        measures = ", ".join(f"`{each}`" for each in measure_names(scope))
        raise fail(
            "this requirement measures nothing",
            value.span,
            help=f"compare a measure, such as `size <= 30% of original`; measures: {measures}",
            code=Code.NOT_A_MEASURE,
        )
    return bound


def _measures(expression: Expression) -> bool:
    if isinstance(expression, Arithmetic):
        return _measures(expression.left) or _measures(expression.right)
    return isinstance(expression, Measured | Opset)


def _has(call: syntax.Call) -> HasOperator:
    if len(call.arguments) != 1 or call.arguments[0].name is not None:
        raise fail(
            "`has` takes one operator", call.span, help="such as `has(BatchNormalization)`", code=Code.NOT_A_CONDITION
        )
    word = call.arguments[0].value
    if not isinstance(word, syntax.Word):
        raise fail(
            "`has` takes the name of an operator",
            word.span,
            help="such as `has(BatchNormalization)`",
            code=Code.NOT_A_CONDITION,
        )
    domain, _, operator = word.name.rpartition(".")
    if not domain and not onnx.defs.has(operator):
        known = {each.name for each in onnx.defs.get_all_schemas() if each.domain == ""}
        close = nearest(operator, known)
        help = (
            f"a similar name exists: `{close}`"
            if close
            else "write an operator of another domain with its domain: `com.microsoft.Gelu`"
        )
        raise fail(f"ONNX has no operator `{operator}`", word.span, help=help, code=Code.NOT_A_CONDITION)
    return HasOperator(operator, domain)


def _dynamic(call: syntax.Call) -> IsDynamic:
    if len(call.arguments) != 1 or not isinstance(call.arguments[0].value, syntax.String) or call.arguments[0].name:
        raise fail(
            "`dynamic` takes the quoted name of an input",
            call.span,
            help='such as `dynamic("input")`',
            code=Code.NOT_A_CONDITION,
        )
    return IsDynamic(call.arguments[0].value.value, call.span)


def _truth(value: syntax.Word | syntax.Call, scope: Scope) -> Truth:
    """A parameter that is true or false."""
    given = scope.value(value) if isinstance(value, syntax.Word) else None
    if given is not None and isinstance(given.value, bool):
        return Truth(given.value)
    text = value.span.text
    if given is not None:
        message = f"`{text}` is not a condition by itself: it is {describe(given.value)}"
        raise fail(message, value.span, help="compare it, or make it `true` or `false`", code=Code.NOT_A_CONDITION)
    if find_measure(value.name, scope) or value.name in CONDITION_WORDS:
        raise fail(
            f"`{text}` is not a condition by itself",
            value.span,
            help=f"compare it: `{text} > ...`",
            code=Code.NOT_A_CONDITION,
        )
    raise unknown_name(value, scope)
