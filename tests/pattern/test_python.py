"""Python passes under @rewrites: what they are given, what they may return, how they decline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from vggc.binding import bind
from vggc.diagnostics import CompileError
from vggc.diagnostics.source import Source
from vggc.execution.model_comparison import compare
from vggc.execution.random_inputs import random_inputs
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.rewrite import Context, Declined, Destination, Match, rewrites

FOLD = "BatchNormalization(conv: Conv(x, w, b?), scale, shift, mean, var, epsilon=eps, training_mode=0)"
CONV = """g (float[1,2,4,4] x) => (float[1,3,4,4] y)
    <float[3,2,1,1] w = {1,2,3,4,5,6}, float[3] scale = {1,2,3}, float[3] shift = {0,1,0},
     float[3] mean = {1,1,1}, float[3] var = {1,2,3}>
    { [conv1] c = Conv(x, w) y = BatchNormalization(c, scale, shift, mean, var) }"""


@rewrites(FOLD)
def fold(match: Match) -> gs.Node:
    """Fold a batch norm."""
    assert match.b is None
    assert match.root.op == "BatchNormalization"
    assert [each.op for each in match.nodes] == ["BatchNormalization", "Conv"]
    assert match["eps"] == pytest.approx(1e-5)
    k = match.array("scale") / np.sqrt(match.array("var") + match.eps)
    weight = match.constant(match.array("w") * k[:, None, None, None], like="w")
    bias = match.constant(match.array("shift") - match.array("mean") * k, like="shift")
    return match.add("Conv", match.x, weight, bias, like=match.conv)


def test_a_pass_of_python(graph: Any) -> None:
    made = graph(CONV)
    before = made.copy()
    log = fold(made)
    assert [(node.op, node.name) for node in made.nodes] == [("Conv", "conv1")]
    assert log.changes == {"fold": 1}
    assert fold.exact
    assert fold.doc == "Fold a batch norm."
    assert compare(before, made, random_inputs(made)).ok


def test_each_application_can_be_proved(graph: Any) -> None:
    @rewrites(FOLD)
    def forget_the_mean(match: Match) -> gs.Node:
        k = match.array("scale") / np.sqrt(match.array("var") + match.eps)
        weight = match.constant(match.array("w") * k[:, None, None, None], like="w")
        return match.add("Conv", match.x, weight, match.shift, like=match.conv)

    made = graph(CONV)
    with pytest.raises(CompileError, match="rule `forget_the_mean` changes what it rewrites"):
        forget_the_mean(made, context=Context(prove=True))


def test_declining_leaves_the_graph_as_it_was(graph: Any) -> None:
    @rewrites("Relu(Neg(x))")
    def never(match: Match) -> gs.Node:
        match.add("Abs", match.x)
        raise Declined("not today")

    made = graph("g (float[2] x) => (float[2] y) { a = Neg(x) y = Relu(a) }")
    log = never(made)
    assert [node.op for node in made.nodes] == ["Neg", "Relu"]
    assert dict(log.declined) == {("Relu of `y`", "not today"): 1}


def test_options(graph: Any) -> None:
    @rewrites("Clip(x, lo, hi)")
    def raise_limit(match: Match, limit: float, factor: int = 2) -> gs.Node:
        if match.array("hi") >= limit:
            raise Declined("high enough")
        return match.add("Clip", match.x, match.lo, match.constant(limit * factor, like="hi"))

    assert [(each.name, each.required) for each in raise_limit.schema.options] == [
        ("limit", True),
        ("factor", False),
    ]
    made = graph("g (float[2] x) => (float[2] y) <float lo = {0}, float hi = {6}> { y = Clip(x, lo, hi) }")
    raise_limit(made, limit=10.0, factor=3)
    assert made.array(made.nodes[0].inputs[2]) == 30


def test_a_context_is_no_option(graph: Any) -> None:
    @rewrites("Relu(x)")
    def for_the_target(match: Match, context: Context, op: str = "Abs") -> gs.Node:
        return match.add("Neg" if any(each.target == "onnx" for each in context.targets) else op, match.x)

    assert [each.name for each in for_the_target.schema.options] == ["op"]
    for given, expected in (({}, "Exp"), ({"context": Context(targets=(Destination("onnx", {}),))}, "Neg")):
        made = graph("g (float[2] x) => (float[2] y) { y = Relu(x) }")
        assert for_the_target(made, "Exp", **given).changes == {"for_the_target": 1}
        assert [node.op for node in made.nodes] == [expected]


def test_values_arrays_and_several_roots(graph: Any) -> None:
    @rewrites("s: Split(x, n, axis=0), s.1")
    def known(match: Match) -> Any:
        assert match.n.name == "n"
        return match.x, np.zeros((1, 2), np.float32)

    made = graph("""g (float[2,2] x) => (float[1,2] y, float[1,2] z) <int64[2] n = {1, 1}>
        { a, b = Split(x, n) c = Neg(a) y = Abs(c) z = Neg(b) }""")
    log = known(made)
    # The first half is not the whole: the engine sees that the shapes differ.
    assert [node.op for node in made.nodes] == ["Split", "Neg", "Abs", "Neg"]
    assert dict(log.declined) == {("Split of `a`", "its replacement is of shape [2, 2], and not [1, 2]"): 1}

    @rewrites("s: Split(x, n, axis=0), s.1")
    def halves(match: Match) -> Any:
        return match.add("Slice", match.x, *(match.graph.constant(np.array([each])) for each in (0, 1))), np.ones(
            (1, 2)
        )

    halves(made)
    assert [node.op for node in made.nodes] == ["Slice", "Neg", "Abs", "Neg"]
    last = made.nodes[-1].inputs[0]
    assert made.array(last).dtype == np.float32


def test_a_wrong_result_is_the_authors_mistake(graph: Any) -> None:
    @rewrites("Relu(x)")
    def odd(match: Match) -> Any:
        return "Relu"

    with pytest.raises(TypeError, match="`odd` returned str, not a node, a value or an array"):
        odd(graph("g (float[2] x) => (float[2] y) { y = Relu(x) }"))

    @rewrites("Relu(x)")
    def two(match: Match) -> Any:
        return match.x, match.x

    with pytest.raises(TypeError, match="`two` returned 2 results for a pattern of 1 roots"):
        two(graph("g (float[2] x) => (float[2] y) { y = Relu(x) }"))


def test_names_the_pattern_does_not_have(graph: Any) -> None:
    @rewrites("Relu(x)")
    def misspelt(match: Match) -> Any:
        return match.y

    with pytest.raises(AttributeError, match="the pattern has no name `y`"):
        misspelt(graph("g (float[2] x) => (float[2] y) { y = Relu(x) }"))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("Relu(", "`(` is never closed"),
        ("Relux(x)", "ONNX has no operator `Relux`"),
        ("a: Relu(a: Neg(x))", "two nodes are labelled `a`"),
        ("Relu(x), Neg(y)", "this pattern shares no value with the ones before it"),
    ],
)
def test_wrong_patterns(pattern: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        rewrites(pattern)(lambda match: match.x)
    assert caught.value.diagnostics[0].message == message


PREDICATES = """
from vggc.rewrite import Declined, Match, predicate, rewrites


@predicate
def is_power_of_two(k, shape=(), mode="any") -> bool:
    assert mode == "all" and shape == (2, 3)
    return float(k) in (1, 2, 4, 8)


@predicate
def undecided(k) -> bool:
    raise Declined("who knows")


@predicate
def odd(k):
    return "yes"


@rewrites("Neg(Neg(x))")
def drop_two(match: Match):
    return match.x
"""


def test_predicates_come_in_with_use(tmp_path: Path, graph: Any) -> None:
    (tmp_path / "mine.py").write_text(PREDICATES, encoding="utf-8")
    recipe = """
        use "mine.py"
        rule shift { Mul(x, k) where is_power_of_two(k, shape(x), mode="all") => Div(x, 1 / k) }
        rule maybe { Abs(x) where undecided(3) => Relu(x) }
        rule wrong { Exp(x) where odd(3) => Relu(x) }
        shift
        maybe
        wrong
        drop_two
    """
    pipeline = bind(parse(Source(str(tmp_path / "r.opt"), recipe)))
    made = graph("""g (float[2,3] x) => (float[2,3] y) <float four = {4}, float five = {5}>
        { a = Mul(x, four) b = Mul(a, five) c = Abs(b) d = Exp(c) e = Neg(d) y = Neg(e) }""")
    context = Context()
    for step in pipeline.steps():
        step.pass_(made, context=context)
    assert [node.op for node in made.nodes] == ["Div", "Mul", "Abs", "Exp"]
    assert dict(context.log.declined) == {
        ("Abs of `c`", "who knows, in `undecided`"): 1,
        ("Exp of `d`", "it returned str instead of True or False, in `odd`"): 1,
    }


def test_a_graph_with_bodies(graph: Any) -> None:
    @rewrites("Abs(Neg(x))")
    def drop_neg(match: Match) -> gs.Node:
        return match.add("Abs", match.x)

    made: Graph = graph("""g (float[2] x, bool c) => (float[2] y) {
        y = If(c) <then_branch = t () => (float[2] a) { b = Neg(x) a = Abs(b) },
                   else_branch = e () => (float[2] d) { d = Relu(x) }>
    }""")
    drop_neg(made)
    assert [node.op for node in made.nodes[0].attrs["then_branch"].nodes] == ["Abs"]
    assert compare(made.copy(), made, [{"x": np.ones(2, np.float32), "c": np.array(True)}]).ok
