"""One comparison of a condition: measures, `original`, parameters and numbers, with arithmetic between them."""

from __future__ import annotations

import math
from typing import Any, cast

from vggc.binding.arguments import bind_arguments
from vggc.binding.evaluate import calculate, evaluate, is_number, share_of
from vggc.binding.scope import BindingErrors, Scope, Undetermined
from vggc.diagnostics import Code, CompileError, Diagnostics, fail, nearest
from vggc.grammar import syntax
from vggc.measures import Measure
from vggc.options import Content, Given, Reference, describe
from vggc.pipeline.conditions import (
    Arithmetic,
    BoundComparison,
    Expression,
    Fixed,
    Kind,
    Measured,
    Opset,
    Original,
    Truth,
    combined,
    comparable,
    kind_of,
)
from vggc.pipeline.model import BoundObjective, Direction
from vggc.values import Interval

_KINDS: dict[Kind, str] = {
    "number": "a plain number",
    "ratio": "a ratio",
    "bytes": "a size",
    "seconds": "a time",
    "decibels": "a level in dB",
    "quantity": "a plain number",
}

_OF_LANGUAGE = ("has", "dynamic", "opset", "original")


def bind_comparison(comparison: syntax.Comparison, scope: Scope) -> BoundComparison | Truth:
    """A comparison of numbers, or the truth of one of words, texts and truth values.

    Raises CompileError with everything wrong on both sides, or Undetermined.
    """
    given = [_not_a_number(side, scope) for side in (comparison.left, comparison.right)]
    if any(each is not None for each in given):
        return _compare_words(comparison, given, scope)
    measured = _measures_of(comparison, scope)
    left, right = _both(comparison.left, comparison.right, scope, measured)
    if not comparable(left.kind, right.kind):
        raise _incomparable(comparison, left, right)
    _check_scale(left, right, comparison.right, math.nextafter(1, 2))
    _check_scale(right, left, comparison.left, math.nextafter(1, 2))
    return BoundComparison(comparison.operator, left, right, comparison.span)


def find_measure(name: str, scope: Scope) -> Measure | None:
    """The measure with this name, or None."""
    declared = scope.find(name)
    if declared is not None:
        return declared.meaning if isinstance(declared.meaning, Measure) else None
    return scope.registry.measures.get(name)


def bind_objective(statement: syntax.ObjectiveStatement, scope: Scope) -> BoundObjective:
    """What a `minimize` or `maximize` measures. Raises CompileError, or Undetermined."""
    value, direction = statement.measure, statement.direction
    measured = _measured(value, scope)
    if measured is None:
        measures = ", ".join(f"`{each}`" for each in measure_names(scope))
        help = f"name one of the measures: {measures}"
        raise fail("this is not a measure", value.span, help=help, code=Code.NOT_A_MEASURE)
    better: Direction = "minimize" if measured.measure.better == "lower" else "maximize"
    if direction != better:
        wanted = measured.measure.better
        help = f"write `{better} {value.span.text}`"
        raise fail(
            f"`{measured.measure.name}` is better when it is {wanted}", statement.span, help=help, code=Code.OBJECTIVE
        )
    return BoundObjective(direction, measured, value.span, " ".join(value.span.text.split()))


def measure_names(scope: Scope) -> list[str]:
    """The names of all measures that a condition can use."""
    return sorted({*scope.registry.measures, *scope.named("measure")})


def unknown_name(value: syntax.Word | syntax.Call, scope: Scope) -> Exception:
    """The error for a word or call that a condition does not know.

    It is Undetermined where the name may come from a file whose `use` failed, which is reported.
    """
    if isinstance(value, syntax.Word) and (early := scope.too_early(value.name, value.span)):
        return early
    if isinstance(value, syntax.Call):
        message, span = f"unknown measure `{value.name}`", value.name_span
        known = [*measure_names(scope), "has", "dynamic"]
    else:
        message, span = f"unknown name `{value.name}`", value.span
        known = [*measure_names(scope), *_OF_LANGUAGE, *scope.value_names()]
    close = nearest(value.name, known)
    if not close and scope.incomplete:
        return Undetermined()
    measures = ", ".join(f"`{each}`" for each in measure_names(scope))
    return fail(
        message,
        span,
        help=f"a similar name exists: `{close}`" if close else f"measures: {measures}",
        code=Code.WRONG_KIND,
    )


# --- words -------------------------------------------------------------------------------------------------


def _not_a_number(side: syntax.Value, scope: Scope) -> Given | None:
    """The value of a side that is a text, a truth, or a parameter that holds no number."""
    if isinstance(side, syntax.String | syntax.Bool):
        return evaluate(side, scope)
    given = scope.value(side) if isinstance(side, syntax.Word) else None
    return None if given is None or is_number(given.value) else evaluate(side, scope)


def _compare_words(comparison: syntax.Comparison, given: list[Given | None], scope: Scope) -> Truth:
    sides = (comparison.left, comparison.right)
    left, right = (
        _literal(side, scope) if each is None else each.value for side, each in zip(sides, given, strict=True)
    )
    for each, side in zip((left, right), sides, strict=True):
        if isinstance(each, tuple | dict | Interval | Reference):
            raise fail(
                f"{describe(each)} cannot be compared",
                side.span,
                help="compare numbers, words or texts",
                code=Code.NOT_COMPARABLE,
            )
    if left is None or right is None or type(left) is not type(right):
        texts = [
            f"`{side.span.text}`" if each is None else describe(each)
            for each, side in zip((left, right), sides, strict=True)
        ]
        help = "both sides must be of one kind: words, texts, truth values or numbers"
        raise fail(
            f"{texts[0]} cannot be compared with {texts[1]}", comparison.span, help=help, code=Code.NOT_COMPARABLE
        )
    if comparison.operator not in ("==", "!="):
        help = "compare words, texts and truth values with `==` or `!=`"
        raise fail(f"{describe(left)} has no order", comparison.span, help=help, code=Code.NOT_COMPARABLE)
    return Truth((left == right) == (comparison.operator == "=="))


def _literal(side: syntax.Value, scope: Scope) -> Content | None:
    """What stands beside a word that is no number: a bare word stands for itself. None for a measure."""
    if isinstance(side, syntax.Word) and (find_measure(side.name, scope) or side.name in _OF_LANGUAGE):
        return None
    return None if isinstance(side, syntax.Call) else evaluate(side, scope).value


# --- numbers -----------------------------------------------------------------------------------------------


def _measures_of(comparison: syntax.Comparison, scope: Scope) -> dict[syntax.Value, Measured]:
    """The measures of a comparison, bound. Raises what is wrong with their options."""
    diagnostics = BindingErrors()
    measured: dict[syntax.Value, Measured] = {}
    for leaf in _leaves(comparison):
        with diagnostics.collect():
            if (bound := _measured(leaf, scope)) is not None:
                measured[leaf] = bound
    diagnostics.raise_errors()
    return measured


def _leaves(value: syntax.Value) -> list[syntax.Value]:
    if isinstance(value, syntax.Binary | syntax.Comparison):
        return [*_leaves(value.left), *_leaves(value.right)]
    return [value]


def _measured(value: syntax.Value, scope: Scope) -> Measured | None:
    if not isinstance(value, syntax.Word | syntax.Call) or value.name in _OF_LANGUAGE:
        return None
    measure = find_measure(value.name, scope)
    if measure is None:
        if isinstance(value, syntax.Word) and scope.value(value) is not None:
            return None
        raise unknown_name(value, scope)
    call = value if isinstance(value, syntax.Call) else syntax.Call(value.span, value.name, value.span, ())
    return Measured(measure, bind_arguments(call, measure.schema, scope), measure.kind)


Measures = dict[syntax.Value, Measured]


def _both(left: syntax.Value, right: syntax.Value, scope: Scope, measured: Measures) -> tuple[Expression, Expression]:
    diagnostics = Diagnostics()
    sides: list[Expression] = []
    for each in (left, right):
        with diagnostics.collect():
            sides.append(_expression(each, scope, measured))
    diagnostics.raise_errors()
    _check_decibels(sides[0], left, sides[1], right)
    _check_decibels(sides[1], right, sides[0], left)
    return sides[0], sides[1]


def _expression(value: syntax.Value, scope: Scope, measured: Measures) -> Expression:
    if value in measured:
        return measured[value]
    if isinstance(value, syntax.Binary):
        return _arithmetic(value, scope, measured)
    if isinstance(value, syntax.Word) and value.name == "original":
        return _original(value, measured)
    if isinstance(value, syntax.Word) and value.name == "opset":
        return Opset()
    if isinstance(value, syntax.Call | syntax.Comparison | syntax.Logical) or value.span.text == "dynamic":
        help = "conditions are joined with `and`, `or` and `not`"
        raise fail("a condition cannot be compared with a number", value.span, help=help, code=Code.NOT_COMPARABLE)
    given = evaluate(value, scope)
    if not is_number(given.value):
        raise fail(f"a number is needed here, not {describe(given.value)}", value.span, code=Code.NOT_COMPARABLE)
    number = cast(float, given.value)
    return Fixed(number, kind_of(number))


def _original(word: syntax.Word, measured: Measures) -> Original:
    of = list(measured.values())
    if not of:
        help = "`original` is the measure beside it, of the model as read: `size <= 30% of original`"
        raise fail("`original` needs a measure beside it", word.span, help=help, code=Code.ORIGINAL)
    if any(each != of[0] for each in of):
        names = " or ".join(f"`{each.span.text}`" for each in measured)
        help = "compare one measure with the original at a time"
        raise fail(f"`original` could mean {names} of the model as read", word.span, help=help, code=Code.ORIGINAL)
    return Original(of[0].measure, of[0].options, of[0].kind)


def _arithmetic(value: syntax.Binary, scope: Scope, measured: Measures) -> Expression:
    left, right = _both(value.left, value.right, scope, measured)
    if isinstance(left, Fixed) and isinstance(right, Fixed):
        number = calculate(value, cast(Any, left.value), cast(Any, right.value))
        return Fixed(number, kind_of(number))
    if value.operator == "/" and isinstance(right, Fixed) and right.value == 0:
        raise fail("division by zero", value.span, help="the divisor must not be 0", code=Code.ARITHMETIC)
    kind = combined(value.operator, left.kind, right.kind)
    if kind is None:
        text = f"`{value.left.span.text}` is {_KINDS[left.kind]} and `{value.right.span.text}` is {_KINDS[right.kind]}"
        help = share_of(value, right.value) if isinstance(right, Fixed) and right.kind == "ratio" else ""
        raise fail(f"the units do not fit: {text}", value.span, help=help, code=Code.UNITS_DIFFER)
    if value.operator in ("+", "-"):
        _check_scale(left, right, value.right, 1.0)
        _check_scale(right, left, value.left, 1.0)
    return Arithmetic(value.operator, left, right, kind, value.span)


def _is_share(expression: Expression) -> bool:
    """Whether an expression is a measured share of one, such as an accuracy, or one with something added."""
    if isinstance(expression, Arithmetic):
        return expression.operator in ("+", "-") and (_is_share(expression.left) or _is_share(expression.right))
    return isinstance(expression, Measured | Original) and expression.kind == "ratio"


def _check_scale(share: Expression, number: Expression, text: syntax.Value, least: float) -> None:
    """Raise CompileError for a number without a unit, `least` or more, beside a measured share: `original - 1`."""
    if _is_share(share) and isinstance(number, Fixed) and number.kind == "number" and abs(number.value) >= least:
        raise fail(
            f"`{text.span.text}` means {100 * number.value:g} %, and it stands beside a share between 0 and 1",
            text.span,
            help=f"write `{number.value:g}%`",
            code=Code.UNITS_DIFFER,
        )


def _check_decibels(level: Expression, text: syntax.Value, other: Expression, other_text: syntax.Value) -> None:
    """Raise CompileError for a level in dB beside a measure that has another unit: `nodes <= 30dB`."""
    if level.kind == "decibels" and other.kind == "quantity" and not _in_decibels(other):
        raise fail(
            f"the units do not fit: `{text.span.text}` is {_KINDS['decibels']} and `{other_text.span.text}` is not",
            text.span,
            help="write a number without a unit",
            code=Code.UNITS_DIFFER,
        )


def _in_decibels(expression: Expression) -> bool:
    if isinstance(expression, Arithmetic):
        return _in_decibels(expression.left) or _in_decibels(expression.right)
    return isinstance(expression, Measured | Original) and expression.measure.unit == "dB"


def _incomparable(comparison: syntax.Comparison, left: Expression, right: Expression) -> CompileError:
    texts = [
        f"`{side.span.text}` is {_KINDS[bound.kind]}"
        for side, bound in ((comparison.left, left), (comparison.right, right))
    ]
    kinds = {left.kind, right.kind}
    help = ""
    if kinds == {"bytes", "number"}:
        help = "add a unit: KB, MB, GB, KiB, MiB or GiB"
    elif kinds == {"seconds", "number"}:
        help = "add a unit: s, ms or us"
    elif "ratio" in kinds and not isinstance(left, Opset) and not isinstance(right, Opset):
        ratio = comparison.left if left.kind == "ratio" else comparison.right
        help = f"write a share as `{ratio.span.text} of original`"
    return fail(f"the units do not fit: {' and '.join(texts)}", comparison.span, help=help, code=Code.UNITS_DIFFER)
