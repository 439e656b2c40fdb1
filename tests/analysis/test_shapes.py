"""Shapes with names for dimensions: what is found, and that it holds when the model runs."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import parser

from vggc.analysis.shapes.multiples import Multiple, factors, is_known, product, quotient, total
from vggc.analysis.shapes.value_shapes import Shapes
from vggc.execution.session import Session
from vggc.graph import Graph

VALUES = {"batch": 5, "heads": 3, "length": 7}
DIMENSIONS = st.one_of(
    st.integers(0, 12),
    st.sampled_from(sorted(VALUES)),
    st.builds(Multiple, st.integers(2, 9), st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3)),
)


def number(dimension):
    times, names = factors(dimension)
    return times * prod(VALUES[name] for name in names)


@given(st.lists(DIMENSIONS, max_size=4), DIMENSIONS)
def test_arithmetic_with_names_is_that_of_numbers(dimensions, part):
    whole = product(dimensions)
    assert number(whole) == prod(map(number, dimensions))
    if number(part) and number(whole):
        assert quotient(product([whole, part]), part) == whole
    if (rest := quotient(whole, part)) is not None:
        assert number(rest) * number(part) == number(whole)
    if (both := total(dimensions)) is not None:
        assert number(both) == sum(map(number, dimensions))


def test_what_is_not_known_stays_unknown():
    assert product([2, None]) is None
    assert product([-2, "batch"]) is None
    assert quotient("batch", 2) is None
    assert quotient("batch", "heads") is None
    assert quotient(0, 0) is None
    assert total(["batch", 1]) is None
    assert not is_known(Multiple(4, ["unk__3"]))


def test_multiples_of_one_text_are_equal():
    assert product(["heads", 2, "batch"]) == product([2, "batch", "heads"]) == Multiple(2, ["batch", "heads"])
    assert str(product(["heads", 2, "batch"])) == "2 times batch times heads"
    assert quotient(Multiple(6, ["batch"]), 6) == "batch"


def graph_of(body: str, shape: str = "batch,4,6", opset: int = 17) -> Graph:
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g (float[{shape}] x) => (y) {{ {body} }}'
    graph = Graph.from_model(parser.parse_model(text))
    graph.infer_shapes()
    return graph


# Each computes `v`, whose shape onnx's own inference does not find.
CASES = {
    "a Reshape that infers a multiple": (
        "t = Constant <value_ints = [-1, 6]> () v = Reshape (x, t)",
        ["4 times batch", 6],
    ),
    "a Reshape that infers a number": (
        "s = Shape (x) i = Constant <value_ints = [0]> () b = Gather (s, i) r = Constant <value_ints = [-1]> ()"
        "t = Concat <axis = 0> (b, r) v = Reshape (x, t)",
        ["batch", 24],
    ),
    "a Reshape to a computed multiple and back": (
        "s = Shape (x) i = Constant <value_ints = [0]> () b = Gather (s, i) two = Constant <value_ints = [2]> ()"
        "m = Mul (b, two) r = Constant <value_ints = [-1, 6]> () t = Concat <axis = 0> (m, r) w = Reshape (x, t)"
        "q = Div (m, two) u = Concat <axis = 0> (q, r) v = Reshape (w, u)",
        ["batch", 4, 6],
    ),
    "a Flatten": ("v = Flatten <axis = 2> (x)", ["4 times batch", 6]),
    "a Concat of batches": ("v = Concat <axis = 0> (x, x)", ["2 times batch", 4, 6]),
    "a Tile": ("t = Constant <value_ints = [3, 1, 2]> () v = Tile (x, t)", ["3 times batch", 4, 12]),
    "a Slice to the end": ("v = Slice <starts = [0], ends = [9223372036854775807]> (x)", ["batch", 4, 6]),
    "an Expand whose target torch computes": (
        "s = Shape (x) i = Constant <value_ints = [0]> () b = Gather (s, i) r = Constant <value_ints = [-1, 6]> ()"
        "t = Concat <axis = 0> (b, r) ones = Constant <value_ints = [1, 1, 1]> () m = Constant <value_int = -1> ()"
        "n = Mul (ones, m) e = Equal (t, n) u = Where (e, ones, t) v = Expand (x, u)",
        ["batch", 4, 6],
    ),
    "a sum of values whose batch was inferred": (
        "t = Constant <value_ints = [-1, 4, 6]> () u = Reshape (x, t) v = Add (u, x)",
        ["batch", 4, 6],
    ),
    "a stack of products": (
        "t = Constant <value_ints = [-1, 4, 6]> () u = Reshape (x, t) w = Transpose <perm = [0, 2, 1]> (x)"
        "v = MatMul (u, w)",
        ["batch", 4, 4],
    ),
    "a Resize by a fraction": (
        "r = Constant <value_floats = [0.0]> () s = Constant <value_floats = [1.0, 2.0, 0.5]> () v = Resize (x, r, s)",
        ["batch", 8, 3],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_shapes_that_inference_loses(case: str) -> None:
    body, expected = CASES[case]
    body = body.replace("Slice <", "Slice <axes = [0], ") if "Slice" in body else body
    graph = graph_of(f"{body} y = Identity (v)", opset=9 if "Slice" in body else 17)
    value = next(value for node in graph.nodes for value in node.outputs if value.name == "v")
    shapes = Shapes(graph)
    shapes.complete()
    found = shapes.shape(value)
    assert found == expected
    assert graph.shape(value) != expected
    for batch in (1, 3):
        (v,) = Session(graph, ["v"]).run({"x": np.ones((batch, 4, 6), np.float32)}).values()
        assert [factors(each)[0] * batch ** len(factors(each)[1]) for each in found] == list(v.shape)


def test_the_batch_of_inputs_without_names_is_one():
    text = "g (float[N,4] x, float[N,4] z) => (float[N,4] y) { y = Add (x, z) }"
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}')
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].Clear()
    graph = Graph.from_model(model)
    graph.infer_shapes()
    shapes = Shapes(graph)
    assert shapes.shape(graph.nodes[0].outputs[0]) == ["batch", 4]
    assert shapes.of_one_sample(graph.nodes[0].outputs[0]) == (1, 4)


def test_only_the_batch_is_one_in_a_sample():
    graph = graph_of("t = Constant <value_ints = [-1, 6]> () v = Reshape (x, t) y = Relu (v)", "batch,length,6")
    shapes = Shapes(graph)
    assert shapes.shape(graph.nodes[0].outputs[0]) == ["batch times length", 6]
    assert shapes.of_one_sample(graph.nodes[0].outputs[0]) == (None, 6)


def test_integers_that_become_known_tell_shapes():
    """The target is known once the first Reshape is, and with it the shape of `y`."""
    first = "a = Constant <value_ints = [2, -1, 8]> () u = Reshape (x, a)"
    second = "s = Shape (u) m = Constant <value_ints = [-1, -1, -1]> () e = Equal (s, m) t = Where (e, m, s)"
    graph = graph_of(f"{first} {second} v = Reshape (x, t) y = Relu (v)", "6,4,2")
    assert graph.shape(graph.outputs[0]) == [None, None, None]
    shapes = Shapes(graph)
    shapes.complete()
    assert shapes.shape(graph.outputs[0]) == [2, 3, 8]
