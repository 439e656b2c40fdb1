"""Compile-time arithmetic: what terms compute, in which type, how exactly, and what they refuse."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_graphsurgeon as gs
import pytest

from vggc.diagnostics import Declined
from vggc.diagnostics.source import Source
from vggc.grammar import syntax
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.pattern.evaluate import Evaluator
from vggc.pattern.functions import FUNCTIONS
from vggc.pattern.numbers import Numbers, rounded
from vggc.pattern.operators import OperatorSets
from vggc.pattern.values import Absent, Content, Matched, Value, Values

W = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) - 5
K = np.array([2.0, -3.0], np.float32)


def evaluator(**more: Any) -> Evaluator:
    """Knows constants w, k, i (int64), h (float16), t (bool), s (text), values x (partly known) and u (unknown)."""
    graph = Graph(nodes=[], opset=17)
    arrays = {
        "w": W,
        "k": K,
        "i": np.array([1, 0, 2], np.int64),
        "h": np.array([1, 2], np.float16),
        "t": np.array([True, False]),
        "s": np.array(["a"], object),
        "b": np.array([1, 2], ml_dtypes.bfloat16),
        "huge": np.array([1 << 63], np.uint64),
        "one": np.array([[4.0]], np.float32),
    }
    names: dict[str, Content] = {name: Value(graph.constant(each, name), name) for name, each in arrays.items()}
    x = gs.Variable("x", np.float32, ["N", 3, None])
    y = gs.Variable("y", np.float32, ["N", 3, 4])
    node = gs.Node("Conv", "conv1", {"group": 2, "auto_pad": "VALID", "pads": [1, 1]}, [x], [y])
    graph.inputs, graph.outputs, graph.nodes = [x], [y], [node]
    names |= {
        "x": Value(x, "x"),
        "y": Value(y, "y"),
        "u": Value(gs.Variable("u"), "u"),
        "gone": Absent("gone"),
        "rest": Values((x, y), "rest"),
        "conv": Matched(node, "conv", 0),
        "p": (2, 0, 1),
        "eps": 0.5,
        "mode": "same",
        **more,
    }
    return Evaluator(graph, OperatorSets.at(17), names, FUNCTIONS)


def term(text: str) -> Any:
    (rule,) = parse(Source("r.opt", f"rule r {{ Relu(x) where {text} => x }}")).statements
    assert isinstance(rule, syntax.RuleStatement)
    return rule.guard


def computed(text: str, **more: Any) -> Any:
    found = evaluator(**more).evaluate(term(text))
    return found.exact() if isinstance(found, Numbers) else found


SCALARS = [
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("-(2) - -3", 1),
    ("7 / 2", 3.5),
    ("opset", 17),
    ("p[1]", 0),
    ("p[-1]", 1),
    ("[3, 4][0] + 1", 4),
    ("rank(x)", 3),
    ("rank(w)", 4),
    ("rank(3)", 0),
    ("size(w)", 24),
    ("dtype(x)", "float32"),
    ("dtype(b)", "bfloat16"),
    ("dtype(s)", "string"),
    ('dtype(cast(w, to="float16"))', "float16"),
    ("shape(w)", (2, 3, 2, 2)),
    ("shape(x)[1]", 3),
    ("count(rest)", 2),
    ("count(p)", 3),
    ("shape(rest[1])[2]", 4),
    ("constant(w)", True),
    ("constant(x)", False),
    ("constant(conv)", False),
    ("readers(x)", 1),
    ("is_output(conv)", True),
    ("is_output(x)", False),
    ("is_input(x)", True),
    ("present(gone)", False),
    ("present(w)", True),
    ("gone ?? 4", 4),
    ("eps ?? 4", 0.5),
    ("operator(conv)", "Conv"),
    ('has_attribute(conv, "group")', True),
    ('has_attribute(conv, "strides")', False),
    ('attribute(conv, "group")', 2),
    ('attribute(conv, "pads")', (1, 1)),
    ("take(p, p)", (1, 2, 0)),
    ("take(p, argsort(p)) == [0, 1, 2]", True),
    ("range(3)", (0, 1, 2)),
    ("range(1, 3)", (1, 2)),
    ("concat(p, [7])", (2, 0, 1, 7)),
    ("slice(p, 1)", (0, 1)),
    ("slice(p, 0, -1)", (2, 0)),
    ("list(i)", (1, 0, 2)),
    ("min(list(i))", 0),
    ("finite(w)", True),
    ("finite(w / 0)", False),
    ("all(w > -6)", True),
    ("any(w > 100)", False),
    ("close(w, w * 1.000001)", True),
    ("close(w, w + 1)", False),
    ("close(k, k * 1.01, relative=0.1)", True),
]


@pytest.mark.parametrize(("text", "expected"), SCALARS, ids=[text for text, _ in SCALARS])
def test_single_values(text: str, expected: object) -> None:
    found = computed(text)
    if isinstance(found, np.ndarray):
        found = found.item()
    assert found == expected
    assert isinstance(found, bool) == isinstance(expected, bool)


D = W.astype(np.float64)
ARRAYS = [
    ("w + 1", D + 1),
    ("w * along(k, axis=0, like=w)", D * np.array([2.0, -3.0]).reshape(2, 1, 1, 1)),
    ("-w / 3", -D / 3),
    ("abs(w)", np.abs(D)),
    ("sqrt(abs(w))", np.sqrt(np.abs(D))),
    ("exp(w)", np.exp(D)),
    ("log(abs(w) + 1)", np.log(np.abs(D) + 1)),
    ("tanh(w)", np.tanh(D)),
    ("sign(w)", np.sign(D)),
    ("round(w / 2)", np.rint(D / 2)),
    ("floor(w / 2)", np.floor(D / 2)),
    ("ceil(w / 2)", np.ceil(D / 2)),
    ("pow(w, 2)", D**2),
    ("mod(i, 2)", np.array([1, 0, 0])),
    ("floordiv(i, 2)", np.array([0, 0, 1])),
    ("min(w, 3)", np.minimum(D, 3)),
    ("max(w, 3, 4)", np.maximum(D, 4)),
    ("max(w, axis=1)", D.max(axis=1)),
    ("sum(w, axis=[0, -1], keepdims=true)", D.sum(axis=(0, 3), keepdims=True)),
    ("prod(k)", np.array(-6.0)),
    ("mean(w, axis=1)", D.mean(axis=1)),
    ("reshape(w, [6, -1])", D.reshape(6, 4)),
    ("transpose(w)", D.T),
    ("transpose(w, [1, 0, 2, 3])", D.transpose(1, 0, 2, 3)),
    ("squeeze(one)", np.array(4.0)),
    ("squeeze(one, 1)", np.array([4.0])),
    ("unsqueeze(k, [0, -1])", np.array([[[2.0], [-3.0]]])),
    ("concat(w, w, axis=1)", np.concatenate([D, D], 1)),
    ("slice(w, 1, 3, axis=1)", D[:, 1:3]),
    ("slice(w, 0, axis=1, step=2)", D[:, ::2]),
    ("take(w, [2, 0], axis=1)", D[:, [2, 0]]),
    ("flip(w, [2, 3])", D[:, :, ::-1, ::-1]),
    ("pad(k, [1, 0], value=9)", np.array([9.0, 2, -3])),
    ("broadcast(k, [3, 2])", np.broadcast_to(K, (3, 2))),
    ("repeat(k, 2)", np.array([2.0, 2, -3, -3])),
    ("zeros([2, 1])", np.zeros((2, 1))),
    ("ones([2], like=h)", np.ones(2)),
    ("full([2], 0.25)", np.full(2, 0.25)),
    ("select(w > 0, w, 0)", np.where(D > 0, D, 0)),
    ("matmul(reshape(w, [6, 4]), transpose(reshape(w, [6, 4])))", D.reshape(6, 4) @ D.reshape(6, 4).T),
    ("w[0]", D[0]),
]


@pytest.mark.parametrize(("text", "expected"), ARRAYS, ids=[text for text, _ in ARRAYS])
def test_arrays(text: str, expected: Any) -> None:
    found = computed(text)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


TYPES = [
    ("w * 2", "float32"),
    ("w * eps", "float32"),
    ("h * 2", "float16"),
    ("h * k", "float32"),
    ("h * b", "float32"),
    ("i + 1", "int64"),
    ("i * 0.5", None),
    ("i * w[0][0][0][0]", "float32"),
    ("zeros([1], like=h)", "float16"),
    ("cast(i, like=h)", "float16"),
]


@pytest.mark.parametrize(("text", "dtype"), TYPES, ids=[text for text, _ in TYPES])
def test_types(text: str, dtype: str | None) -> None:
    found = evaluator().evaluate(term(text))
    assert isinstance(found, Numbers)
    assert (found.dtype.name if found.dtype is not None else None) == dtype


REFUSED = [
    ("x + 1", "`x` is not a compile-time constant"),
    ("gone + 1", "`gone` is absent"),
    ("shape(x)[0] + 1", "dimension 0 of `x` is not known"),
    ("shape(x)[2] == 3", "dimension 2 of `x` is not known"),
    ("shape(u)", "the shape of `u` is not known, in `shape`"),
    ("rank(u)", "the rank of `u` is not known, in `rank`"),
    ("dtype(u)", "the type of `u` is not known, in `dtype`"),
    ("dtype(3)", "numbers written in the rule have no type, in `dtype`"),
    ("size(x)", "dimension 0 of `x` is not known, in `size`"),
    ("s + 1", "arithmetic does not work on texts"),
    ("mode + 1", "arithmetic does not work on a text"),
    ("t + 1", "arithmetic does not work on truth values"),
    ("-t", "arithmetic does not work on truth values"),
    ("sqrt(t)", "arithmetic does not work on truth values, in `sqrt`"),
    ("huge + 1", "a number of type uint64 is too large for arithmetic"),
    ("1 / 0", "it divides by zero"),
    ("mod(i, 0)", "it divides by zero, in `mod`"),
    ("pow(2, -1)", "a whole number cannot have a negative power, in `pow`"),
    ("9000000000000000000 * 2", "a number is too large"),
    ("1e300 * 1e300 * i", "the numbers computed do not fit float32"),
    ("w + [1, 2, 3]", "numbers of shapes [2, 3, 2, 2] and [3] cannot be combined"),
    ("p[3]", "there is no element 3: there are 3"),
    ("w[2]", "there is no element 2: there are 2"),
    ("eps[0]", "a single number has no elements"),
    ("p[eps]", "an index is 0.5, not a whole number"),
    ("along(k, axis=1, like=w)", "2 numbers do not fit axis 1 of a value of shape [2, 3, 2, 2], in `along`"),
    ("along(k, axis=4, like=w)", "there is no axis 4: there are 4, in `along`"),
    ("along(k, axis=0, like=x)", "2 numbers do not fit axis 0 of a value of shape [N, 3, ?], in `along`"),
    ("reshape(w, [5, -1])", "24 numbers do not fill the shape [5, -1], in `reshape`"),
    ("transpose(w, [0, 0, 1, 2])", "[0, 0, 1, 2] is not a permutation of 4 axes, in `transpose`"),
    ("squeeze(w, 0)", "an axis of [2, 3, 2, 2] cannot be removed: its length is not 1, in `squeeze`"),
    ("sum(w, axis=[0, 0])", "an axis appears twice in a list of axes, in `sum`"),
    ("concat(w, k)", "arrays of shapes [2, 3, 2, 2] and [2] cannot be joined along axis 0, in `concat`"),
    ("slice(w, 0, step=0)", "the step is 0, in `slice`"),
    ("take(w, 5)", "an index in [5] is out of range: the axis has length 2, in `take`"),
    ("pad(k, [1])", "pads [1] do not fit a value of 1 axes, in `pad`"),
    ("broadcast(k, [3])", "an array of shape [2] does not broadcast to [3], in `broadcast`"),
    ("repeat(k, -1)", "the number of repetitions is negative, in `repeat`"),
    ("zeros([-1])", "there is no array of shape [-1], in `zeros`"),
    (
        "zeros([100000, 100000])",
        "a result has 10,000,000,000 numbers, more than the 1,048,576 allowed",
    ),
    (
        "broadcast(k, [1000000, 2])",
        "a result has 2,000,000 numbers, more than the 1,048,576 allowed",
    ),
    ("repeat(k, 1000000)", "a result has 2,000,000 numbers, more than the 1,048,576 allowed"),
    ("range(100000000)", "a result has 100,000,000 numbers, more than the 1,048,576 allowed"),
    ("pad(k, [0, 2000000])", "a result has 2,000,002 numbers, more than the 1,048,576 allowed"),
    ('cast(w, to="float1")', "there is no type `float1`, in `cast`"),
    ("cast(w)", "no type is given, in `cast`"),
    ('cast(w / 2, to="int8")', "numbers that are not whole do not fit int8, in `cast`"),
    ('cast(w * 100, to="int8")', "numbers from -500 to 1800 do not fit int8, in `cast`"),
    ('cast(w * 100000, to="float16")', "the numbers computed do not fit float16, in `cast`"),
    ('cast(k * 0.00000001, to="float16")', "the numbers computed do not fit float16, in `cast`"),
    ("matmul(w, i)", "matrices of shapes [2, 3, 2, 2] and [3] cannot be multiplied, in `matmul`"),
    ("matmul(k, i)", "matrices of shapes [2] and [3] cannot be multiplied, in `matmul`"),
    ("max(slice(k, 2))", "an empty array has neither a maximum nor a minimum, in `max`"),
    ("max(w, k, axis=0)", "`axis` works with one array only, in `max`"),
    ("all(w)", "numbers are not a condition, in `all`"),
    ("count(w)", "only a list or the remaining inputs can be counted, in `count`"),
    ("operator(w)", "`node` of `operator` cannot be the value `w`"),
    ("reshape(w, w)", "`shape` of `reshape` is an array of shape [2, 3, 2, 2], not a number"),
    ("[w, 1]", "a list cannot hold the value `w`"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[text for text, _ in REFUSED])
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(Declined) as caught:
        rounded(evaluator().numbers(evaluator().evaluate(term(text))), np.dtype(np.float32))
    assert str(caught.value).startswith(reason)


CONDITIONS = [
    ("w > -6 and w < 19", True),
    ("w > 0", False),
    ("not w > 0", True),
    ("w > 0 or rank(w) == 4", True),
    ("shape(w) == [2, 3, 2, 2]", True),
    ("shape(w) == [2, 3]", False),
    ("shape(x) == [7, 4, 1]", False),
    ("shape(x)[0] == shape(y)[0]", True),
    ("shape(w) != [2, 3]", True),
    ('mode == "same"', True),
    ("mode == 3", False),
    ('mode != "valid"', True),
    ("x == x", True),
    ("conv == y", True),
    ("k == k", True),
    ("i == [1, 0, 2]", True),
    ("i == [1, 0]", False),
    ("p == [2, 0, 1] and eps < 1", True),
    ("t == t", True),
    ("rank(u) == 4 and 1 == 2 or 1 == 1", None),
    ("1 == 2 and rank(u) == 4", False),
    ("1 == 1 or rank(u) == 4", True),
    ("x == y", None),
    ("k", None),
]


@pytest.mark.parametrize(("text", "holds"), CONDITIONS, ids=[text for text, _ in CONDITIONS])
def test_conditions(text: str, holds: bool | None) -> None:
    if holds is None:
        with pytest.raises(Declined):
            evaluator().holds(term(text))
    else:
        assert evaluator().holds(term(text)) is holds


@pytest.mark.parametrize(("dtype", "most"), [("float32", 5e-7), ("float16", 5e-4), ("bfloat16", 4e-3), ("float64", 0)])
def test_a_chain_of_arithmetic_is_rounded_once(dtype: str, most: float) -> None:
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    random = np.random.default_rng(1)
    w, k = random.standard_normal((300, 500)).astype(kind), (random.random(300) + 0.5).astype(kind)
    graph = Graph(nodes=[], opset=17)
    values = {"w": Value(graph.constant(w), "w"), "k": Value(graph.constant(k), "k")}
    found = evaluator(**values).evaluate(term("w * along(k / sqrt(k + 0.001), axis=0, like=w) - w / 3"))
    assert isinstance(found, Numbers)
    got = rounded(found, kind).astype(np.float64)
    wide, scale = w.astype(np.float64), k.astype(np.float64)
    exact = wide * (scale / np.sqrt(scale + 0.001))[:, None] - wide / 3
    assert np.abs(got - exact).max() <= most * np.abs(exact).max()
    assert rounded(found, kind).dtype == kind


def test_large_arrays_are_computed_in_pieces() -> None:
    """No float64 copy of a large weight is made: the largest array that is ever computed is a piece of it."""
    weight = np.ones((4096, 1024), np.float32)
    graph = Graph(nodes=[], opset=17)
    largest = 0
    found = evaluator(w=Value(graph.constant(weight), "w")).evaluate(term("w * 2 + 1"))
    assert isinstance(found, Numbers)
    assert found.leaf is None
    for _, piece in found.pieces():
        largest = max(largest, piece.size)
    assert largest <= 1 << 20
    assert (rounded(found, np.dtype(np.float32)) == 3).all()
