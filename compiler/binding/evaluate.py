"""Values of a recipe that are known when it is bound: literals, parameters, and arithmetic on them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from vggc.binding.scope import BindingErrors, Scope
from vggc.diagnostics import Code, CompileError, Diagnostics, fail
from vggc.diagnostics.source import Span
from vggc.grammar import syntax
from vggc.options import LARGEST, UNITS, BareWord, Content, Given, describe, spell
from vggc.pipeline.conditions import combined, compute, kind_of
from vggc.values import Bytes, Decibels, Interval, Ratio, Seconds

_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000}
_COUNTS = {"k": 1000, "M": 1000**2, "G": 1000**3}


def evaluate(value: syntax.Value, scope: Scope) -> Given:
    """The value of an expression. A word that names nothing stays a word.

    Raises CompileError with everything wrong in it, and Undetermined when it depends on an unknown value.
    """
    match value:
        case syntax.Number():
            return Given(number(value), value.span)
        case syntax.String() | syntax.Bool():
            return Given(value.value, value.span)
        case syntax.Word():
            return _word(value, scope)
        case syntax.IntervalLiteral():
            return _interval(value, scope)
        case syntax.Sequence():
            return Given(tuple(_all(value.items, scope)), value.span)
        case syntax.Mapping():
            return _mapping(value, scope)
        case syntax.Binary():
            return _binary(value, scope)
        case syntax.Comparison() | syntax.Logical():
            raise fail(
                "a condition is not a value",
                value.span,
                help="conditions belong in `when` and `require`",
                code=Code.NOT_A_VALUE,
            )
        case syntax.Call():
            raise fail(
                f"`{value.name}(...)` is not a value",
                value.name_span,
                help="a call is a step, a loader, a target or, in a condition, a measure",
                code=Code.NOT_A_VALUE,
            )


def number(value: syntax.Number) -> int | float:
    """A number with its unit: Ratio, Bytes, Seconds or Decibels. Raises CompileError for a fraction of a byte.

    `2M` is the plain number 2000000, whole when there is no fraction.
    """
    exact = Decimal(repr(value.value))
    if value.unit == "":
        return value.value
    if value.unit == "%":
        return Ratio(exact / 100)
    if value.unit in _COUNTS:
        count = exact * _COUNTS[value.unit]
        return int(count) if count == count.to_integral_value() else float(count)
    if value.unit == "dB":
        return Decibels(exact)
    if value.unit in _PER_SECOND:
        return Seconds(exact / _PER_SECOND[value.unit])
    size = exact * UNITS[value.unit]
    if size != size.to_integral_value():
        raise fail(f"`{value.span.text}` is not a whole number of bytes", value.span, code=Code.UNIT)
    return Bytes(size)


def _word(word: syntax.Word, scope: Scope) -> Given:
    known = scope.value(word)
    if known is not None:
        return replace(known, span=word.span)
    if word.name == "original":
        help = "it stands for the model as read, and only `when` and `require` can compare with it"
        raise fail("`original` has no value here", word.span, help=help, code=Code.ORIGINAL)
    if early := scope.too_early(word.name, word.span):
        raise early
    return Given(BareWord(word.name), word.span)


def _all(values: tuple[syntax.Value, ...], scope: Scope) -> list[Given]:
    """Each value evaluated, the errors of all of them collected."""
    diagnostics = BindingErrors()
    results = []
    for each in values:
        with diagnostics.collect():
            results.append(evaluate(each, scope))
    diagnostics.raise_errors()
    return results


def _interval(value: syntax.IntervalLiteral, scope: Scope) -> Given:
    points = _all(value.points, scope)
    for each in points:
        if not is_number(each.value):
            raise fail(f"a range needs numbers, not {describe(each.value)}", each.span, code=Code.RANGE)
    if len({kind_of(each.value) for each in points}) > 1:
        raise fail("the ends of a range must have the same unit", value.span, code=Code.RANGE)
    numbers = tuple(each.value for each in points)
    if list(numbers) != sorted(numbers):  # type: ignore[type-var]
        rising = "..".join(spell(each) for each in sorted(numbers))  # type: ignore[type-var]
        raise fail("a range must run from low to high", value.span, help=f"write {rising}", code=Code.RANGE)
    return Given(Interval(numbers), value.span)  # type: ignore[arg-type]


def _mapping(value: syntax.Mapping, scope: Scope) -> Given:
    diagnostics = Diagnostics()
    first: dict[str, Span] = {}
    for key, _ in value.entries:
        name = key.name if isinstance(key, syntax.Word) else key.value
        if name in first:
            diagnostics.error(f"`{name}` appears twice in this mapping", key.span, code=Code.OPTION_ORDER)
        first.setdefault(name, key.span)
    with diagnostics.collect():
        items = _all(tuple(each for _, each in value.entries), scope)
    diagnostics.raise_errors()
    return Given(dict(zip(first, items, strict=True)), value.span)


def _binary(value: syntax.Binary, scope: Scope) -> Given:
    left, right = _all((value.left, value.right), scope)
    for each in (left, right):
        if not is_number(each.value):
            raise fail(f"arithmetic works on numbers, not on {describe(each.value)}", each.span, code=Code.ARITHMETIC)
    return Given(calculate(value, left.value, right.value), value.span)


def calculate(value: syntax.Binary, left: Content, right: Content) -> int | float:
    """Arithmetic on two numbers of a recipe. Raises CompileError when their units do not fit together."""
    assert isinstance(left, int | float) and isinstance(right, int | float)
    kind = combined(value.operator, kind_of(left), kind_of(right))
    if kind is None:
        raise _units_differ(value, left, right)
    result = compute(value.operator, left, right, value.span)
    if not abs(result) < LARGEST:
        raise fail(
            "this number is too large",
            value.span,
            help="numbers must be below 2 to the power of 63",
            code=Code.ARITHMETIC,
        )
    if kind == "ratio":
        return Ratio(result)
    if kind == "seconds":
        return Seconds(result)
    if kind == "bytes":
        return Bytes(round(result))
    if kind == "decibels":
        return Decibels(result)
    # 8 / 2 is the whole number 4, where an option wants one.
    whole = type(left) is int and type(right) is int and isinstance(result, float) and result.is_integer()
    return int(result) if whole else result


def _units_differ(value: syntax.Binary, left: int | float, right: int | float) -> CompileError:
    """The error for arithmetic on units that do not fit together."""
    first, second = describe(left), describe(right)
    what = {
        "+": f"add {second} to {first}",
        "-": f"subtract {second} from {first}",
        "*": f"multiply {first} by {second}",
        "/": f"divide {first} by {second}",
        "of": f"take {first} of {second}",
    }
    help = (
        share_of(value, right) if isinstance(right, Ratio) else "give both numbers the same unit, or one of them none"
    )
    return fail(f"cannot {what[value.operator]}", value.span, help=help, code=Code.NOT_A_VALUE)


def share_of(value: syntax.Binary, share: float) -> str:
    """The right way to write `4MiB - 10%`: `90% of 4MiB`."""
    if value.operator not in "+-":
        return ""
    rest = 1 + share if value.operator == "+" else 1 - share
    return f"write `{spell(Ratio(round(rest, 12)))} of {value.left.span.text}`"


def is_number(value: Content) -> bool:
    """Whether a value is a number, with a unit or without."""
    return isinstance(value, int | float) and not isinstance(value, bool)
