"""Measures: their arithmetic against numbers worked out by hand, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import numpy_helper, parser

from vggc.data import ArrayDataset, Dataset
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.measures import Subject, subject
from vggc.measures import outputs as measures
from vggc.values import Ratio

Refused = Callable[[str], AbstractContextManager[None]]
HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'
IDENTITY = "g (float[N,4] x) => (float[N,4] y) { y = Mul(x, w) }"
LOGITS = np.array([[9, 1, 2, 3], [1, 9, 2, 3], [1, 2, 9, 3], [5, 5, 1, 0], [0, 1, 2, 3]], np.float32)
ONES = np.ones(4, np.float32)


def graph(text: str, **weights: Any) -> Graph:
    model = parser.parse_model(HEAD + text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    found = Graph.from_model(model)
    found.infer_shapes()
    return found


def data(samples: Any = LOGITS, labels: Any = None) -> Dataset:
    numbers = None if labels is None else np.array(labels, np.int64)
    dataset = ArrayDataset({"x": np.asarray(samples)}, numbers, "arrays")
    dataset.name = "test"
    return dataset


def scaled(weights: Any, text: str = IDENTITY) -> Subject:
    """A model that multiplies its input by `weights`, beside the one that leaves it alone."""
    return Subject(graph(text, w=np.asarray(weights, np.float32)), Subject(graph(text, w=ONES)))


# --- labels ------------------------------------------------------------------------------------------------


def test_accuracy() -> None:
    model = scaled(ONES)
    assert measures.accuracy(model, data=data(labels=[0, 1, 2, 0, 3])) == 1.0
    assert measures.accuracy(model, data=data(labels=[0, 1, 2, 1, 3])) == 0.8
    assert measures.accuracy(model, data=data(labels=[1, 0, 0, 3, 0])) == 0.0
    assert isinstance(measures.accuracy(model, data=data(labels=[0, 0, 0, 0, 0])), Ratio)


def test_top5() -> None:
    wide = graph("g (float[N,8] x) => (float[N,8] y) { y = Relu(x) }")
    logits = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    found = measures.top5(Subject(wide), data=data(logits, labels=range(8)))
    assert found == 5 / 8
    assert measures.top5(scaled(ONES), data=data(labels=[3, 3, 3, 3, 0])) == 1.0


def test_a_single_choice_among_equals_is_the_first() -> None:
    tie = np.zeros((2, 4), np.float32)
    assert measures.accuracy(scaled(ONES), data=data(tie, labels=[0, 1])) == 0.5


def test_nan_is_wrong_and_agrees_with_nothing() -> None:
    model = Subject(graph("g (float[N,4] x) => (float[N,4] y) { y = Sqrt(x) }"))
    samples = np.array([[1, 2, 3, 4], [-1, 2, 3, 4]], np.float32)
    assert measures.accuracy(model, data=data(samples, labels=[3, 0])) == 0.5
    assert measures.accuracy(model, data=data(samples, labels=[3, 3])) == 0.5
    assert measures.top5(model, data=data(samples, labels=[3, 3])) == 0.5
    assert measures.agreement(model, data=data(samples)) == 0.5
    assert math.isnan(measures.cosine(model, data=data(samples)))
    assert measures.max_abs_error(model, data=data(samples)) == 0


def test_logits_of_other_shapes() -> None:
    pooled = Subject(graph("g (float[N,4] x) => (float[N,4,1,1] y) { a = Constant<value_ints = [2, 3]>() "
                           "y = Unsqueeze(x, a) }"))  # fmt: skip
    assert measures.accuracy(pooled, data=data(labels=[0, 1, 2, 0, 3])) == 1.0
    chosen = Subject(graph("g (float[N,4] x) => (int64[N] y) { y = ArgMax<axis = 1, keepdims = 0>(x) }"))
    assert measures.accuracy(chosen, data=data(labels=[0, 1, 2, 0, 0])) == 0.8
    halves = Subject(graph("g (float[N,4] x) => (bfloat16[N,4] y) { y = Cast<to = 16>(x) }"))
    assert measures.accuracy(halves, data=data(labels=[0, 1, 2, 0, 3])) == 1.0


def test_accuracy_of_another_output() -> None:
    two = graph("g (float[N,4] x) => (float[N,4] worse, float[N,4] better) { worse = Neg(x) better = Relu(x) }")
    labelled = data(labels=[0, 1, 2, 0, 3])
    assert measures.accuracy(Subject(two), data=labelled) == 0.0
    assert measures.accuracy(Subject(two), data=labelled, output="better") == 1.0


def test_what_accuracy_refuses(refused: Refused) -> None:
    with refused(
        "error: data `test` has no labels to measure accuracy with\n"
        'help: name the array with the class numbers: npz("test.npz", label="y")'
    ):
        measures.accuracy(scaled(ONES), data=data())
    with refused(
        "error: label 4 of sample 3 of data `test` is not a class of the model: output `y` has 4 classes, numbered "
        "from 0"
    ):
        measures.accuracy(scaled(ONES), data=data(labels=[0, 1, 2, 4, 5]))
    with refused("error: the model has no output `logits`\nhelp: its outputs: `y`"):
        measures.accuracy(scaled(ONES), data=data(labels=[0] * 5), output="logits")
    maps = Subject(graph("g (float[N,4] x) => (float[N,2,2] y) { s = Constant<value_ints = [-1, 2, 2]>() "
                         "y = Reshape(x, s) }"))  # fmt: skip
    with refused(
        "error: output `y` has shape [5, 2, 2]: accuracy needs one row of logits for each sample\n"
        "help: name the output with the logits: output=..."
    ):
        measures.accuracy(maps, data=data(labels=[0] * 5))
    single = Subject(graph("g (float[N,4] x) => (float[N,1] y) { a = Constant<value_ints = [1]>() "
                           "y = ReduceMax(x, a) }"))  # fmt: skip
    with refused("error: output `y` has a single logit for each sample: accuracy needs one for each class"):
        measures.accuracy(single, data=data(labels=[0] * 5))
    total = Subject(graph("g (float[N,4] x) => (float y) { y = ReduceMax<keepdims = 0>(x) }"))
    with refused(
        "error: output `y` has shape [], not one row for each of 5 samples\nhelp: name another output: output=..."
    ):
        measures.accuracy(total, data=data(labels=[0] * 5))
    chosen = Subject(graph("g (float[N,4] x) => (int64[N] y) { y = ArgMax<axis = 1, keepdims = 0>(x) }"))
    with refused("error: output `y` has one class for each sample, but top5 needs the scores of all classes"):
        measures.top5(chosen, data=data(labels=[0] * 5))


# --- beside the model as read ------------------------------------------------------------------------------


def test_agreement() -> None:
    assert measures.agreement(scaled([1, 1, 1, 1]), data=data()) == 1.0
    assert measures.agreement(scaled([0.1, 1, 1, 1]), data=data()) == 0.6
    assert measures.agreement(scaled([1, 1, 1, 1]).original, data=data()) == 1.0


def test_agreement_of_maps_is_of_places() -> None:
    text = "g (float[N,4] x) => (float[N,2,2] y) { s = Constant<value_ints = [-1, 2, 2]>() m = Mul(x, w) "
    text += "y = Reshape(m, s) }"
    samples = np.array([[1, 2, 3, 1], [4, 1, 1, 2]], np.float32)
    found = measures.agreement(scaled([1, 0.1, 1, 1], text), data=data(samples))
    assert found == 3 / 4


def test_cosine() -> None:
    samples = np.array([[3, 0, 0, 4], [0, 0, 0, 0], [0, 0, 0, 7]], np.float32)
    assert measures.cosine(scaled([2, 2, 2, 2]), data=data(samples)) == pytest.approx(1.0)
    # 16 / (5 * 4) for the first sample; zero beside zero is 1.
    assert measures.cosine(scaled([0, 1, 1, 1]), data=data(samples)) == pytest.approx((0.8 + 1 + 1) / 3)
    assert measures.cosine(scaled([1, 1, 1, -1]), data=data(samples[2:])) == pytest.approx(-1.0)
    assert measures.cosine(scaled([1, 1, 1, 0]), data=data(samples[2:])) == 0.0


def test_max_abs_error() -> None:
    assert measures.max_abs_error(scaled([1, 1, 1, 2]), data=data()) == 3.0
    assert measures.max_abs_error(scaled(ONES), data=data()) == 0.0
    assert measures.max_abs_error(scaled([np.inf, 1, 1, 1]), data=data()) == math.inf


def test_sqnr() -> None:
    samples = np.array([[3, 0, 0, 4], [0, 0, 0, 5]], np.float32)
    # signal 9 + 16 + 25, noise (0.1 * 4)² + (0.1 * 5)²
    expected = 10 * math.log10(50 / 0.41)
    assert measures.sqnr(scaled([1, 1, 1, 1.1]), data=data(samples)) == pytest.approx(expected, rel=1e-4)
    assert measures.sqnr(scaled(ONES), data=data(samples)) == math.inf
    nothing = Subject(scaled([1, 1, 1, 1]).graph, scaled([0, 0, 0, 0]))
    assert measures.sqnr(nothing, data=data(samples)) == -math.inf


def test_outputs_that_changed_their_shape(refused: Refused) -> None:
    wide = graph("g (float[N,4] x) => (float[N,8] y) { y = Concat<axis = 1>(x, x) }")
    with refused("error: output `y` has shape [5, 8], but [5, 4] in the model as read"):
        measures.sqnr(Subject(wide, scaled(ONES)), data=data())


# --- batches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", ["N", "1", "2", "5", "8"])
def test_a_static_batch_is_filled_and_cut(rows: str) -> None:
    text = IDENTITY.replace("N", rows)
    model = Subject(graph(text, w=ONES), Subject(graph(IDENTITY, w=ONES)))
    assert measures.accuracy(model, data=data(labels=[0, 1, 2, 0, 3])) == 1.0
    assert measures.max_abs_error(model, data=data()) == 0.0
    assert [len(each) for each in model.outputs(data())] != [] and sum(map(len, model.outputs(data()))) == 5


def test_inputs_that_differ_in_their_batch(refused: Refused) -> None:
    model = Subject(graph("g (float[2,4] x, float[1,4] z) => (float[2,4] y) { y = Add(x, z) }"))
    both = ArrayDataset({"x": LOGITS, "z": LOGITS}, None, "arrays")
    with refused(
        "error: the model's inputs differ in their first dimension, so that samples cannot form a batch: "
        "`x` float32 [2, 4], `z` float32 [1, 4]"
    ):
        measures.sqnr(model, data=both)


def test_outputs_are_remembered_while_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    run = Session.run

    def counting(self: Session, feeds: Any) -> Any:
        runs.append(1)
        return run(self, feeds)

    monkeypatch.setattr(Session, "run", counting)
    model, samples = scaled([1, 1, 1, 2]), data(labels=[0] * 5)
    for _ in range(3):
        measures.agreement(model, data=samples)
        measures.accuracy(model, data=samples)
    assert len(runs) == 2
    monkeypatch.setattr(subject, "_CACHED_BYTES", 10)
    fresh = scaled([1, 1, 1, 2])
    for _ in range(3):
        measures.accuracy(fresh, data=samples)
    assert len(runs) == 5


def test_quantized_models_run_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[str] = []
    monkeypatch.setattr(subject, "Session", lambda graph, optimise: levels.append(optimise))
    quantized = "g (float[N,4] x, float s) => (float[N,4] y) { q = QuantizeLinear(x, s) y = DequantizeLinear(q, s) }"
    assert Subject(graph(quantized)).session is None and scaled(ONES).session is None
    monkeypatch.setattr(subject, "_COPIED_BYTES", 10)
    assert scaled(ONES).session is None
    assert levels == ["none", "all", "none"]


def test_halves_as_inputs() -> None:
    half = Subject(graph("g (bfloat16[N,4] x) => (bfloat16[N,4] y) { y = Identity(x) }"))
    assert next(half.outputs(data())).dtype == ml_dtypes.bfloat16
    assert measures.accuracy(half, data=data(labels=[0, 1, 2, 0, 3])) == 1.0


@pytest.mark.parametrize("declared", ["A,N,C", "T,B,C"])
def test_outputs_with_the_steps_first(declared: str) -> None:
    """[steps, samples, classes] means what [samples, classes, steps] means, whether or not the batch is named."""
    samples = np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32)
    first = f"g (float[N,3,4] x) => (float[{declared}] y) {{ s = Mul(x, w) y = Transpose<perm = [1,0,2]>(s) }}"
    last = "g (float[N,3,4] x) => (float[N,A,B] y) { s = Mul(x, w) y = Transpose<perm = [0,2,1]>(s) }"
    weights = np.array([1, 1, 1.2, 0.7])
    for measure in (measures.agreement, measures.cosine, measures.sqnr):
        expected = measure(scaled(weights, last), data=data(samples))
        assert measure(scaled(weights, first), data=data(samples)) == pytest.approx(expected)
    assert 0 < measures.agreement(scaled(weights, first), data=data(samples)) < 1


def test_a_measure_shows_how_many_samples_it_has_run() -> None:
    shown: list[tuple[str, int, int]] = []

    def show(what: str, done: int = 0, total: int = 0) -> None:
        shown.append((what, done, total))

    text = "g (float[2,4] x) => (float[2,4] y) { y = Relu(x) }"
    assert len(list(Subject(graph(text), progress=show).outputs(data()))) == 3
    assert shown == [("run on `test`", 0, 5), ("run on `test`", 2, 5), ("run on `test`", 4, 5)]
