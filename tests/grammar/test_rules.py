"""Each part of a rule gives its node, with the characters it was read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vggc.diagnostics import CompileError, render
from vggc.diagnostics.source import Source
from vggc.grammar import pattern_syntax as pattern
from vggc.grammar import syntax
from vggc.grammar.parser import parse, parse_pattern

Bare = Callable[[Any], Any]


def rule(body: str) -> syntax.RuleStatement:
    (statement,) = parse(Source("rules.opt", f"rule r {{ {body} }}")).statements
    assert isinstance(statement, syntax.RuleStatement)
    return statement


def root(text: str) -> pattern.NodePattern:
    """The one pattern of a text, as a Python pass gives it."""
    (found,) = parse_pattern(Source("passes.py", text))
    assert isinstance(found, pattern.NodePattern)
    assert found.span.text == text
    return found


def term(text: str) -> pattern.Term:
    (let,) = rule(f"Relu(x) let k = {text} => x").lets
    assert let.value.span.text == text
    assert let.span.text == f"k = {text}"
    return let.value


def construct(text: str) -> pattern.Construct:
    (found,) = rule(f"Relu(x) => {text}").results
    assert isinstance(found, pattern.Construct)
    assert found.span.text == text
    return found


CLIP = """\
# A clip from zero upward already removes what the ReLU removes.
rule drop_relu_before_clip {
    Clip(Relu(x), lo, hi) where lo >= 0
    => Clip(x, lo, hi)
}
"""

FOLD = """\
rule fold_batch_norm_into_conv tolerance=1e-5 {
    BatchNormalization(conv: Conv(x, w, b?), scale, shift, mean, var, epsilon=eps, training_mode=0)
    let k = scale / sqrt(var + eps)
    => Conv(x, w * along(k, axis=0, like=w), ((b ?? 0) - mean) * k + shift) like conv
}
"""


def test_rule_with_a_guard(bare: Bare) -> None:
    (found,) = parse(Source("rules.opt", CLIP)).statements
    assert found.span.text == CLIP.partition("\n")[2].rstrip()
    x, lo, hi = (("Capture", name, False) for name in ("x", "lo", "hi"))
    relu = ("NodePattern", None, (("Operator", "", "Relu"),), (x,), (), 0)
    clip = ("NodePattern", None, (("Operator", "", "Clip"),), (relu, lo, hi), (), 0)
    guard = ("ComparisonTerm", ">=", ("Word", "lo"), ("Number", 0, ""))
    inputs = (("Word", "x"), ("Word", "lo"), ("Word", "hi"))
    result = ("Construct", None, ("Operator", "", "Clip"), inputs, (), 0, None)
    assert bare(found) == ("RuleStatement", ("Word", "drop_relu_before_clip"), None, (clip,), guard, (), (result,))


def test_rule_with_let_and_like() -> None:
    (found,) = parse(Source("rules.opt", FOLD)).statements
    assert isinstance(found, syntax.RuleStatement)
    assert found.tolerance is not None
    assert found.tolerance.value == 1e-5
    (norm,) = found.roots
    assert isinstance(norm, pattern.NodePattern)
    conv = norm.inputs[0]
    assert isinstance(conv, pattern.NodePattern)
    assert conv.label is not None
    assert (conv.label.name, conv.span.text) == ("conv", "conv: Conv(x, w, b?)")
    assert [each.span.text for each in norm.attributes] == ["epsilon=eps", "training_mode=0"]
    assert [each.span.text for each in found.lets] == ["k = scale / sqrt(var + eps)"]
    (result,) = found.results
    assert isinstance(result, pattern.Construct)
    assert result.like is not None
    assert result.like.name == "conv"
    assert [each.span.text for each in result.inputs] == [
        "x",
        "w * along(k, axis=0, like=w)",
        "((b ?? 0) - mean) * k + shift",
    ]


def test_rules_stand_among_other_statements() -> None:
    kinds = [type(each).__name__ for each in parse(Source("a.opt", f"simplify\n{CLIP}{FOLD}target onnx\n")).statements]
    assert kinds == ["StepStatement", "RuleStatement", "RuleStatement", "TargetStatement"]


def test_rule_on_one_line_and_over_many() -> None:
    lines = "rule r {\n\n  Relu\n  (\n  x\n  )\n  where\n  rank(\n  x)\n == 4\n let\n k\n=\n2\n=>\nx\n\n}"
    (found,) = parse(Source("a.opt", lines)).statements
    assert isinstance(found, syntax.RuleStatement)
    assert found.guard is not None
    assert found.guard.span.text == "rank(\n  x)\n == 4"


# --- patterns ----------------------------------------------------------------------------------------------


def test_inputs(bare: Bare) -> None:
    assert bare(root("Op(x, b?, _, _?, 0.5, -1, s.1, Relu(y), rest...)").inputs) == (
        ("Capture", "x", False),
        ("Capture", "b", True),
        ("Wildcard", False),
        ("Wildcard", True),
        ("ConstantPattern", ("Number", 0.5, "")),
        ("ConstantPattern", ("Number", -1, "")),
        ("OutputOf", ("Word", "s"), 1),
        ("NodePattern", None, (("Operator", "", "Relu"),), (("Capture", "y", False),), (), 0),
        ("Rest", "rest"),
    )


def test_unnamed_rest(bare: Bare) -> None:
    assert bare(root("Concat(x, _...)").inputs) == (("Capture", "x", False), ("Rest", ""))


def test_attributes(bare: Bare) -> None:
    node = root('Op(x, a=1, b=-0.5, c="nearest", d=true, e=[1, "x", false], f=captured, g=maybe?, h=_)')
    assert bare(node.attributes) == (
        ("AttributeMatch", ("Word", "a"), ("Number", 1, "")),
        ("AttributeMatch", ("Word", "b"), ("Number", -0.5, "")),
        ("AttributeMatch", ("Word", "c"), ("String", "nearest")),
        ("AttributeMatch", ("Word", "d"), ("Bool", True)),
        ("AttributeMatch", ("Word", "e"), ("Literals", (("Number", 1, ""), ("String", "x"), ("Bool", False)))),
        ("AttributeMatch", ("Word", "f"), ("Capture", "captured", False)),
        ("AttributeMatch", ("Word", "g"), ("Capture", "maybe", True)),
        ("AttributeMatch", ("Word", "h"), ("Wildcard", False)),
    )


def test_alternatives_and_domains(bare: Bare) -> None:
    node = root("act: Add|com.microsoft.Gelu | ai.onnx.ml.Scaler(x)")
    assert bare(node.operators) == (
        ("Operator", "", "Add"),
        ("Operator", "com.microsoft", "Gelu"),
        ("Operator", "ai.onnx.ml", "Scaler"),
    )
    assert [each.span.text for each in node.operators] == ["Add", "com.microsoft.Gelu", "ai.onnx.ml.Scaler"]


def test_outputs(bare: Bare) -> None:
    assert root("TopK(x, k).1").output == 1
    found = rule("t: TopK(x, k), t.1 => x, k")
    assert bare(found.roots)[1] == ("OutputOf", ("Word", "t"), 1)


@pytest.mark.parametrize("text", ["Add(x, y), Mul(x, y)", "Add(x, y), Mul(x, y),", "\n Add(x, y),\n Mul(x, y)  #\n"])
def test_several_roots(text: str) -> None:
    roots = parse_pattern(Source("passes.py", text))
    assert [each.span.text for each in roots] == ["Add(x, y)", "Mul(x, y)"]


@pytest.mark.parametrize("word", ["data", "where", "let", "like", "param", "input", "original"])
def test_most_words_are_captures(word: str, bare: Bare) -> None:
    assert bare(root(f"Relu({word})").inputs) == (("Capture", word, False),)


# --- terms -------------------------------------------------------------------------------------------------


def shape_of(node: pattern.Term) -> str:
    """A term with every operation in parentheses."""
    match node:
        case pattern.BinaryTerm() | pattern.ComparisonTerm():
            return f"({shape_of(node.left)} {node.operator} {shape_of(node.right)})"
        case pattern.LogicalTerm(_, "not", (inner,)):
            return f"(not {shape_of(inner)})"
        case pattern.LogicalTerm():
            return f"({f' {node.operator} '.join(shape_of(each) for each in node.operands)})"
        case pattern.DefaultTerm():
            return f"({' ?? '.join(shape_of(each) for each in node.choices)})"
        case pattern.NegativeTerm():
            return f"(-{shape_of(node.value)})"
        case pattern.ElementTerm():
            return f"{shape_of(node.value)}[{shape_of(node.index)}]"
        case _:
            return node.span.text


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("a - b - c", "((a - b) - c)"),
        ("a + b * c / d", "(a + ((b * c) / d))"),
        ("-a * -b", "((-a) * (-b))"),
        ("-3", "-3"),
        ("-(3)", "(-(3))"),
        ("2 - -3", "(2 - -3)"),
        ("b ?? c ?? 0", "(b ?? c ?? 0)"),
        ("b ?? c - 1", "(b ?? (c - 1))"),
        ("b ?? 0 >= 1", "((b ?? 0) >= 1)"),
        ("shape(x)[1]", "shape(x)[1]"),
        ("-shape(x)[1] + 1", "((-shape(x)[1]) + 1)"),
        ("a[0][i + 1]", "a[0][(i + 1)]"),
        ("not a == b and c or d", "(((not (a == b)) and c) or d)"),
        ("s.1", "s.1"),
        ("[1, -a, x[0]]", "[1, -a, x[0]]"),
    ],
)
def test_precedence(text: str, shape: str) -> None:
    assert shape_of(term(text)) == shape


def test_literals(bare: Bare) -> None:
    assert bare(term('["a", true, 2.5, -1,]')) == (
        ("ListTerm", (("String", "a"), ("Bool", True), ("Number", 2.5, ""), ("Number", -1, "")))
    )


def test_call() -> None:
    found = term("along(k, axis=0, like=w)")
    assert isinstance(found, pattern.CallTerm)
    assert found.name_span.text == "along"
    assert [each.span.text for each in found.arguments] == ["k", "axis=0", "like=w"]
    assert [each.name and each.name.name for each in found.arguments] == [None, "axis", "like"]


def test_lets_in_one_line_or_several(bare: Bare) -> None:
    body = "Relu(x) let a = 1, b = a let c = b,\n d = c => x"
    assert [each.name.name for each in rule(body).lets] == ["a", "b", "c", "d"]


# --- replacements ------------------------------------------------------------------------------------------


def test_construct(bare: Bare) -> None:
    found = construct("c: com.microsoft.Conv(x, _, Relu(y) like r, rest..., k * 2, group=g, pads=[0, 0]).1 like conv")
    assert bare(found)[1:3] == (("Word", "c"), ("Operator", "com.microsoft", "Conv"))
    kinds = [type(each).__name__ for each in found.inputs]
    assert kinds == ["Word", "OmittedInput", "Construct", "Rest", "BinaryTerm"]
    assert [each.span.text for each in found.attributes] == ["group=g", "pads=[0, 0]"]
    assert found.output == 1
    assert found.like is not None
    assert found.like.name == "conv"


def test_replacement_by_what_is_there(bare: Bare) -> None:
    assert bare(rule("Identity(x) => x").results) == (("Word", "x"),)
    assert bare(rule("Mul(x, 0) => 0").results) == (("Number", 0, ""),)
    assert bare(rule("A(s: Split(x)), s.1 => s.1, x").results)[0] == ("OutputOf", ("Word", "s"), 1)


# --- limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [62, 64])
def test_depth_has_a_limit(count: int) -> None:
    text = "rule r { " + "Relu(" * count + "x" + ")" * count + " => x }"
    if count == 62:
        assert parse(Source("a.opt", text)).statements
    else:
        with pytest.raises(CompileError, match="nested more than 64 deep"):
            parse(Source("a.opt", text))


@pytest.mark.parametrize(
    "text", ["-(" * 80 + "x" + ")" * 80, "x" + "[0]" * 10_000, "x" + " - 1" * 10_000, "not " * 9_000 + "x"]
)
def test_long_chains_are_refused(text: str) -> None:
    with pytest.raises(CompileError) as caught:
        rule(f"Relu(x) let k = {text} => x")
    assert len(caught.value.diagnostics) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the pattern is missing"),
        ("x", "a pattern must start with an operator"),
        ("relu(x)", "`relu(...)` is not an operator: operators are capitalised"),
        ("Relu(x", "`(` is never closed"),
        ("Relu(x) where y", "`where` cannot stand here"),
        ("Relu(x) => y", "`=>` cannot stand here"),
        ("Relu(x y)", "a comma is missing"),
        ("Clip(x, 3MB)", "a number in a rule cannot have a unit"),
        ("Concat(rest..., x)", "`rest...` must be the last input"),
    ],
)
def test_wrong_pattern(text: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse_pattern(Source("passes.py", text))
    assert [each.message for each in caught.value.diagnostics] == [message]
    assert "passes.py:1:" in render(caught.value.diagnostics[0])
