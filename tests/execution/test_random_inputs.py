"""Random inputs: shapes and types a model accepts, found by trying where it does not tell."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import parser

from vggc.data import random_array
from vggc.diagnostics import Code
from vggc.execution.random_inputs import random_inputs
from vggc.graph import Graph
from vggc.graph.signature import inputs_of

Refused = Callable[[str], AbstractContextManager[None]]
HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'


def graph(text: str) -> Graph:
    return Graph.from_model(parser.parse_model(HEAD + text))


def shapes(feeds: list[dict[str, Any]]) -> list[dict[str, tuple[int, ...]]]:
    return [{name: array.shape for name, array in each.items()} for each in feeds]


def test_static_shapes() -> None:
    feeds = random_inputs(graph("g (float[2,3] x, float[4] z) => (float[2,3] y) { y = Relu(x) }"))
    assert shapes(feeds) == [{"x": (2, 3), "z": (4,)}]


def test_the_same_seed_gives_the_same_numbers() -> None:
    model = graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    first, again, other = random_inputs(model), random_inputs(model), random_inputs(model, seed=1)
    np.testing.assert_array_equal(first[0]["x"], again[0]["x"])
    assert not np.array_equal(first[0]["x"], other[0]["x"])


def test_a_dynamic_batch_gets_two_sizes() -> None:
    model = graph("g (float[N,3] x, float[N,2] z) => (float[N,5] y) { y = Concat<axis = 1>(x, z) }")
    assert shapes(random_inputs(model)) == [{"x": (3, 3), "z": (3, 2)}, {"x": (1, 3), "z": (1, 2)}]


def test_a_batch_without_a_name() -> None:
    model = graph("g (float[?,3] x, float[?,2] z) => (float[?,5] y) { y = Concat<axis = 1>(x, z) }")
    assert shapes(random_inputs(model, batches=[4])) == [{"x": (4, 3), "z": (4, 2)}]


def test_a_model_that_holds_for_one_sample_only() -> None:
    model = graph("g (float[N,3] x) => (float[1,3] y) { s = Constant<value_ints = [1, 3]>() y = Reshape(x, s) }")
    assert shapes(random_inputs(model)) == [{"x": (1, 3)}]


def test_first_dimensions_that_are_not_all_the_batch() -> None:
    model = graph(
        "g (float[N,3] x, float[K,3] table) => (float[N,3] y, float[2,8,3] t) "
        "{ s = Constant<value_ints = [2, 8, 3]>() t = Reshape(table, s) y = Relu(x) }"
    )
    assert shapes(random_inputs(model)) == [{"x": (3, 3), "table": (16, 3)}, {"x": (1, 3), "table": (16, 3)}]


def test_dimensions_by_name_and_the_size_that_runs() -> None:
    model = graph(
        "g (float[N,1,H,W] x, float[3,1,H,W] z) => (float[N,3,A,B] y, float[N,49] f) "
        "{ k = Constant<value_floats = [1.0]>() p = AveragePool<kernel_shape = [32,32], strides = [32,32]>(x) "
        "s = Constant<value_ints = [0, 49]>() f = Reshape(p, s) y = Add(x, x) q = Relu(z) }"
    )
    found = shapes(random_inputs(model))
    assert [each["x"] for each in found] == [(3, 1, 224, 224), (1, 1, 224, 224)]
    assert found[0]["z"] == (3, 1, 224, 224)


def test_integers_are_small_enough_for_a_table() -> None:
    model = graph(
        "g (int64[N,L] ids) => (float[N,L,1] y) "
        "{ t = Constant<value_floats = [1.0, 2.0]>() a = Constant<value_ints = [1]>() u = Unsqueeze(t, a) "
        "y = Gather(u, ids) }"
    )
    feeds = random_inputs(model)
    assert feeds[0]["ids"].shape == (3, 16)
    assert feeds[0]["ids"].min() == 0 and feeds[0]["ids"].max() == 1


def test_results_that_integers_make_large() -> None:
    model = graph("g (float[A,B,C,D] x, int64[4] repeats) => (float[E,F,G,H] y) { y = Tile(x, repeats) }")
    feeds = random_inputs(model)
    assert feeds[0]["x"].shape == (3, 3, 64, 64)
    grown = graph("g (float[A,B,C,D] x, int64[6] repeats) => (float[A,B,C,D] y) { y = Identity(x) }")
    assert random_inputs(grown)[0]["repeats"].max() == 1


def test_inputs_narrowed_since() -> None:
    model = graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    fixed = [inputs_of(model)[0]._replace(shape=(5, 3))]
    assert shapes(random_inputs(model, fixed)) == [{"x": (5, 3)}]


def test_a_model_that_runs_on_nothing(refused: Refused) -> None:
    model = graph(
        "g (float[N,L] x) => (float[N,777] y) { s = Constant<value_ints = [0, 777]>() [flat] y = Reshape(x, s) }"
    )
    with refused(
        "error: the model does not run on random inputs for its dimensions `L`, `N`\n"
        " = note: onnxruntime cannot run the model: The input tensor cannot be reshaped to the requested shape. "
        "Input shape:{3,16}, requested shape:{3,777}\n"
        " = node: Reshape `flat`\n"
        'help: give it samples in the recipe: data samples = npz("samples.npz", limit=8); or compile it with '
        "--verify off, which checks nothing"
    ):
        random_inputs(model)


def test_inputs_of_unknown_rank(refused: Refused) -> None:
    model = graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    model.inputs[0].shape = None
    with refused(
        "error: the rank of the model's input `x` is unknown\n"
        'help: give it samples in the recipe: data samples = npz("samples.npz", limit=8); or compile it with '
        "--verify off, which checks nothing",
        Code.SHAPES,
    ):
        random_inputs(model)


def test_inputs_too_large_to_make(refused: Refused) -> None:
    model = graph("g (float[100000,100000] x) => (float[100000,100000] y) { y = Relu(x) }")
    with refused(
        "error: random numbers for the model's input `x` float32 [100000, 100000] would take more than 1 GiB\n"
        'help: give it samples in the recipe: data samples = npz("samples.npz", limit=8); or compile it with '
        "--verify off, which checks nothing",
        Code.MEMORY,
    ):
        random_inputs(model)


def test_a_large_batch_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggc.execution.random_inputs._LARGEST_BATCH_BYTES", 8)
    model = graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    assert shapes(random_inputs(model)) == [{"x": (1, 3)}]


def test_an_input_that_is_no_tensor(refused: Refused) -> None:
    model = graph("g (seq(float[N]) x) => (float[N] y) { i = Constant<value_int = 0>() y = SequenceAt(x, i) }")
    with refused(
        "error: the model's input `x` is not a tensor, or its type is not declared\n"
        "help: vggc runs models whose inputs are tensors with declared types: export the model again"
    ):
        random_inputs(model)


@pytest.mark.parametrize(
    "dtype",
    [
        *(np.float16, np.float32, np.float64, np.complex64, np.bool_, object, np.uint8, np.int64),
        *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.int2),
    ],
)
def test_random_values_of_every_type(dtype: Any) -> None:
    found = random_array(np.random.default_rng(0), np.dtype(dtype), (500,))
    assert found.dtype == dtype and found.shape == (500,)
    assert random_array(np.random.default_rng(0), np.dtype(dtype), ()).shape == ()
    if "int" in np.dtype(dtype).name:
        numbers = found.astype(np.int64)
        assert numbers.min() == 0 and numbers.max() == (1 if dtype is ml_dtypes.int2 else 7)
    elif dtype is not object:
        assert len(np.unique(found.astype(np.complex128))) > 1
