"""Comparing models: what counts as equal, and finding the first value that differs."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import numpy_helper, parser

from vggc.execution.array_distance import distance
from vggc.execution.model_comparison import bounded_outputs, coarsest, compare, first_difference
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph import Graph

HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'
W = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
V = np.random.default_rng(1).standard_normal((4, 5)).astype(np.float32)
NET = (
    "g (float[N,3,6,6] x) => (float[N,5] y) { c = Conv<pads = [1,1,1,1]>(x, w) r = Relu(c) "
    "p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v) }"
)


def graph(text: str, **weights: Any) -> Graph:
    model = parser.parse_model(HEAD + text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return Graph.from_model(model)


def changed(index: tuple[int, ...], factor: float) -> np.ndarray[Any, Any]:
    copy = W.copy()
    copy[index] *= factor
    return copy


# --- distances of arrays -----------------------------------------------------------------------------------


def test_the_error_is_relative_to_the_largest_magnitude() -> None:
    found = distance(np.array([[1.0, -4.0], [2.0, 3.0]]), np.array([[1.0, -4.0], [2.5, 3.25]]))
    assert found.error == 0.125 and found.index == (1, 0)
    assert str(found) == "relative error 0.12: 2 became 2.5 at [1, 0]"
    assert str(distance(np.zeros(3), np.zeros(3))) == "equal"


def test_where_everything_was_zero_the_error_is_absolute() -> None:
    assert distance(np.zeros(3), np.array([0, -0.5, 0.25])).error == 0.5


def test_every_block_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggc.execution.array_distance._BLOCK", 4)
    before = np.arange(1.0, 21.0).reshape(4, 5)
    for place in range(20):
        after = before.copy()
        after.flat[place] += 2
        found = distance(before, after)
        assert found.error == pytest.approx(0.1) and found.index == divmod(place, 5)


@pytest.mark.parametrize(
    ("before", "after", "error", "text"),
    [
        ([1.0, np.nan], [1.0, np.nan], 0.0, "equal"),
        ([1.0, np.inf], [1.5, np.inf], 0.5, "relative error 0.5: 1 became 1.5 at [0]"),
        ([1.0, np.inf], [1.0, -np.inf], math.inf, "NaN or infinity is in other places: inf became -inf at [1]"),
        ([1.0, np.nan], [1.0, 2.0], math.inf, "NaN or infinity is in other places: nan became 2 at [1]"),
        ([1.0, 2.0], [1.0, np.nan], math.inf, "numbers became NaN or infinite: 2 became nan at [1]"),
        ([1, 2, 3, 4], [1, 2, 4, 4], 0.25, "1 of 4 elements differ: 3 became 4 at [2]"),
        ([True, True], [False, True], 0.5, "1 of 2 elements differ: True became False at [0]"),
        (["a", "b"], ["a", "c"], 0.5, "1 of 2 elements differ: 'b' became 'c' at [1]"),
        (["a"], ["a", "b"], math.inf, "shape [1] became [2]"),
        ([1.0], [1.0, 2.0], math.inf, "shape [1] became [2]"),
        ([1.0], [1], math.inf, "type float64 became int64"),
        ([], [], 0.0, "equal"),
    ],
)
def test_distances(before: list[Any], after: list[Any], error: float, text: str) -> None:
    found = distance(np.array(before), np.array(after))
    assert found.error == error and str(found) == text


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_narrow_floats(dtype: Any) -> None:
    assert distance(np.array([1, 4], dtype), np.array([2, 4], dtype)).error == 0.25


def test_int4_is_exact() -> None:
    found = distance(np.array([1, 4], ml_dtypes.int4), np.array([2, 4], ml_dtypes.int4))
    assert found.error == 0.5 and found.note == "1 of 2 elements differ"


# --- models ------------------------------------------------------------------------------------------------


def test_equal_models() -> None:
    before = graph(NET, w=W, v=V)
    found = compare(before, before.copy(), random_inputs(before))
    assert found.ok and found.error == 0 and found.tolerance == 1e-5 and not found.warnings


def test_rounding_is_allowed_and_a_fault_is_not() -> None:
    before = graph(NET, w=W, v=V)
    feeds = random_inputs(before)
    close = compare(before, graph(NET, w=changed((0,), 1 + 1e-6), v=V), feeds)
    assert close.ok and 0 < close.error < 1e-5
    wrong = compare(before, graph(NET, w=changed((0, 0, 0, 0), 1.01), v=V), feeds)
    assert not wrong.ok and wrong.worst.name == "y" and wrong.error > 1e-5
    assert wrong.tolerance < 1e-5 * 10
    assert str(wrong.worst).startswith("relative error ") and str(wrong.worst).endswith(" allowed)")


def test_a_mix_up_of_samples_shows_in_the_larger_batch() -> None:
    before = graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    after = graph(
        "g (float[N,3] x) => (float[N,3] y) { s = Constant<value_ints = [-1]>() e = Constant<value_ints = [-9]>() "
        "z = Constant<value_ints = [0]>() r = Slice(x, s, e, z, s) y = Relu(r) }"
    )
    assert not compare(before, after, random_inputs(before)).ok


def test_the_worst_of_several_outputs() -> None:
    before = graph(
        "g (float[N,3] x) => (float[N,3] y, int64[N] k) { y = Relu(x) k = ArgMax<axis = 1, keepdims = 0>(x) }"
    )
    after = graph(
        "g (float[N,3] x) => (float[N,3] y, int64[N] k) { y = Relu(x) k = ArgMin<axis = 1, keepdims = 0>(x) }"
    )
    found = compare(before, after, random_inputs(before))
    assert not found.ok and found.worst.name == "k" and found.error == 1.0 and found.tolerance == 0
    assert {each.name: each.ok for each in found.outputs} == {"y": True, "k": False}
    assert str(found.worst).startswith("3 of 3 elements differ: ")


def test_outputs_that_came_or_went() -> None:
    one = graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    two = graph("g (float[N,3] x) => (float[N,3] y, float[N,3] z) { y = Relu(x) z = Neg(x) }")
    lost, gained = compare(two, one, random_inputs(one)), compare(one, two, random_inputs(one))
    assert not lost.ok and str(lost.worst) == "is no output any more"
    assert not gained.ok and str(gained.worst) == "is an output of one model only"


def test_an_input_that_nobody_reads_any_more() -> None:
    before = graph("g (float[N,3] x, float[N,3] z) => (float[N,3] y) { y = Relu(x) }")
    after = before.copy()
    after.inputs = after.inputs[:1]
    assert compare(before, after, random_inputs(before)).ok


def test_sequences() -> None:
    text = "g (float[N,3] x) => (seq(float[N,3]) y) {{ a = Relu(x) b = {}(x) y = SequenceConstruct(a, b) }}"
    before = graph(text.format("Neg"))
    feeds = [{"x": np.ones((2, 3), np.float32)}]
    assert compare(before, graph(text.format("Neg")), feeds).ok
    assert not compare(before, graph(text.format("Exp")), feeds).ok
    shorter = graph("g (float[N,3] x) => (seq(float[N,3]) y) { a = Relu(x) y = SequenceConstruct(a) }")
    assert str(compare(before, shorter, feeds).worst) == "is a sequence of another length"


def test_ten_times_the_noise_of_the_model_itself_is_allowed() -> None:
    # What is left of two nearly equal convolutions is a thousandth, so that their rounding shows a thousandfold.
    # onnxruntime folds the batch norm as a pass would, which tells how much of it to expect.
    generator = np.random.default_rng(0)
    scale, shift, mean = (generator.standard_normal(4).astype(np.float32) for _ in range(3))
    var = generator.uniform(0.5, 2, 4).astype(np.float32)
    factor = (scale / np.sqrt(var.astype(np.float64) + 1e-5))[:, None, None, None]
    folded, bias = W * factor, shift - mean * factor[:, 0, 0, 0]
    head, tail = "g (float[N,3,6,6] x) => (float[N,4,4,4] y) {", "d = Conv(x, near, almost) y = Sub(n, d) }"
    near = {"near": (folded * 0.999).astype(np.float32), "almost": (bias * 0.999).astype(np.float32)}
    norm = {"w": W, "s": scale, "b": shift, "m": mean, "v": var}
    before = graph(f"{head} c = Conv(x, w) n = BatchNormalization(c, s, b, m, v) {tail}", **norm, **near)
    feeds = random_inputs(before)
    for error, allowed in ((0, True), (1e-3, False)):
        given = {"f": (folded * (1 + error)).astype(np.float32), "g": bias.astype(np.float32)}
        found = compare(before, graph(f"{head} n = Conv(x, f, g) {tail}", **given, **near), feeds)
        assert found.error > 1e-5 and 1e-5 < found.tolerance <= 1e-2
        assert found.ok is allowed


def test_a_model_that_is_loaded_already_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = graph(NET, w=W, v=V)
    session = Session(before)
    feeds = random_inputs(session)
    loaded: list[Graph] = []
    monkeypatch.setattr(
        "vggc.execution.model_comparison.Session", lambda model, *rest, **more: (loaded.append(model), session)[1]
    )
    after = before.copy()
    assert compare(before, after, feeds, session=session).ok
    assert loaded == [after]


def test_nan_throughout_is_said() -> None:
    model = graph("g (float[N,3] x) => (float[N,3] y) { a = Sub(x, x) y = Div(a, a) }")
    found = compare(model, model.copy(), random_inputs(model))
    assert found.ok
    assert found.warnings == ("output `y` was NaN or infinite throughout, so that its numbers could not be compared",)


def test_the_tolerance_is_that_of_the_coarsest_type() -> None:
    assert coarsest(graph("g (double[N] x) => (double[N] y) { y = Neg(x) }")) == 1e-9
    assert coarsest(graph("g (int64[N] x) => (int64[N] y) { y = Neg(x) }")) == 1e-9
    mixed = graph("g (float[N] x) => (float[N] y) { a = Cast<to = 10>(x) y = Cast<to = 1>(a) }")
    mixed.infer_shapes()
    assert coarsest(mixed) == 5e-3


# --- the first difference ----------------------------------------------------------------------------------


def test_the_first_value_that_differs() -> None:
    text = "g (float[N,3] x) => (float[N,3] y) {{ a = Relu(x) b = {}(a) c = Exp(b) d = Tanh(a) y = Add(c, d) }}"
    before, after = graph(text.format("Neg")), graph(text.format("Abs"))
    feeds = random_inputs(before)
    found = first_difference(before, after, feeds)
    assert found is not None and found.name == "b" and found.distance.before == -found.distance.after
    assert first_difference(before, before.copy(), feeds) is None


@pytest.mark.parametrize("size", [1, 1 << 30])
def test_values_are_fetched_in_chunks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("vggc.execution.intermediates._CHUNK_BYTES", size)
    after = graph(NET, w=W, v=V[:, ::-1])
    found = first_difference(graph(NET, w=W, v=V), after, random_inputs(after))
    # A weight that was changed in place comes first: nothing computed depends on less.
    assert found is not None and found.name == "v"


def test_a_value_that_was_folded_to_a_constant() -> None:
    before = graph(
        "g (float[N,3] x) => (float[N,3] y) { s = Constant<value_floats = [1.0, 2.0, 3.0]>() b = Exp(s) y = Mul(x, b) }"
    )
    right = graph("g (float[N,3] x) => (float[N,3] y) { y = Mul(x, b) }", b=np.exp(np.array([1, 2, 3], np.float32)))
    wrong = graph("g (float[N,3] x) => (float[N,3] y) { y = Mul(x, b) }", b=np.array([1, 2, 3], np.float32))
    feeds = random_inputs(before)
    assert first_difference(before, right, feeds) is None
    found = first_difference(before, wrong, feeds)
    assert found is not None and found.name == "b"


def test_values_of_one_graph_alone_are_passed_over() -> None:
    before = graph("g (float[N,3] x) => (float[N,3] y) { a = Relu(x) y = Exp(a) }")
    after = graph("g (float[N,3] x) => (float[N,3] y) { b = Abs(x) y = Exp(b) }")
    found = first_difference(before, after, random_inputs(before))
    assert found is not None and found.name == "y"


def test_a_sigmoid_rounds_as_numbers_around_one_do() -> None:
    before = graph("g (float[1,4] x) => (float[1,4] y) { y = Sigmoid(x) }")
    after = graph(
        "g (float[1,4] x) => (float[1,4] y) <float d = {0.02}> { s = Add(x, d) t = Sigmoid(s) y = Identity(t) }"
    )
    assert compare(before, after, [{"x": np.full((1, 4), -13.0, np.float32)}]).ok
    assert not compare(before, after, [{"x": np.zeros((1, 4), np.float32)}]).ok


def test_results_of_order_one_are_known_by_what_computes_them() -> None:
    model = graph(
        "g (float[1,4] x) => (float[1,4] y, float[4,1] z, float[1,4] r) "
        "{ y = Tanh(x) s = Softmax(x) z = Transpose(s) r = Relu(x) }"
    )
    assert bounded_outputs(model) == {"y", "z"}
