"""Each kind of value gives its node, with the characters it was read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vggc.diagnostics import CompileError, render
from vggc.diagnostics.source import Source
from vggc.grammar import syntax
from vggc.grammar.parser import parse, parse_value

Bare = Callable[[Any], Any]


def value(text: str) -> syntax.Value:
    return parse_value(Source("--set", text))


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("0", 0, ""),
        ("12", 12, ""),
        ("-12", -12, ""),
        ("- 12", -12, ""),
        ("007", 7, ""),
        ("0.5", 0.5, ""),
        ("-0.5", -0.5, ""),
        ("1e-3", 1e-3, ""),
        ("2.5E+3", 2500.0, ""),
        ("50%", 50, "%"),
        ("-1.5%", -1.5, "%"),
        ("1e1%", 10.0, "%"),
        ("4KB", 4, "KB"),
        ("4MB", 4, "MB"),
        ("4GB", 4, "GB"),
        ("4KiB", 4, "KiB"),
        ("4MiB", 4, "MiB"),
        ("0.5GiB", 0.5, "GiB"),
        ("8us", 8, "us"),
        ("2.5ms", 2.5, "ms"),
        ("2e3s", 2000.0, "s"),
    ],
)
def test_number(text: str, number: float, unit: str) -> None:
    found = value(text)
    assert isinstance(found, syntax.Number)
    assert (found.value, found.unit) == (number, unit)
    assert type(found.value) is type(number)
    assert found.span.text == text


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('""', ""),
        ('"calib.npz"', "calib.npz"),
        (r'"a\"b"', 'a"b'),
        (r'"C:\\data"', "C:\\data"),
        (r'"\n\t"', "\n\t"),
        ('"# no ( comment {"', "# no ( comment {"),
        ('"Größe ≤ 1"', "Größe ≤ 1"),
        (r'"\\"', "\\"),
    ],
)
def test_string(text: str, content: str) -> None:
    found = value(text)
    assert isinstance(found, syntax.String)
    assert found.value == content
    assert found.span.text == text


@pytest.mark.parametrize("text", ["true", "false"])
def test_bool(text: str) -> None:
    found = value(text)
    assert isinstance(found, syntax.Bool)
    assert found.value is (text == "true")


@pytest.mark.parametrize("text", ["int8", "entropy", "sm86", "_", "truest", "Conv", "com.microsoft.Gelu", "a.b.C"])
def test_word(text: str, bare: Bare) -> None:
    assert bare(value(text)) == ("Word", text)


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("1..32", [1, 32]),
        ("1..8..32", [1, 8, 32]),
        ("1 .. 8 ..32", [1, 8, 32]),
        ("0.5..1.5", [0.5, 1.5]),
        ("-1..-0.5", [-1, -0.5]),
        ("1e1..2e1", [10.0, 20.0]),
        ("(1..2)", [1, 2]),
    ],
)
def test_interval(text: str, points: list[float]) -> None:
    found = value(text)
    assert isinstance(found, syntax.IntervalLiteral)
    assert [each.value for each in found.points if isinstance(each, syntax.Number)] == points
    assert found.span.text == text


def test_interval_of_words_and_sums(bare: Bare) -> None:
    high = ("Binary", "*", ("Word", "n"), ("Number", 2, ""))
    assert bare(value("n..n * 2")) == ("IntervalLiteral", (("Word", "n"), high))


def test_shape(bare: Bare) -> None:
    points = tuple(("Number", each, "") for each in (1, 8, 32))
    items = (("IntervalLiteral", points), ("Number", 3, ""))
    assert bare(value('{"input": [1..8..32, 3,], other: [],}')) == (
        ("Mapping", ((("String", "input"), ("Sequence", items)), (("Word", "other"), ("Sequence", ()))))
    )


def test_call() -> None:
    found = value('agreement(calib, limit=512, names=["a"])')
    assert isinstance(found, syntax.Call)
    assert found.name_span.text == "agreement"
    assert [each.span.text for each in found.arguments] == ["calib", "limit=512", 'names=["a"]']


def test_comparison_as_an_argument() -> None:
    found = value("f(until=agreement(calib) >= 99.7%)")
    assert isinstance(found, syntax.Call)
    condition = found.arguments[0].value
    assert isinstance(condition, syntax.Comparison)
    assert condition.span.text == "agreement(calib) >= 99.7%"


def shape_of(node: syntax.Value) -> str:
    """An expression with every operation in parentheses."""
    match node:
        case syntax.Binary() | syntax.Comparison():
            return f"({shape_of(node.left)} {node.operator} {shape_of(node.right)})"
        case syntax.Logical(_, "not", (inner,)):
            return f"(not {shape_of(inner)})"
        case syntax.Logical():
            return f"({f' {node.operator} '.join(shape_of(each) for each in node.operands)})"
        case _:
            return node.span.text


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("a - b - c", "((a - b) - c)"),
        ("a - b * c / d", "(a - ((b * c) / d))"),
        ("original - 1%", "(original - 1%)"),
        ("30% of original", "(30% of original)"),
        ("30% of original - 5MB", "((30% of original) - 5MB)"),
        ("2 * 30% of original", "((2 * 30%) of original)"),
        ("a -1", "(a - 1)"),
        ("a--1", "(a - -1)"),
        ("a or b and not c == d", "(a or (b and (not (c == d))))"),
        ("a or b or c", "(a or b or c)"),
        ("not has(A) and has(B)", "((not has(A)) and has(B))"),
        ("a + 1 <= b * 2", "((a + 1) <= (b * 2))"),
        ("a != b", "(a != b)"),
        ("a<b", "(a < b)"),
        ("(a) >= ((b))", "((a) >= ((b)))"),
    ],
)
def test_precedence(text: str, shape: str) -> None:
    assert shape_of(value(text)) == shape


def test_parentheses_group() -> None:
    product = value("(a + b) * (c - d)")
    assert isinstance(product, syntax.Binary)
    assert isinstance(product.left, syntax.Binary)
    assert (product.operator, product.left.operator) == ("*", "+")
    assert (product.left.span.text, product.right.span.text) == ("(a + b)", "(c - d)")
    assert product.span.text == "(a + b) * (c - d)"


def test_every_operator_knows_its_own_characters() -> None:
    outer = value("a + b  -  c")
    assert isinstance(outer, syntax.Binary)
    assert outer.span.text == "a + b  -  c"
    assert outer.left.span.text == "a + b"


@pytest.mark.parametrize("count", [63, 64])
def test_depth_has_a_limit(count: int) -> None:
    text = "param x = " + "[" * count + "1" + "]" * count
    if count == 63:
        assert parse(Source("recipe.opt", text)).statements
    else:
        with pytest.raises(CompileError, match="nested more than 64 deep"):
            parse(Source("recipe.opt", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the value is missing"),
        ("50% 40%", "`40%` cannot stand here"),
        ("Keep)", "`)` closes nothing"),
        ("5 GiX", "there must be no space between a number and its unit"),
        ("[1 2]", "a comma is missing"),
        ("1e999", "`1e999` is outside the range of a 64-bit float"),
        ("[" + "1, " * 40_000 + "]", "this text has 120,002 characters"),
    ],
)
def test_wrong_value(text: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        value(text)
    assert [each.message for each in caught.value.diagnostics] == [message]
    assert render(caught.value.diagnostics[0])
