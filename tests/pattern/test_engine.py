"""The engine: order, sweeps, counts, refusals, dry runs, and rules that do not terminate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vggc.diagnostics import Code, CompileError, render
from vggc.graph import Graph
from vggc.graph.extras import node_extras
from vggc.rewrite import Context, dry_run, rules_pass, run_rules


def operators(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def chain(op: str, count: int) -> Graph:
    """`count` nodes of an operator, one behind the other."""
    nodes = [helper.make_node(op, [f"v{at}"], [f"v{at + 1}"], name=f"n{at}") for at in range(count)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("v0", f"v{count}")]
    proto = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    graph = Graph.from_model(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    graph.infer_shapes()
    return graph


def test_a_long_chain_falls_together_in_one_sweep(rules) -> None:
    graph = chain("Relu", 3000)
    context = Context()
    outcome = run_rules(graph, rules("rule once { Relu(r: Relu(x)) => r }"), context=context)
    assert operators(graph) == ["Relu"]
    assert len(outcome.applied) == 2999
    assert context.log.changes == {"once": 2999}
    assert context.log.rules["once"].tried < 3 * 3000


def test_what_an_application_makes_possible_upstream_is_found(rules, graph) -> None:
    made = graph("g (float[2] x) => (float[2] y) { a = Neg(x) b = Abs(a) c = Relu(b) y = Exp(c) }")
    applied = run_rules(
        made,
        rules("""
            rule first { Exp(Relu(x)) => Exp(Abs(x)) }
            rule second { Abs(Abs(x)) => Sqrt(x) }
            rule third { Sqrt(Neg(x)) => Tan(x) }
        """),
    ).applied
    assert [each.rule.name for each in applied] == ["first", "second", "third"]
    assert operators(made) == ["Tan", "Exp"]


def test_rules_are_tried_in_the_order_in_which_they_are_given(rules, graph) -> None:
    both = rules("rule a { Abs(x) => Relu(x) } \n rule b { Abs(x) => Neg(x) }")
    for order, expected in ((both, "Relu"), (both[::-1], "Neg")):
        made = graph("g (float[2] x) => (float[2] y) { y = Abs(x) }")
        run_rules(made, order)
        assert operators(made) == [expected]


def test_the_result_is_the_same_every_time(rules, graph) -> None:
    text = """g (float[2] x, float[2] z) => (float[2] y) {
        a = Neg(x) b = Neg(a) c = Add(b, z) d = Add(z, b) e = Add(c, d) f = Neg(e) g = Neg(f) y = Mul(g, e)
    }"""
    found = []
    for _ in range(3):
        made = graph(text)
        run_rules(made, rules("rule n { Neg(Neg(x)) => x } \n rule s { a: Add(x, y), Add(x, y) => a, a }"))
        proto = made.export().model.graph
        del proto.value_info[:]
        found.append(onnx.printer.to_text(proto))
    assert found[0] == found[1] == found[2]


def test_names_and_origins_of_what_a_rule_makes(rules, graph) -> None:
    made = graph("g (float[2] x) => (float[2] y) { [one] a = Neg(x) [two] y = Relu(a) }")
    with made.stamping({"vggc.line": "r.opt:3"}):
        run_rules(made, rules("rule r { c: Relu(Neg(x)) => HardSwish(x) like c }"))
    (node,) = made.nodes
    assert (node.name, node.outputs[0].name) == ("two", "y")
    assert node_extras(node).metadata["vggc.from"].split(", ") == ["one", "two"]
    assert node_extras(node).metadata["vggc.rule"] == "r"
    assert node_extras(node).metadata["vggc.line"] == "r.opt:3"


def test_counts_and_refusals_go_into_the_log(rules, graph) -> None:
    made = graph("""g (float[2] x) => (float[2] y, float[2] c)
        { a = Abs(x) b = Neg(a) c = Neg(b) d = Neg(c) y = Relu(d) }""")
    text = "rule r { Relu(Neg(x)) => Neg(Min(x, zeros([1], like=x))) }\nrule s { Neg(Neg(x)) => x }"
    context = Context()
    run_rules(made, rules(text), context=context)
    log = context.log
    assert log.changes == {"r": 1, "s": 1}
    assert log.rules["r"].applied == log.rules["s"].applied == 1
    assert log.rules["r"].seconds > 0
    assert not log.declined

    run_rules(made, rules("rule r { Min(Abs(x), y) => Min(x, y) }"), context=context)
    assert dict(log.declined) == {("Min `Min`", "the output of Abs of `c` is an output of the model"): 1}
    assert log.rules["r"].declined == 1


def test_refusals_are_bounded(rules) -> None:
    names = [f"y{at}" for at in range(600)]
    nodes = [helper.make_node("Neg", ["x"], ["a"])] + [helper.make_node("Abs", ["a"], [name]) for name in names]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", *names)]
    proto = helper.make_graph(nodes, "wide", ends[:1], ends[1:])
    graph = Graph.from_model(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    context = Context()
    outcome = run_rules(graph, rules("rule r { Abs(Neg(x)) => Abs(x) }"), context=context)
    assert len(outcome.refused) == 200
    assert outcome.more_refused == {"r": 400}
    assert context.log.rules["r"].declined == 600


def test_a_dry_run_leaves_the_graph_alone(rules, graph) -> None:
    made = graph("""g (float[2] x) => (float[2] y) <float zero = {0}, float six = {6}>
        { a = Relu(x) b = Relu(a) y = Clip(b, six, zero) }""")
    before = operators(made)
    text = "rule a { Relu(r: Relu(x)) => r } rule b { Clip(x, lo, hi) where lo <= hi => Min(Max(x, lo), hi) }"
    found = dry_run(made, rules(text.replace("} rule", "}\nrule")))
    assert [(each.rule.name, each.label) for each in found.applied] == [("a", "Relu of `b`")]
    assert [(each.rule.name, each.label, each.reason) for each in found.refused] == [
        ("b", "Clip of `y`", "its condition does not hold")
    ]
    assert operators(made) == before


def test_a_rule_that_moves_something_a_long_way(rules) -> None:
    """A transpose may sink through as many nodes as there are: that is no endless rewriting."""
    graph = chain("Relu", 1500)
    x = graph.inputs[0]
    x.shape, x.dtype = [2, 3], np.dtype(np.float32)
    first = graph.nodes[0]
    moved = graph.add("Transpose", [x], {"perm": [1, 0]})
    graph.set_input(first, 0, moved.outputs[0])
    graph.outputs[0].shape = [3, 2]
    graph.tidy()
    graph.infer_shapes()
    run_rules(graph, rules("rule sink { Relu(Transpose(x, perm=p)) => Transpose(Relu(x), perm=p) }"))
    assert operators(graph) == ["Relu"] * 1500 + ["Transpose"]


ENDLESS = [
    (
        """rule there { Add(x, c) where constant(c) => Sub(x, -c) }
           rule back { Sub(x, c) where constant(c) => Add(x, -c) }""",
        "error: the rules do not terminate\n"
        " = note: `y` was rewritten 200 times\n"
        " = rules: `back` (50 of the last 100), `there` (50 of the last 100)\n"
        " = rule: back at rules.opt:2\n"
        " = rule: there at rules.opt:1\n"
        " = last at: Add `Add_99`\n"
        " = last at: Sub `Sub_99`\n"
        " = last at: Add `Add_98`\n"
        " = last at: Sub `Sub_98`\n"
        "help: write a replacement that neither this rule nor another one of the step matches again",
    ),
]


@pytest.mark.parametrize(("text", "message"), ENDLESS, ids=["two rules"])
def test_rules_that_undo_each_other(rules, graph, text: str, message: str) -> None:
    made = graph("g (float[2] x) => (float[2] y) <float c = {1}> { y = Add(x, c) }")
    with pytest.raises(CompileError) as caught:
        run_rules(made, rules(text))
    assert render(caught.value.diagnostics[0]) == message


def test_rules_that_grow_a_graph(rules, graph) -> None:
    made = graph("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    with pytest.raises(CompileError) as caught:
        run_rules(made, rules("rule grow { Relu(x) where rank(x) == 1 => Max(Relu(Abs(x)), zeros([1], like=x)) }"))
    found = caught.value.diagnostics[0]
    assert (found.message, found.code) == ("the rule does not terminate", Code.RULE_ENDLESS)
    assert found.span is not None and found.span.text == "grow"
    assert ("note", "what they make of one node was rewritten 202 times") in found.facts


def test_a_pattern_that_fits_in_too_many_ways(rules, graph) -> None:
    inputs = ", ".join(f"float[2] x{at}" for at in range(12))
    made = graph(f"g ({inputs}) => (float[2] y) {{ y = Sum({', '.join(f'x{at}' for at in range(12))}) }}")
    context = Context()
    run_rules(made, rules("rule r { Sum(a, b, c, d, e, f, rest...) where rank(a) == 7 => a }"), context=context)
    assert dict(context.log.declined) == {
        ("Sum of `y`", "the pattern fits in too many ways: the search stopped after 10,000 comparisons"): 1
    }


def test_a_step_of_several_rules_is_exact_unless_one_has_no_limit(rules) -> None:
    exact, loose = rules("rule a { Relu(r: Relu(x)) => r } \n rule b tolerance=1e-2 { Gelu(x) where opset >= 20 => x }")
    assert rules_pass([exact, loose]).exact
    assert not rules_pass([exact, replace(loose, tolerance=math.inf)]).exact
    assert rules_pass([exact, loose]).name == "a, b"
