"""Asking and editing a graph: readers, replacing, removing, names, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import onnx_graphsurgeon as gs
import pytest

from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.graph.extras import node_extras

Shape = list[int | str | None]


def parse(text: str) -> Graph:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g {text}')
    onnx.checker.check_model(model, full_check=True)
    return Graph.from_model(model)


def value(graph: Graph, name: str) -> gs.Tensor:
    everything = (
        *graph.inputs,
        *graph.outputs,
        *(each for node in graph.nodes for each in (*node.inputs, *node.outputs)),
    )
    return next(each for each in everything if each.name == name)


def node(graph: Graph, output: str) -> gs.Node:
    return next(each for each in graph.nodes if each.outputs[0].name == output)


def lines(graph: Graph) -> list[str]:
    """The valid model that a graph is, a line for each node."""
    graph.tidy()
    model = graph.export(1 << 40).model
    onnx.checker.check_model(model, full_check=True)
    return [f"{', '.join(each.output)} = {each.op_type}({', '.join(each.input)})" for each in model.graph.node]


def test_asking() -> None:
    graph = parse(
        """(float[N,4] x) => (float[N,4] y, float[N,4] b) <float[4] k = {1.0, 2.0, 3.0, 4.0}>
        { a = Mul (x, k) b = Relu (a) c = Add (b, a) y = Add (c, c) }"""
    )
    x, k, a, b, c, y = (value(graph, name) for name in "xkabcy")
    assert graph.producer(x) is None
    assert graph.producer(a) is node(graph, "a")
    assert [each.op for each in graph.readers(a)] == ["Relu", "Add"]
    assert [each.outputs[0].name for each in graph.readers(c)] == ["y"]
    assert graph.is_output(y)
    assert not graph.is_output(a)
    assert graph.only_reader(x) is node(graph, "a")
    assert graph.only_reader(a) is None, "two nodes read it"
    assert graph.only_reader(b) is None, "it is an output"
    assert graph.only_reader(c) is None, "one node reads it twice"
    assert graph.array(a) is None
    np.testing.assert_array_equal(graph.array(k), [1, 2, 3, 4])
    assert graph.shape(x) == ["N", 4]
    assert graph.static_shape(x) is None
    assert graph.static_shape(k) == [4]
    assert graph.rank(a) is None
    graph.infer_shapes()
    assert (graph.shape(a), graph.dtype(a), graph.rank(a)) == (["N", 4], np.dtype(np.float32), 2)


def test_replace() -> None:
    graph = parse("(float[N] x) => (float[N] y) { a = Relu (x) b = Neg (a) y = Add (b, b) }")
    graph.replace(value(graph, "b"), value(graph, "a"))
    assert lines(graph) == ["a = Relu(x)", "y = Add(a, a)"]


def test_replace_an_output() -> None:
    """The value that takes over gets the output's name, and the type that was declared."""
    graph = parse("(float[N,4] x) => (float[N,4] y) { a = Relu (x) b = Neg (a) y = Identity (b) }")
    declared = graph.outputs[0].dtype
    assert graph.replaceable(value(graph, "y"), value(graph, "a"))
    graph.replace(value(graph, "y"), value(graph, "a"))
    assert lines(graph) == ["y = Relu(x)"]
    assert (graph.outputs[0].name, graph.outputs[0].dtype, graph.shape(graph.outputs[0])) == ("y", declared, ["N", 4])


@pytest.mark.parametrize(
    ("text", "new", "expected"),
    [
        ("(float[N] x) => (float[N] y) { a = Neg (x) y = Neg (a) }", "x", ["y = Identity(x)"]),
        ("(float[2] x) => (float[2] y) <float[2] k = {1.0, 2.0}> { y = Mul (x, k) }", "k", ["y = Identity(k)"]),
        (
            "(float[N] x) => (float[N] y, float[N] z) { z = Neg (x) y = Abs (x) }",
            "z",
            ["z = Neg(x)", "y = Identity(z)"],
        ),
    ],
)
def test_replace_an_output_by_what_has_a_name(text: str, new: str, expected: list[str]) -> None:
    graph = parse(text)
    assert not graph.replaceable(value(graph, "y"), value(graph, new))
    graph.replace(value(graph, "y"), value(graph, new))
    assert sorted(lines(graph)) == sorted(expected)


def test_replace_an_output_that_is_read() -> None:
    graph = parse("(float[N] x) => (float[N] y, float[N] z) { a = Relu (x) y = Neg (a) z = Abs (y) }")
    graph.replace(value(graph, "y"), value(graph, "a"))
    assert lines(graph) == ["y = Relu(x)", "z = Abs(y)"]


INSIDE = """(float[N] x, bool p) => (float[N] y) {
   a = Relu (x)
   b = Neg (a)
   y = If (p) <
      then_branch = t () => (float[N] c) { c = Abs (b) },
      else_branch = e () => (float[N] d) { d = Identity (b) }
   >
}"""


def test_replace_what_branches_read() -> None:
    graph = parse(INSIDE)
    b = value(graph, "b")
    assert [each.op for each in graph.readers(b)] == ["Abs", "Identity"]
    assert graph.only_reader(b) is None
    graph.replace(b, value(graph, "a"))
    assert lines(graph) == ["a = Relu(x)", "y = If(p)"]
    assert [each.op for each in graph.readers(value(graph, "a"))] == ["Abs", "Identity"]


@pytest.mark.parametrize(("branch", "expected"), [("then_branch", "y = Abs(b)"), ("else_branch", "y = Identity(b)")])
def test_inline(branch: str, expected: str) -> None:
    graph = parse(INSIDE)
    chosen = node(graph, "y")
    graph.inline(chosen, chosen.attrs[branch])
    assert lines(graph) == ["a = Relu(x)", "b = Neg(a)", expected]


def test_add_in_the_place_of_others() -> None:
    graph = parse("(float[N] x) => (float[N] y) { [one] a = Relu (x) [two] y = Neg (a) }")
    one, two = graph.nodes
    node_extras(one).metadata = {"namespace": "net.relu"}
    y = two.outputs[0]
    for each in (one, two):
        graph.remove(each)
    assert graph.producer(y) is None
    made = graph.add("LeakyRelu", [graph.inputs[0]], {"alpha": -1.0}, like=one, replaces=[one, two], output=y)
    assert lines(graph) == ["y = LeakyRelu(x)"]
    assert made.name == "one"
    assert node_extras(made).metadata == {"namespace": "net.relu", "vggc.from": "one, two"}
    again = graph.add("Neg", [y], replaces=[made])
    assert node_extras(again).metadata["vggc.from"] == "one, two", "a node made twice remembers where it began"


def test_add_takes_over_attributes() -> None:
    graph = parse("(float[N] x) => (float[N] y) { [one] y = LeakyRelu <alpha = 0.5> (x) }")
    (one,) = graph.nodes
    made = graph.add("LeakyRelu", one.inputs, like=one, outputs=1)
    other = graph.add("LeakyRelu", one.inputs, {"alpha": 0.25}, like=one)
    assert (made.attrs["alpha"], other.attrs["alpha"]) == (0.5, 0.25)
    assert len({one.name, made.name, other.name}) == 3
    assert len({one.outputs[0].name, made.outputs[0].name, other.outputs[0].name}) == 3


def test_the_step_of_a_recipe_is_noted() -> None:
    graph = parse("(float[N] x) => (float[N] y) { a = Relu (x) y = Neg (a) }")
    with graph.stamping({"vggc.line": "r.opt:3", "vggc.pass": "mine"}):
        graph.set_input(node(graph, "y"), 0, graph.inputs[0])
    assert lines(graph) == ["y = Neg(x)"]
    assert node_extras(graph.nodes[0]).metadata == {"vggc.line": "r.opt:3", "vggc.pass": "mine"}
    assert node_extras(graph.add("Abs", graph.inputs)).metadata == {}, "what comes later is of no step"
    assert graph.export().model.ir_version >= 10, "older formats have no metadata"


def test_names_are_fresh() -> None:
    graph = parse(INSIDE)
    assert [graph.fresh_name(hint) for hint in ("x", "x", "d", "new", "new")] == ["x_1", "x_2", "d_1", "new", "new_1"]
    assert graph.constant(np.zeros(1), "a").name == "a_1"


def test_constants_are_read_only() -> None:
    graph = parse("(float[2] x) => (float[2] y) <float[2] k = {1.0, 2.0}> { y = Mul (x, k) }")
    for each in (graph.array(value(graph, "k")), graph.array(graph.constant([1.0, 2.0]))):
        assert each is not None
        with pytest.raises(ValueError, match="read-only"):
            each[0] = 5


def test_tidy_sorts_and_drops() -> None:
    graph = parse("(float[N] x) => (float[N] y) { a = Relu (x) dead = Neg (a) y = Abs (a) }")
    late = graph.add("Sqrt", [value(graph, "a")])
    graph.set_input(node(graph, "y"), 0, late.outputs[0])
    assert lines(graph) == ["a = Relu(x)", "Sqrt_output = Sqrt(a)", "y = Abs(Sqrt_output)"]


def test_a_cycle_is_refused() -> None:
    graph = parse("(float[N] x) => (float[N] y) { a = Relu (x) y = Abs (a) }")
    graph.set_input(node(graph, "a"), 0, value(graph, "y"))
    with pytest.raises(CompileError, match="the graph has a cycle through"):
        graph.tidy()


def test_two_values_of_one_name_are_refused() -> None:
    graph = parse("(float[N] x) => (float[N] y) { a = Relu (x) y = Abs (a) }")
    value(graph, "a").name = "x"
    with pytest.raises(CompileError, match="two values have the name `x`"):
        graph.tidy()


def test_shapes_after_an_edit() -> None:
    """What was known of a value before is forgotten; what is declared of an output stays."""
    graph = parse("(float[N,4] x) => (float[N,M] y) { a = Relu (x) y = Abs (a) }")
    graph.infer_shapes()
    wide = graph.add("Concat", [graph.inputs[0], graph.inputs[0]], {"axis": 1})
    graph.replace(value(graph, "a"), wide.outputs[0])
    graph.tidy()
    graph.infer_shapes()
    assert graph.shape(wide.outputs[0]) == ["N", 8]
    assert graph.shape(graph.outputs[0]) == ["N", 8]


def test_sizes_of_the_elements_of_a_sequence_are_not_taken_for_equal() -> None:
    graph = parse(
        """(float[N,9] x) => (float[N,A] y, float[N,B] z) <int64[3] s = {2, 2, 5}, int64 i = {0}, int64 j = {2}>
        { q = SplitToSequence <axis = 1> (x, s) a = SequenceAt (q, i) b = SequenceAt (q, j) y = Neg (a) z = Neg (b) }"""
    )
    graph.infer_shapes()
    first, last = graph.shape(value(graph, "a")), graph.shape(value(graph, "b"))
    assert first is not None
    assert first[1] is None or first != last
    names = [dim.dim_param for info in graph.export().model.graph.value_info for dim in info.type.tensor_type.shape.dim]
    assert not [name for name in names if name.startswith("unk__")]


def chain(length: int) -> Graph:
    infos = [onnx.helper.make_tensor_value_info(name, 1, ["N"]) for name in ("v0", f"v{length}")]
    nodes = [onnx.helper.make_node("Relu", [f"v{each}"], [f"v{each + 1}"], f"n{each}") for each in range(length)]
    graph = onnx.helper.make_graph(nodes, "chain", infos[:1], infos[1:])
    return Graph.from_model(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    )


def halve(graph: Graph) -> None:
    """Take out every second node."""
    for each in graph.nodes[1:-1:2]:
        graph.replace(each.outputs[0], each.inputs[0])
        graph.remove(each)
    graph.tidy()


@pytest.mark.parametrize("edit", [halve, Graph.tidy, Graph.copy])
def test_edits_take_linear_time(
    edit: Callable[[Graph], object], count_calls: Callable[[Callable[[], object]], int]
) -> None:
    small, large = (chain(length) for length in (250, 1000))
    assert count_calls(lambda: edit(large)) < 5 * count_calls(lambda: edit(small)), (
        "four times the nodes took far more than four times the calls"
    )
