"""Each kind of statement gives its node, with the characters it was read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vggc.diagnostics.source import Source
from vggc.grammar import syntax
from vggc.grammar.keywords import KEYWORDS
from vggc.grammar.parser import parse

Bare = Callable[[Any], Any]

WHOLE = """\
# VGG-16 for CIFAR: half the work, int8, one engine for two GPU generations.
param keep  = 50%                                   # vggc ... --set keep=40%
data  calib = npz("calib.npz", limit=512)           # arrays named like the model's inputs
data  test  = npz("test.npz", label="y")

use "peephole.opt"                                  # another recipe's rules and defines
use "my_passes.py"                                  # your own Python passes

simplify
prune_channels(macs=keep, data=calib, align=8, except=["classifier.*"])
require accuracy(test) >= original - 1% else rollback
fold_batch_norm
quantize(int8, data=calib, calibration=entropy)
require accuracy(test) >= original - 1.5%
require size <= 30% of original

target onnx
target tensorrt_rtx(compute=[sm86, sm89], shapes={"input": [1..8..32, 3, 32, 32]})
"""


def only(text: str) -> syntax.Statement:
    """The one statement of a recipe."""
    (statement,) = parse(Source("recipe.opt", text)).statements
    return statement


def step(name: str) -> tuple[Any, ...]:
    return "StepStatement", ("Call", name, ())


def test_whole_recipe() -> None:
    recipe = parse(Source("vgg16.opt", WHOLE))
    kinds = [type(each).__name__.removesuffix("Statement") for each in recipe.statements]
    steps = ["Step", "Step", "Require", "Step", "Step", "Require", "Require"]
    assert kinds == ["Param", "Data", "Data", "Use", "Use", *steps, "Target", "Target"]
    lines = [line.split("#")[0].strip() for line in WHOLE.splitlines()]
    assert [each.span.text for each in recipe.statements] == [each for each in lines if each]
    assert [each.span.line for each in recipe.statements] == [2, 3, 4, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18]


def test_param(bare: Bare) -> None:
    param = only("param keep: ratio = 50% in 10%..90%")
    assert isinstance(param, syntax.ParamStatement)
    bounds = ("IntervalLiteral", (("Number", 10, "%"), ("Number", 90, "%")))
    assert bare(param) == ("ParamStatement", ("Word", "keep"), ("Word", "ratio"), ("Number", 50, "%"), bounds)
    assert param.type is not None
    assert param.bounds is not None
    texts = [each.span.text for each in (param.name, param.type, param.value, param.bounds)]
    assert texts == ["keep", "ratio", "50%", "10%..90%"]


def test_param_of_a_list_over_lines(bare: Bare) -> None:
    param = only('param skip = [\n    "a",  # the stem\n    "b",\n]\n')
    assert bare(param) == (
        "ParamStatement",
        ("Word", "skip"),
        None,
        ("Sequence", (("String", "a"), ("String", "b"))),
        None,
    )


def test_param_of_a_mapping_is_no_block(bare: Bare) -> None:
    expected = ("ParamStatement", ("Word", "m"), None, ("Mapping", ((("Word", "a"), ("Number", 1, "")),)), None)
    assert bare(only("param m = {a: 1}")) == expected
    assert bare(only("param m = {\n  a: 1,\n}\n")) == expected


def test_data() -> None:
    data = only('data calib = npz("calib.npz", limit=512)')
    assert isinstance(data, syntax.DataStatement)
    assert data.name.name == "calib"
    assert data.loader.name == "npz"
    assert data.loader.name_span.text == "npz"
    assert data.loader.span.text == 'npz("calib.npz", limit=512)'
    assert [each.span.text for each in data.loader.arguments] == ['"calib.npz"', "limit=512"]


def test_use(bare: Bare) -> None:
    assert bare(only('use "rules/peephole.opt"')) == ("UseStatement", ("String", "rules/peephole.opt"))


@pytest.mark.parametrize("text", ["simplify", "simplify()", "simplify ( ) # all of it", "  simplify(\n)\n"])
def test_step_without_options(text: str, bare: Bare) -> None:
    assert bare(only(text)) == step("simplify")


def test_step_with_options_over_lines() -> None:
    text = "quantize(  # for the GPU\n    int8,\n\n    data = calib,\n)"
    statement = only(f"{text}  # done\n")
    assert isinstance(statement, syntax.StepStatement)
    assert statement.span.text == text
    first, second = statement.call.arguments
    assert first.name is None
    assert second.name is not None
    assert (second.name.name, second.span.text) == ("data", "data = calib")


WORDS = [
    "param",
    "data",
    "use",
    "define",
    "repeat",
    "when",
    "else",
    "require",
    "minimize",
    "maximize",
    "target",
    "in",
    "of",
    "and",
    "or",
    "not",
]


@pytest.mark.parametrize("word", sorted({*KEYWORDS, "except", "Axis"}))
def test_any_word_names_an_option(word: str) -> None:
    statement = only(f'p({word}=3, {word} = {{{word}: 3, "x": 4}})')
    assert isinstance(statement, syntax.StepStatement)
    for argument in statement.call.arguments:
        assert argument.name is not None
        assert argument.name.name == word
    mapping = statement.call.arguments[1].value
    assert isinstance(mapping, syntax.Mapping)
    key = mapping.entries[0][0]
    assert isinstance(key, syntax.Word)
    assert key.name == word


@pytest.mark.parametrize("word", ["param", "data", "use", "repeat", "target", "where", "original", "inside", "offset"])
def test_most_words_are_values_too(word: str, bare: Bare) -> None:
    assert bare(only(f"p({word})")) == ("StepStatement", ("Call", "p", (("Argument", None, ("Word", word)),)))


def test_define(bare: Bare) -> None:
    text = "define shrink(keep, calib,) {\n    simplify\n    fold\n}"
    assert bare(only(text)) == (
        ("DefineStatement", ("Word", "shrink"), (("Word", "keep"), ("Word", "calib")), (step("simplify"), step("fold")))
    )
    assert only(text).span.text == text


@pytest.mark.parametrize(
    "text", ["define tidy { simplify }", "define tidy() {\nsimplify }", "define tidy {\nsimplify\n}"]
)
def test_define_without_parameters(text: str, bare: Bare) -> None:
    assert bare(only(text)) == ("DefineStatement", ("Word", "tidy"), (), (step("simplify"),))


@pytest.mark.parametrize("text", ["repeat { simplify }", "repeat{simplify}", "repeat {\n  simplify\n}\n"])
def test_repeat(text: str, bare: Bare) -> None:
    assert bare(only(text)) == ("RepeatStatement", (step("simplify"),))


def test_when(bare: Bare) -> None:
    text = "when has(BatchNormalization) and not has(Softmax) { fold }"
    statement = only(text)
    assert isinstance(statement, syntax.WhenStatement)
    assert bare(statement.body) == (step("fold"),)
    assert statement.otherwise == ()
    assert statement.condition.span.text == "has(BatchNormalization) and not has(Softmax)"
    assert statement.span.text == text


@pytest.mark.parametrize(
    "text",
    ["when a { b } else { c }", "when a {\n    b\n} else {\n    c\n}", "when a {\n b\n}\n\n# or\nelse {\n c\n}"],
)
def test_when_else(text: str, bare: Bare) -> None:
    statement = only(text)
    assert bare(statement) == ("WhenStatement", ("Word", "a"), (step("b"),), (step("c"),))
    assert statement.span.text == text


def test_blocks_in_blocks(bare: Bare) -> None:
    text = "define f {\n    when a {\n        repeat { b }\n        c\n    } else { d }\n    e\n}\n"
    inner = ("WhenStatement", ("Word", "a"), (("RepeatStatement", (step("b"),)), step("c")), (step("d"),))
    assert bare(only(text)) == ("DefineStatement", ("Word", "f"), (), (inner, step("e")))


@pytest.mark.parametrize(
    ("ending", "otherwise"),
    [("", "fail"), (" else fail", "fail"), (" else rollback", "rollback"), (" else warn", "warn")],
)
def test_require(ending: str, otherwise: str) -> None:
    statement = only(f"require accuracy(test) >= original - 1%{ending}")
    assert isinstance(statement, syntax.RequireStatement)
    assert statement.otherwise == otherwise
    assert statement.condition.operator == ">="
    assert statement.condition.span.text == "accuracy(test) >= original - 1%"


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_objective(direction: str, bare: Bare) -> None:
    statement = only(f"{direction} latency(batch=8)  # of one run")
    assert isinstance(statement, syntax.ObjectiveStatement)
    assert statement.direction == direction
    assert statement.measure.span.text == "latency(batch=8)"


def test_the_values_of_a_parameter(bare: Bare) -> None:
    ranged, listed = (only(f"param a = 2 in {limits}") for limits in ("1..3", "[1, 2, b,]"))
    assert isinstance(ranged, syntax.ParamStatement) and isinstance(listed, syntax.ParamStatement)
    assert isinstance(ranged.bounds, syntax.IntervalLiteral)
    assert isinstance(listed.bounds, syntax.Sequence)
    assert [each.span.text for each in listed.bounds.items] == ["1", "2", "b"]


def test_target(bare: Bare) -> None:
    assert bare(only("target onnx")) == ("TargetStatement", ("Call", "onnx", ()))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_places(end: str) -> None:
    lines = ["# Größe ≤ 1", "", "\tsimplify", "prune(", '    "ä",', "    macs=50%, # half", ")", "target onnx"]
    source = Source("recipe.opt", end.join(lines))
    simplify, prune, target = parse(source).statements
    assert [(each.span.line, each.span.column) for each in (simplify, prune, target)] == [(3, 2), (4, 1), (8, 1)]
    assert isinstance(prune, syntax.StepStatement)
    macs = prune.call.arguments[1]
    assert macs.span.place == "recipe.opt:6:5"
    assert macs.span.text == "macs=50%"
    assert target.span.text == "target onnx"


def test_no_statement_needs_a_line_end_behind_it() -> None:
    assert len(parse(Source("recipe.opt", "simplify\ntarget onnx")).statements) == 2
